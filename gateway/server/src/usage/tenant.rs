//! What one tenant has used, on the way of its requests.

use super::act::{Act, Deed};
use super::message::{Message, units};
use super::record::UsageKey;
use super::store::UsageStore;
use super::view::UsageView;
use fleetgate_core::quota::{
    Assessment, Exhausted, Fired, Grant, Ledger, Meter, NodeUse, QuotaKey, QuotaTerms, Stage, Totals, assess,
};
use fleetgate_core::traffic::TrafficClass;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longest wait that a client is told, in seconds: a quota may be raised before its period ends.
const RETRY_AFTER_SECONDS_MAX: i64 = 3_600;

/// Counters of one tenant. They outlive snapshots, and what was counted outlives the process.
///
/// A request costs two additions and a few loads: `wake_at` and `valid` say up to where the last assessment is true, and
/// whoever goes beyond makes the next one.
#[derive(Debug)]
pub struct TenantUsage {
    id: Arc<str>,
    pub(super) key: UsageKey,
    totals: [AtomicU64; 4],
    wake_at: [AtomicU64; 4],
    valid_from: AtomicI64,
    valid_until: AtomicI64,
    /// Which config, and which role of the process, was assessed.
    edition: AtomicU64,
    stage: AtomicU8,
    /// Whether other nodes have to be told.
    untold: AtomicBool,
    book: Mutex<TenantBook>,
}

/// What is looked at when something changes.
#[derive(Debug, Default)]
pub(super) struct TenantBook {
    pub(super) ledger: Ledger,
    pub(super) terms: Arc<QuotaTerms>,
    pub(super) exhausted: Option<Exhausted>,
    /// When what other nodes used was last written down, in seconds since 1970.
    elsewhere_kept_at: i64,
}

/// Grants of a tenant that are not used up, at most.
const GRANTS_MAX: usize = 100;
/// Seconds after which what other nodes used is written down again: it is known to them, too.
const ELSEWHERE_KEPT_EVERY: i64 = 10;

/// A request that is refused because a quota is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverQuota {
    /// Which quota.
    pub key: QuotaKey,
    /// What may be used of it, in units of its name.
    pub limit: u64,
    /// Seconds until its period ends, at most an hour.
    pub retry_after_seconds: u32,
}

impl TenantUsage {
    pub(super) fn new(id: Arc<str>, totals: Totals, ledger: Ledger) -> Self {
        let book = TenantBook { ledger, ..TenantBook::default() };
        Self {
            key: UsageKey::of(&id),
            id,
            totals: totals.0.map(AtomicU64::new),
            wake_at: [u64::MAX; 4].map(AtomicU64::new),
            valid_from: AtomicI64::new(i64::MAX),
            valid_until: AtomicI64::new(i64::MIN),
            edition: AtomicU64::new(0),
            stage: AtomicU8::new(0),
            untold: AtomicBool::new(false),
            book: Mutex::new(book),
        }
    }

