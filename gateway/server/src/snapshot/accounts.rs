//! The accounts of all tenants, by id. They outlive snapshots.
//!
//! A tenant of a `*.suffix` entry has no place in the config, and its label comes from a client. So its account is made
//! when it is first asked for, given up when it has been idle for a while, and there are only so many of them.

use super::account::TenantAccount;
use crate::limits::RateShares;
use dashmap::DashMap;
use fleetgate_core::tenant::NameTemplate;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Accounts of tenants that only a star stands for, at most. Those beyond share the account of their entry.
pub const LABELLED_ACCOUNTS_MAX: usize = 200_000;
/// From this many on, accounts are given up after [`IDLE_WHEN_CROWDED`].
const LABELLED_ACCOUNTS_CROWDED: usize = 150_000;
/// Pieces of the map. A look at idle accounts holds one of them at a time, some hundred accounts.
const PIECES: usize = 256;
/// For how long an account is kept that nobody holds.
const IDLE: Duration = Duration::from_secs(600);
/// The same, when there are many of them: somebody may be inventing labels.
const IDLE_WHEN_CROWDED: Duration = Duration::from_secs(30);
/// Between two looks at idle accounts.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Accounts by the tenant's id.
#[derive(Debug)]
pub struct Accounts {
    born: Instant,
    by_id: DashMap<Arc<str>, Arc<TenantAccount>>,
    /// Accounts that came from a label.
    labelled: AtomicU64,
    /// Requests whose tenant had to share the account of its entry.
    overflowed: AtomicU64,
    shares: RateShares,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            by_id: DashMap::with_shard_amount(PIECES),
            labelled: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            shares: RateShares::default(),
        }
    }
}

impl Accounts {
    /// The account of an entry as it is written: of its one tenant, or of all that its star stands for together.
    pub(super) fn of_entry(&self, id: &str) -> Arc<TenantAccount> {
        if let Some(known) = self.by_id.get(id) {
            return Arc::clone(&known);
        }
        let id: Arc<str> = id.into();
        let account =
            self.by_id.entry(Arc::clone(&id)).or_insert_with(|| Arc::new(TenantAccount::new(id, false)));
        Arc::clone(&account)
    }

    /// The account of the tenant that a label makes of an entry. `entry` is what it shares when there are too many.
    pub(super) fn of_label(
        &self,
        entry: &Arc<TenantAccount>,
        id: &NameTemplate,
        label: &str,
    ) -> Arc<TenantAccount> {
        let id = id.resolve(Some(label));
        if let Some(known) = self.by_id.get(&*id) {
            return Arc::clone(&known);
        }
        if self.labelled.load(Ordering::Relaxed) >= max_of(LABELLED_ACCOUNTS_MAX) {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
            return Arc::clone(entry);
        }
        let id: Arc<str> = (&*id).into();
        let account = self.by_id.entry(Arc::clone(&id)).or_insert_with(|| {
            self.labelled.fetch_add(1, Ordering::Relaxed);
            Arc::new(TenantAccount::new(id, true))
        });
        account.used_at.store(self.seconds(), Ordering::Relaxed);
        Arc::clone(&account)
    }

    /// The account of a tenant that has been asked for, or that the config names.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<TenantAccount>> {
        self.by_id.get(id).map(|account| Arc::clone(&account))
    }

    /// This node's parts of the rates of tenants.
    #[must_use]
    pub const fn shares(&self) -> &RateShares {
        &self.shares
    }

    /// Calls a function with every account, in no order. It must not wait for anything.
    pub fn for_each(&self, mut see: impl FnMut(&Arc<TenantAccount>)) {
        for account in &self.by_id {
            see(&account);
        }
    }

    /// Accounts that exist now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Requests whose tenant had to share the account of its entry, because [`LABELLED_ACCOUNTS_MAX`] was reached.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Gives up accounts that nobody has held for a while, one piece of the map after the other.
    pub fn sweep(&self) {
        self.sweep_at(self.seconds());
    }

    fn sweep_at(&self, now: u32) {
        let crowded = self.labelled.load(Ordering::Relaxed) >= max_of(LABELLED_ACCOUNTS_CROWDED);
        let idle = if crowded { IDLE_WHEN_CROWDED } else { IDLE };
        let idle = u32::try_from(idle.as_secs()).unwrap_or(u32::MAX);
        let mut labelled = 0_u64;
        self.by_id.retain(|_, account| {
            // Whoever wants it next has to come through this map, whose piece is held: one is nobody but the map.
            if Arc::strong_count(account) > 1 {
                account.used_at.store(now, Ordering::Relaxed);
            }
            let kept = now.saturating_sub(account.used_at.load(Ordering::Relaxed)) < idle;
            labelled = labelled.saturating_add(u64::from(kept && account.labelled));
            kept
        });
        self.labelled.store(labelled, Ordering::Relaxed);
    }

    /// Sweeps until the task is aborted.
    pub async fn keep_swept(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        loop {
            ticks.tick().await;
            self.sweep();
        }
    }

    fn seconds(&self) -> u32 {
        u32::try_from(self.born.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}

fn max_of(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> NameTemplate {
        NameTemplate::tenant_id(text).unwrap()
    }

    #[test]
    fn a_tenant_is_one_account_by_whatever_entry_it_is_reached() {
        let accounts = Accounts::default();
        let entry = accounts.of_entry("{1}");
        let by_label = accounts.of_label(&entry, &template("{1}"), "acme");
        assert!(Arc::ptr_eq(&by_label, &accounts.of_label(&entry, &template("{1}"), "acme")));
        assert!(Arc::ptr_eq(&by_label, &accounts.of_entry("acme")));
        assert!(!Arc::ptr_eq(&by_label, &accounts.of_label(&entry, &template("{1}"), "zen")));
        assert!(!Arc::ptr_eq(&by_label, &entry));
    }

    #[test]
    fn idle_accounts_are_given_up_and_held_ones_are_not() {
        let accounts = Accounts::default();
        let entry = accounts.of_entry("{1}");
        let held = accounts.of_label(&entry, &template("{1}"), "held");
        drop(accounts.of_label(&entry, &template("{1}"), "idle"));
        accounts.sweep_at(599);
        assert!(accounts.get("idle").is_some());
        accounts.sweep_at(601);
        assert!(accounts.get("idle").is_none());
        assert!(Arc::ptr_eq(&accounts.get("held").unwrap(), &held));
        drop(held);
        accounts.sweep_at(1_200);
        assert!(accounts.get("held").is_some(), "it was held 599 seconds ago");
        accounts.sweep_at(1_201);
        assert!(accounts.get("held").is_none());
        assert!(Arc::ptr_eq(&accounts.get("{1}").unwrap(), &entry));
    }

    #[test]
    fn invented_labels_share_the_account_of_their_entry_once_there_are_too_many() {
        let accounts = Accounts::default();
        let entry = accounts.of_entry("{1}");
        for label in 0..LABELLED_ACCOUNTS_MAX {
            drop(accounts.of_label(&entry, &template("{1}"), &format!("x{label}")));
        }
        assert!(Arc::ptr_eq(&accounts.of_label(&entry, &template("{1}"), "one-more"), &entry));
        assert_eq!(accounts.overflowed(), 1);
        assert_eq!(accounts.len(), LABELLED_ACCOUNTS_MAX + 1);
        accounts.sweep_at(30);
        assert!(!Arc::ptr_eq(&accounts.of_label(&entry, &template("{1}"), "one-more"), &entry));
    }
}
