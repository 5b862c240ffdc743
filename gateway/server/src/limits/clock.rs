//! The clock of limits.

use fleetgate_core::limit::Moment;
use std::sync::LazyLock;
use std::time::Instant;

/// Zero of the clock: the first look at it.
static BORN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// An instant on the clock of limits. It never goes back, whatever happens to the time of day.
#[must_use]
pub fn moment(at: Instant) -> Moment {
    u64::try_from(at.saturating_duration_since(*BORN).as_nanos()).unwrap_or(Moment::MAX)
}
