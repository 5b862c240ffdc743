//! Tells what a tenant still holds that the tenant was suspended.

use super::{Snapshot, SnapshotStore, TenantAccount};
use fleetgate_core::host::HostKey;
use fleetgate_core::tenant::TenantState;
use rustc_hash::FxHashSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// When a tenant is suspended: by an entry for it alone, or with all that its star stands for.
#[derive(Debug, Default)]
pub struct Suspension {
    begun: bool,
    tenant: CancellationToken,
    /// `None` where the tenant is the entry.
    entry: Option<CancellationToken>,
}

impl Suspension {
    /// Waits until the tenant is suspended. Later changes do not undo that.
    pub async fn begins(&self) {
        if self.begun {
            return;
        }
        match &self.entry {
            Some(entry) => tokio::select! {
                () = self.tenant.cancelled() => {}
                () = entry.cancelled() => {}
            },
            None => self.tenant.cancelled().await,
        }
    }
}

impl SnapshotStore {
    /// When the tenant of a host is suspended, however old the snapshot is that let its request in. `entry` is the
    /// account of its entry, where that is another.
    #[must_use]
    pub fn suspension(
        &self,
        host: &HostKey,
        tenant: &TenantAccount,
        entry: Option<&Arc<TenantAccount>>,
    ) -> Suspension {
        // Taken before the look at the newest snapshot: a change between the two is seen here or cancels what was taken.
        let (tenant, entry) = (tenant.suspended(), entry.map(|entry| entry.suspended()));
        let newest = self.newest.load();
        let found = newest.fleet.tenants.resolve(host);
        let begun = found.is_some_and(|found| found.tenant.state == TenantState::Suspended);
        Suspension { begun, tenant, entry }
    }
}

impl Snapshot {
    /// Tells those who are suspended here and were not before. Call it when requests see this snapshot already.
    pub(super) fn suspend_since(&self, before: &Self) {
        let known: FxHashSet<&str> = before.suspended().map(|account| &**account.id()).collect();
        for account in self.suspended().filter(|account| !known.contains(&**account.id())) {
            account.suspend();
        }
    }

    fn suspended(&self) -> impl Iterator<Item = &Arc<TenantAccount>> {
        let entries = self.fleet.tenants.iter().zip(self.entries.iter());
        entries.filter(|((_, tenant), _)| tenant.state == TenantState::Suspended).map(|(_, account)| account)
    }
}
