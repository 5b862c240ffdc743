//! A quota of a tenant, as operators see it.

use super::message::units;
use fleetgate_core::quota::{Balance, Closed, Ledger, Quota, QuotaKey, Stage, Totals};
use serde::{Deserialize, Serialize};

/// What has come of a quota. Amounts are in units of its name; bytes for egress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageView {
    /// Quota.
    pub quota: QuotaKey,
    /// Period that is under way.
    pub period: Box<str>,
    /// When it ends.
    pub ends: jiff::Timestamp,
    /// What was used.
    pub used: u64,
    /// What may be used: what the plan gives, what was carried over, what was granted.
    pub limit: u64,
    /// Of the limit, what was carried over from the period before.
    pub carried: u64,
    /// Of the limit, what operators granted.
    pub granted: u64,
    /// Percent of the limit that was used, rounded down.
    pub percent: u64,
    /// What happens to the tenant's requests, because of any of its quotas.
    pub stage: Box<str>,
    /// The period before, if there was one.
    pub previous: Option<PeriodView>,
}

/// A period that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodView {
    /// Period.
    pub period: Box<str>,
    /// What was used.
    pub used: u64,
    /// What might have been, without grants.
    pub limit: u64,
}

impl UsageView {
    pub(super) fn of(
        quota: &Quota,
        balance: &Balance,
        ledger: &Ledger,
        totals: Totals,
        now: i64,
        stage: Stage,
    ) -> Self {
        let meter = quota.key.meter;
        let counted = |amount: u64| units(meter, amount);
        let (used, limit) = (balance.used(totals.of(meter)), ledger.limit(quota, now));
        let own = quota.limit.saturating_add(balance.carried());
        let percent = u128::from(used).saturating_mul(100).checked_div(u128::from(limit)).unwrap_or(0);
        Self {
            quota: quota.key,
            period: balance.period().id.clone(),
            ends: jiff::Timestamp::from_second(balance.period().ends).unwrap_or(jiff::Timestamp::MAX),
            used: counted(used),
            limit: counted(limit),
            carried: counted(balance.carried()),
            granted: counted(limit.saturating_sub(own)),
            percent: u64::try_from(percent).unwrap_or(u64::MAX),
            stage: stage.as_str().into(),
            previous: balance.previous().map(|closed: &Closed| PeriodView {
                period: closed.period.id.clone(),
                used: counted(closed.used),
                limit: counted(closed.limit),
            }),
        }
    }
}