    /// The tenant's id.
    #[must_use]
    pub const fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// What was used since the tenant was first seen.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let [requests, egress, worker, websocket] = &self.totals;
        Totals([requests, egress, worker, websocket].map(|total| total.load(Ordering::Acquire)))
    }

    /// What happens to the tenant's requests.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let place = usize::from(self.stage.load(Ordering::Acquire));
        Stage::ALL.get(place).copied().unwrap_or_default()
    }

    pub(super) fn book(&self) -> MutexGuard<'_, TenantBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, unless a quota is used up. A request without a class is never refused. What is counted here is written down with [`Charge::settle`](super::Charge::settle).
    ///
    /// # Errors
    /// The request is over quota, and was not counted.
    pub(super) fn admit(
        &self,
        store: &UsageStore,
        generation: u64,
        terms: &Arc<QuotaTerms>,
        class: Option<TrafficClass>,
    ) -> Result<(), OverQuota> {
        let refuses = |stage: Stage| class.is_some_and(|class| stage.refuses(class));
        let now = store.now();
        let edition = store.edition(generation);
        let valid = self.valid_from.load(Ordering::Acquire)..self.valid_until.load(Ordering::Acquire);
        if self.edition.load(Ordering::Acquire) < edition || !valid.contains(&now) {
            let mut book = self.book();
            if self.edition.load(Ordering::Acquire) < edition {
                book.terms = Arc::clone(terms);
            }
            self.assess(store, &mut book, now, edition);
        }
        if refuses(self.stage()) {
            return Err(self.over(now));
        }
        let before = self.add_up(Meter::Requests, 1);
        store.note_untold(self);
        let after = before.saturating_add(1);
        // The stage is looked at once more: another request may have used up the quota meanwhile.
        if after >= self.wake_at(Meter::Requests) || refuses(self.stage()) {
            let mut book = self.book();
            let mut totals = self.totals();
            *totals.of_mut(Meter::Requests) = before;
            // The last request that the quota has room for is served; the next one is not.
            let refused = refuses(book.ledger.stage_at(&book.terms, totals, now));
            if refused {
                self.take_back(1);
            }
            self.assess(store, &mut book, now, edition);
            drop(book);
            if refused {
                return Err(self.over(now));
            }
        }
        Ok(())
    }

    /// Takes a request back that was counted and then refused by the gateway.
    pub(super) fn take_back(&self, requests: u64) {
        let [total, ..] = &self.totals;
        total.fetch_sub(requests, Ordering::AcqRel);
    }

    /// Counts what was used, whatever the quota says.
    pub(super) fn spend(&self, store: &UsageStore, meter: Meter, amount: u64) {
        let after = self.add_up(meter, amount).saturating_add(amount);
        store.note_untold(self);
        if after >= self.wake_at(meter) {
            self.look_again(store);
        }
    }

    /// Counts what another process has used.
    pub(super) fn add(&self, more: Totals) {
        for meter in Meter::ALL {
            self.add_up(meter, more.of(meter));
        }
    }

    /// Whether other nodes have to be told of it for the first time since they were told last; says so once.
    pub(super) fn is_newly_untold(&self) -> bool {
        !self.untold.load(Ordering::Relaxed) && !self.untold.swap(true, Ordering::AcqRel)
    }

    /// What this node says to others about each quota of the tenant.
    #[must_use]
    pub fn node_uses(&self) -> Vec<(QuotaKey, NodeUse)> {
        // Before it is read: what is used from here on is told the next time.
        self.untold.store(false, Ordering::Release);
        let book = self.book();
        let totals = self.totals();
        let balances = book.ledger.balances.iter();
        balances.map(|balance| (balance.key(), balance.node_use(totals.of(balance.key().meter)))).collect()
    }

    /// Notes what other nodes have used.
    pub fn note_elsewhere(&self, store: &UsageStore, uses: &[(Box<str>, QuotaKey, NodeUse)]) {
        let mut book = self.book();
        let mut news = false;
        for (node, key, used) in uses {
            if let Some(balance) = book.ledger.balances.iter_mut().find(|balance| balance.key() == *key) {
                news |= balance.note_elsewhere(node, *used);
            }
        }
        if !news {
            return;
        }
        let now = store.now();
        let edition = self.edition.load(Ordering::Acquire);
        self.assess(store, &mut book, now, edition);
        if store.is_keeper() && now.saturating_sub(book.elsewhere_kept_at).abs() >= ELSEWHERE_KEPT_EVERY {
            store.keep_ledger(&self.id, &book.ledger, Vec::new());
            book.elsewhere_kept_at = now;
        }
    }

    /// Makes the next assessment, because something changed.
    pub(super) fn look_again(&self, store: &UsageStore) {
        let mut book = self.book();
        let edition = self.edition.load(Ordering::Acquire);
        self.assess(store, &mut book, store.now(), edition);
    }

    fn add_up(&self, meter: Meter, amount: u64) -> u64 {
        let total = self.totals.get(meter.position());
        total.map_or(0, |total| total.fetch_add(amount, Ordering::AcqRel))
    }

    fn wake_at(&self, meter: Meter) -> u64 {
        let wake_at = self.wake_at.get(meter.position());
        wake_at.map_or(u64::MAX, |wake_at| wake_at.load(Ordering::Acquire))
    }

    pub(super) fn assess(&self, store: &UsageStore, book: &mut TenantBook, now: i64, edition: u64) {
        let mut fired: Vec<Fired> = Vec::new();
        let totals = self.totals();
        let TenantBook { ledger, terms, exhausted, .. } = book;
        let assessment = if store.is_keeper() {
            let assessment =
                store.with_periods(|periods| assess(terms, ledger, totals, now, periods, &mut fired));
            if assessment.changed {
                store.keep_ledger(&self.id, ledger, self.messages(&fired));
            }
            assessment
        } else {
            // Another process says what follows from all that both count: this one only acts on it.
            let mut ledger = ledger.clone();
            store.with_periods(|periods| assess(terms, &mut ledger, totals, now, periods, &mut Vec::new()))
        };
        *exhausted = assessment.exhausted;
        self.publish(&assessment, edition);
    }

    fn messages(&self, fired: &[Fired]) -> Vec<Message> {
        let messages = fired.iter().map(|fired| Message::of(&self.id, fired, jiff::Timestamp::now()));
        let messages: Vec<Message> = messages.collect();
        for message in &messages {
            let Message { tenant, quota, period, percent, stage, used, limit, .. } = message;
            tracing::warn!(%tenant, %quota, %period, percent, %stage, used, limit, "a quota reached a threshold");
        }
        messages
    }

    fn publish(&self, assessment: &Assessment, edition: u64) {
        let place = Stage::ALL.into_iter().position(|stage| stage == assessment.stage);
        let place = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(0);
        // First the stage, then the totals up to which nobody looks: who sees the second has seen the first.
        self.stage.store(place, Ordering::Release);
        self.valid_from.store(assessment.valid.0, Ordering::Release);
        self.valid_until.store(assessment.valid.1, Ordering::Release);
        for meter in Meter::ALL {
            if let Some(wake_at) = self.wake_at.get(meter.position()) {
                wake_at.store(assessment.wake_at.of(meter), Ordering::Release);
            }
        }
        self.edition.store(edition, Ordering::Release);
    }

    /// Every quota of the tenant, in the order of its terms.
    #[must_use]
    pub fn views(&self, store: &UsageStore, generation: u64, terms: &Arc<QuotaTerms>) -> Vec<UsageView> {
        let mut book = self.book();
        let edition = store.edition(generation);
        if self.edition.load(Ordering::Acquire) <= edition {
            book.terms = Arc::clone(terms);
            self.assess(store, &mut book, store.now(), edition);
        }
        let totals = self.totals();
        let views = terms.quotas.iter().filter_map(|quota| {
            let balance = book.ledger.balance(quota.key)?;
            Some(UsageView::of(quota, balance, &book.ledger, totals, store.now(), self.stage()))
        });
        views.collect()
    }

    /// Does what an operator says; false when it was done before.
    ///
    /// # Errors
    /// There are too many grants.
    pub fn act(&self, store: &UsageStore, act: &Act) -> Result<bool, String> {
        let mut book = self.book();
        if store.knows(act) {
            return Ok(false);
        }
        match &act.deed {
            Deed::Grant { id, quota, amount, expires } => {
                if book.ledger.grants.len() >= GRANTS_MAX {
                    return Err(format!("the tenant has {GRANTS_MAX} grants that are not used up already"));
                }
                book.ledger.grants.push(Grant {
                    id: id.clone(),
                    quota: *quota,
                    left: amount.saturating_mul(quota.meter.counted_per_unit()),
                    expires: expires.as_second(),
                });
            }
            Deed::Reset { quota, .. } => {
                let total = self.totals().of(quota.meter);
                let balance = book.ledger.balances.iter_mut().find(|balance| balance.key() == *quota);
                balance.into_iter().for_each(|balance| balance.reset(total, act.time.as_second()));
            }
        }
        store.keep_act(act.clone());
        store.keep_ledger(&self.id, &book.ledger, Vec::new());
        let edition = self.edition.load(Ordering::Acquire);
        self.assess(store, &mut book, store.now(), edition);
        Ok(true)
    }

    fn over(&self, now: i64) -> OverQuota {
        let book = self.book();
        let exhausted = book.exhausted.unwrap_or(Exhausted { key: QuotaKey::ALL[0], ends: now });
        let quota = book.terms.quotas.iter().find(|quota| quota.key == exhausted.key);
        let limit = quota.map_or(0, |quota| book.ledger.limit(quota, now));
        let seconds = exhausted.ends.saturating_sub(now).clamp(1, RETRY_AFTER_SECONDS_MAX);
        OverQuota {
            key: exhausted.key,
            limit: units(exhausted.key.meter, limit),
            retry_after_seconds: u32::try_from(seconds).unwrap_or(1),
        }
    }
}
