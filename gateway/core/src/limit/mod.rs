//! Limits: what a tenant may use at once and over time. Time is an argument; what is counted is in memory.

mod cell;
mod gcra;
mod rate;
mod report;

pub use cell::LimitCell;
pub use gcra::{Exhausted, Moment, Remaining};
pub use rate::Rate;
pub use report::{LimitReport, LimitUnit, LimitUse};

/// Place of a tenant's limits in [`Fleet::limits`](crate::config::Fleet::limits). The first are those of a tenant
/// without a plan: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LimitsIndex(pub u32);

/// The limits of a tenant: those of its plan, with its own changes. Equal ones are stored once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Limits {
    /// Name of the plan.
    pub plan: Option<Box<str>>,
    /// Requests of all classes but websockets.
    pub requests: Option<Rate>,
    /// Requests in flight at once, of all classes but websockets.
    pub concurrent_requests: Option<u32>,
    /// Open websockets.
    pub websockets: Option<u32>,
}

/// Limits of a tenant without any.
static NONE: Limits = Limits { plan: None, requests: None, concurrent_requests: None, websockets: None };

impl Limits {
    /// The limits at a place.
    #[must_use]
    pub fn at(all: &[Self], index: LimitsIndex) -> &Self {
        usize::try_from(index.0).ok().and_then(|index| all.get(index)).unwrap_or(&NONE)
    }
}

/// A limit by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitName {
    /// Requests of the tenant over time.
    Requests,
    /// Requests of the tenant at once.
    ConcurrentRequests,
    /// Open websockets of the tenant.
    Websockets,
}

impl LimitName {
    /// Every limit.
    pub const ALL: [Self; 3] = [Self::Requests, Self::ConcurrentRequests, Self::Websockets];

    /// Name in logs, metrics and header fields; never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::ConcurrentRequests => "concurrent_requests",
            Self::Websockets => "websockets",
        }
    }
}

#[cfg(test)]
mod tests;
