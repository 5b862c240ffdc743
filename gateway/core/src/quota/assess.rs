//! What follows from what a tenant has used.

use super::balance::Balance;
use super::calendar::{Period, Periods};
use super::grant::{Grant, granted, next_expiry};
use super::meter::{QuotaKey, Totals};
use super::terms::{Quota, QuotaTerms, Stage};
use std::sync::Arc;

/// The quotas of a tenant with what was granted to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// One balance a quota, also of quotas that the plan no longer has.
    pub balances: Vec<Balance>,
    /// Grants; those that are used up or over are left out in time.
    pub grants: Vec<Grant>,
}

/// What follows, and for how long that is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessment {
    /// What happens to the tenant's requests.
    pub stage: Stage,
    /// The quota that brought it there, that which lasts longest; `None` while the stage is [`Stage::Within`].
    pub exhausted: Option<Exhausted>,
    /// By meter, the total from which on this has to be asked again.
    pub wake_at: Totals,
    /// The moments for which this is true: from the first, before the second.
    pub valid: (i64, i64),
    /// Whether balances or grants changed and have to be written down.
    pub changed: bool,
}

/// A quota of which so much was used that something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// Which.
    pub key: QuotaKey,
    /// When its period ends. Of a window, when its next piece begins.
    pub ends: i64,
}

/// A threshold that was reached for the first time in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// Which quota.
    pub key: QuotaKey,
    /// Which period.
    pub period: Arc<Period>,
    /// Percent of the quota.
    pub percent: u16,
    /// What happens from there on.
    pub stage: Stage,
    /// What was used, as the meter counts.
    pub used: u64,
    /// What may be used, with grants and what was carried over.
    pub limit: u64,
}

impl Ledger {
    /// What may be used of a quota in the period under way.
    #[must_use]
    pub fn limit(&self, quota: &Quota, now: i64) -> u64 {
        let carried = self.balance(quota.key).map_or(0, Balance::carried);
        quota.limit.saturating_add(carried).saturating_add(granted(&self.grants, quota.key, now))
    }

    /// The balance of a quota.
    #[must_use]
    pub fn balance(&self, key: QuotaKey) -> Option<&Balance> {
        self.balances.iter().find(|balance| balance.key() == key)
    }

    /// What happens to the tenant's requests at other totals than those that were assessed last.
    #[must_use]
    pub fn stage_at(&self, terms: &QuotaTerms, totals: Totals, now: i64) -> Stage {
        let stages = terms.quotas.iter().filter_map(|quota| {
            let limit = self.limit(quota, now);
            let balance = self.balance(quota.key)?;
            let total = totals.of(quota.key.meter);
            let reached = terms
                .thresholds_of(quota.key)
                .filter(|threshold| balance.reached_at(total, limit, threshold.percent).is_none());
            reached.map(|threshold| threshold.stage).max()
        });
        stages.max().unwrap_or_default()
    }
}

/// Moves a tenant's balances on to `now` and says what follows from its totals. Thresholds that were reached for the
/// first time in their period are added to `fired`, the lowest first.
pub fn assess(
    terms: &QuotaTerms,
    ledger: &mut Ledger,
    totals: Totals,
    now: i64,
    periods: &mut Periods,
    fired: &mut Vec<Fired>,
) -> Assessment {
    let mut assessment = Assessment {
        stage: Stage::Within,
        exhausted: None,
        wake_at: Totals([u64::MAX; 4]),
        valid: (i64::MIN, i64::MAX),
        changed: false,
    };
    for quota in &terms.quotas {
        let total = totals.of(quota.key.meter);
        assessment.changed |= move_on(terms, ledger, quota, total, now, periods);
        let limit = ledger.limit(quota, now);
        let expiry = next_expiry(&ledger.grants, quota.key, now);
        let Some(balance) = ledger.balances.iter_mut().find(|balance| balance.key() == quota.key) else {
            continue;
        };
        let (from, until) = balance.valid();
        assessment.valid = (assessment.valid.0.max(from), assessment.valid.1.min(until).min(expiry));
        for threshold in terms.thresholds_of(quota.key) {
            if let Some(at) = balance.reached_at(total, limit, threshold.percent) {
                let wake_at = assessment.wake_at.of_mut(quota.key.meter);
                *wake_at = (*wake_at).min(at);
                continue;
            }
            let ends = balance.period().ends;
            let later = assessment.exhausted.is_none_or(|known| known.ends < ends);
            if threshold.stage > assessment.stage || (threshold.stage == assessment.stage && later) {
                assessment.stage = threshold.stage;
                assessment.exhausted = Some(Exhausted { key: quota.key, ends });
            }
            if balance.note_fired(threshold.percent) {
                assessment.changed = true;
                fired.push(Fired {
                    key: quota.key,
                    period: Arc::clone(balance.period()),
                    percent: threshold.percent,
                    stage: threshold.stage,
                    used: balance.used(total),
                    limit,
                });
            }
        }
    }
    assessment.changed |= leave_out(terms, ledger, now);
    assessment
}

/// Opens the balance of a quota, or moves it on; true when it changed.
fn move_on(
    terms: &QuotaTerms,
    ledger: &mut Ledger,
    quota: &Quota,
    total: u64,
    now: i64,
    periods: &mut Periods,
) -> bool {
    let Ledger { balances, grants } = ledger;
    match balances.iter_mut().find(|balance| balance.key() == quota.key) {
        Some(balance) => balance.roll(terms, quota.limit, grants, total, now, periods),
        None => {
            balances.push(Balance::open(quota.key, terms, total, now, periods));
            true
        }
    }
}

/// Leaves out what nobody asks about any more: grants that are over, and balances of quotas that the plan lost a period
/// ago. A quota that comes back within its period goes on where it was.
fn leave_out(terms: &QuotaTerms, ledger: &mut Ledger, now: i64) -> bool {
    let before = (ledger.balances.len(), ledger.grants.len());
    let has = |key| terms.quotas.iter().any(|quota| quota.key == key);
    ledger.balances.retain(|balance| has(balance.key()) || now < balance.period().ends);
    ledger.grants.retain(|grant| now < grant.expires && grant.left > 0);
    (ledger.balances.len(), ledger.grants.len()) != before
}
