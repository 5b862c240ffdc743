//! What a pool's config says about moving between regions.

use core::time::Duration;

/// Who decides to leave a region that could still take writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailoverMode {
    /// A person.
    #[default]
    Manual,
    /// The gateway, when every backend of the region is down and another region has backends on the same database.
    Automatic,
}

/// A time in which nothing moves by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freeze {
    /// Its first moment.
    pub from: jiff::Timestamp,
    /// The first moment after it.
    pub until: jiff::Timestamp,
}

impl Freeze {
    /// Whether a moment is in it.
    #[must_use]
    pub fn holds(&self, now: jiff::Timestamp) -> bool {
        (self.from..self.until).contains(&now)
    }
}

/// How a pool moves between regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// Who decides.
    pub mode: FailoverMode,
    /// Gateways that decide together; `None`: each decides for itself.
    pub quorum: Option<u8>,
    /// Least time between two automatic moves.
    pub hold_down: Duration,
    /// Automatic moves in 24 hours at most.
    pub moves_per_day_max: u8,
    /// Furthest that a standby may be behind to be called ready.
    pub lag_max: Duration,
    /// For how long after the end of service in one region requests wait for another.
    pub hold: Duration,
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        Self {
            mode: FailoverMode::Manual,
            quorum: None,
            hold_down: Duration::from_secs(600),
            moves_per_day_max: 3,
            lag_max: Duration::from_secs(30),
            hold: Duration::from_secs(5),
        }
    }
}
