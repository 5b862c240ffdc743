//! What a plan says about quotas.

use super::calendar::Calendar;
use super::meter::{Meter, QuotaKey};
use crate::traffic::TrafficClass;

/// A budget for a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    /// What it counts, and for how long.
    pub key: QuotaKey,
    /// How much of it, as the meter counts; at least 1.
    pub limit: u64,
}

/// What happens to a tenant that has used much of a quota. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Stage {
    /// Nothing.
    #[default]
    Within,
    /// Somebody was told.
    Warned,
    /// The tenant's rate limits are lower.
    Slowed,
    /// Programs and long jobs are refused; people work on.
    Shed,
    /// Everything is refused but static files.
    Stopped,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 5] = [Self::Within, Self::Warned, Self::Slowed, Self::Shed, Self::Stopped];

    /// Whether requests of a class are refused. Programs go first, people last; static files cost no worker, and a page
    /// without them could not even say what is wrong.
    #[must_use]
    pub const fn refuses(self, class: TrafficClass) -> bool {
        match self {
            Self::Within | Self::Warned | Self::Slowed => false,
            Self::Shed => {
                matches!(class, TrafficClass::Rpc | TrafficClass::Integration | TrafficClass::Report)
            }
            Self::Stopped => !matches!(class, TrafficClass::Static),
        }
    }

    /// Name in answers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Warned => "warned",
            Self::Slowed => "slowed",
            Self::Shed => "shed",
            Self::Stopped => "stopped",
        }
    }
}

/// A part of a quota at which something happens, once a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Threshold {
    /// Percent of the quota.
    pub percent: u16,
    /// What happens from there on.
    pub stage: Stage,
    /// The only quota that it is for; all, when there is none.
    pub only: Option<QuotaKey>,
}

/// The quotas of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct QuotaTerms {
    /// Budgets, at most one for each [`QuotaKey`].
    pub quotas: Vec<Quota>,
    /// Thresholds by percent, the lowest first.
    pub thresholds: Vec<Threshold>,
    /// Where periods begin.
    pub calendar: Calendar,
    /// Whether periods are windows that end now, instead of those of the calendar.
    pub rolling: bool,
    /// Percent of a quota that may be carried over to the next period when it was not used.
    pub carry_over_percent: u8,
    /// Percent of the tenant's rates that is left in the stage [`Stage::Slowed`].
    pub slowed_percent: u8,
}

impl QuotaTerms {
    /// The quotas of a meter.
    pub fn of_meter(&self, meter: Meter) -> impl Iterator<Item = &Quota> {
        self.quotas.iter().filter(move |quota| quota.key.meter == meter)
    }

    /// The thresholds of a quota, the lowest first.
    pub fn thresholds_of(&self, key: QuotaKey) -> impl Iterator<Item = &Threshold> {
        self.thresholds.iter().filter(move |threshold| threshold.only.is_none_or(|only| only == key))
    }
}

/// A part of a quota, rounded up: a threshold is reached when all of it was used.
pub(super) fn percent_of(limit: u64, percent: u16) -> u64 {
    let part = u128::from(limit).saturating_mul(u128::from(percent)).div_ceil(100);
    u64::try_from(part).unwrap_or(u64::MAX)
}
