//! What operators add to a quota.

use super::meter::QuotaKey;
use serde::{Deserialize, Serialize};

/// An amount on top of a quota, until it is used up or expires.
///
/// A period uses what the plan gives first; what it used beyond that is taken off the grants when it ends, those that
/// expire first before the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Chosen by who grants: the same id twice is one grant.
    pub id: Box<str>,
    /// Quota that it adds to.
    pub quota: QuotaKey,
    /// What is left of it, as the meter counts.
    pub left: u64,
    /// Second from which on it counts no more.
    pub expires: i64,
}

/// What grants add to a quota now.
pub(super) fn granted(grants: &[Grant], quota: QuotaKey, now: i64) -> u64 {
    active(grants, quota, now).fold(0, |sum, grant| sum.saturating_add(grant.left))
}

/// The next moment at which a grant to a quota expires.
pub(super) fn next_expiry(grants: &[Grant], quota: QuotaKey, now: i64) -> i64 {
    active(grants, quota, now).map(|grant| grant.expires).min().unwrap_or(i64::MAX)
}

fn active(grants: &[Grant], quota: QuotaKey, now: i64) -> impl Iterator<Item = &Grant> {
    grants.iter().filter(move |grant| grant.quota == quota && now < grant.expires && grant.left > 0)
}

/// Takes what a period used beyond its plan off the grants that were there when it ended.
pub(super) fn use_up(grants: &mut [Grant], quota: QuotaKey, at: i64, mut amount: u64) {
    while amount > 0 {
        let usable = |grant: &&mut Grant| grant.quota == quota && at <= grant.expires && grant.left > 0;
        let Some(grant) = grants.iter_mut().filter(usable).min_by_key(|grant| grant.expires) else { return };
        let taken = grant.left.min(amount);
        grant.left = grant.left.saturating_sub(taken);
        amount = amount.saturating_sub(taken);
    }
}
