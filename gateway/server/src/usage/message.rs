//! What is told about a threshold.

use fleetgate_core::quota::{Fired, Meter};
use serde::{Deserialize, Serialize};

/// A threshold of a tenant's quota was reached. The body of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Same for the same tenant, quota, period and threshold: whoever gets it twice knows.
    pub id: Box<str>,
    /// When, RFC 3339.
    pub time: jiff::Timestamp,
    /// Tenant.
    pub tenant: Box<str>,
    /// Quota, such as `requests_per_day`.
    pub quota: Box<str>,
    /// Period, such as `2026-11@Europe/Paris#d1`.
    pub period: Box<str>,
    /// Percent of the quota.
    pub percent: u16,
    /// What happens from there on: `warned`, `slowed`, `shed` or `stopped`.
    pub stage: Box<str>,
    /// What was used, in units of the quota's name.
    pub used: u64,
    /// What may be used, with grants and what was carried over.
    pub limit: u64,
}

impl Message {
    /// The message about a threshold.
    pub(super) fn of(tenant: &str, fired: &Fired, time: jiff::Timestamp) -> Self {
        let quota = fired.key.as_str();
        let name = format!("{tenant}\0{quota}\0{}\0{}", fired.period.id, fired.percent);
        Self {
            id: blake3::hash(name.as_bytes()).to_hex().chars().take(32).collect::<String>().into(),
            time,
            tenant: tenant.into(),
            quota: quota.into(),
            period: fired.period.id.clone(),
            percent: fired.percent,
            stage: fired.stage.as_str().into(),
            used: units(fired.key.meter, fired.used),
            limit: units(fired.key.meter, fired.limit),
        }
    }
}

/// What a meter counted, in units of its name, rounded down.
#[must_use]
pub(super) fn units(meter: Meter, counted: u64) -> u64 {
    counted.checked_div(meter.counted_per_unit()).unwrap_or(counted)
}
