//! What becomes of a request while its pool moves to another region.

use super::{RegionIndex, Route, region_of};
use crate::rejection::Rejection;
use core::time::Duration;

/// Requests of a pool that are held at once.
pub const HELD_MAX: u32 = 1_000;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A region serves it.
    Enter(RegionIndex),
    /// It is held for so long at most: the pool is between two regions.
    Hold(Duration),
    /// The gateway answers.
    Refuse(Rejection),
}

impl Route {
    /// What becomes of a request; `reads` says that its method is a safe one. `stopped` is how long ago the pool last
    /// served, `hold` how long after that requests are held.
    ///
    /// The time counts from the end of service and not from each request: a move takes seconds, and whoever comes later
    /// in an outage is told so at once. Where two databases take writes nothing is held, because a person has to decide.
    #[must_use]
    pub fn entry(self, reads: bool, stopped: Duration, hold: Duration) -> Entry {
        let left = hold.saturating_sub(stopped);
        match region_of(self, reads) {
            Ok(region) => Entry::Enter(region),
            Err(Rejection::RegionUnwritable) if self != Self::Isolated && !left.is_zero() => {
                Entry::Hold(left)
            }
            Err(rejection) => Entry::Refuse(rejection),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(5);
    const ROUTES: [Route; 5] =
        [Route::Serve(1), Route::Fenced(1), Route::Unwritable, Route::Agreeing(1), Route::Isolated];

    #[test]
    fn a_pool_that_moves_holds_requests_until_the_time_is_over() {
        for route in [Route::Unwritable, Route::Agreeing(1)] {
            for reads in [true, false] {
                let after = |seconds| route.entry(reads, Duration::from_secs(seconds), HOLD);
                assert_eq!(after(0), Entry::Hold(HOLD), "{route:?}");
                assert_eq!(after(4), Entry::Hold(Duration::from_secs(1)), "{route:?}");
                for late in [5, 6, 1_000_000] {
                    assert_eq!(after(late), Entry::Refuse(Rejection::RegionUnwritable), "{route:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_held_where_a_person_has_to_decide_or_nobody_is_heard() {
        assert_eq!(Route::Fenced(1).entry(true, Duration::ZERO, HOLD), Entry::Enter(1));
        let refused = |route: Route| route.entry(false, Duration::ZERO, HOLD);
        assert_eq!(refused(Route::Fenced(1)), Entry::Refuse(Rejection::RegionFenced));
        assert_eq!(refused(Route::Isolated), Entry::Refuse(Rejection::RegionUnwritable));
    }

    #[test]
    fn a_hold_only_puts_off_what_is_decided_without_one() {
        for route in ROUTES {
            for reads in [true, false] {
                let now = route.entry(reads, Duration::ZERO, Duration::ZERO);
                assert!(!matches!(now, Entry::Hold(_)), "{route:?}");
                let held = route.entry(reads, Duration::ZERO, HOLD);
                assert!(held == now || matches!(held, Entry::Hold(left) if left == HOLD), "{route:?}");
            }
        }
    }
}
