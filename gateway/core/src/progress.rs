//! How slow a client may be while a body is on its way.

use core::num::NonZeroU32;
use core::time::Duration;

/// The slowest that a client may send or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// Bytes that have to move in a second, on average.
    pub bytes_per_second_min: NonZeroU32,
    /// What a client may lag behind that: the longest standstill, and all that it gets to begin with.
    pub patience: Duration,
}

impl Floor {
    /// The longest that so many bytes may take.
    #[must_use]
    pub fn longest(&self, bytes: u64) -> Duration {
        self.patience.saturating_add(self.earned(bytes))
    }

    fn earned(&self, bytes: u64) -> Duration {
        let rate = u64::from(self.bytes_per_second_min.get());
        Duration::from_millis(bytes.saturating_mul(1_000).checked_div(rate).unwrap_or(0))
    }
}

/// What is left of a client's patience with us, or ours with it.
///
/// Time that is spent waiting for the client is taken off, each byte that moves earns its time at the slowest rate, and
/// no more than [`Floor::patience`] is ever saved up. So a fast client that stops is cut as soon as a slow one, and one
/// that is slow and steady never is.
#[derive(Debug, Clone)]
pub struct Progress {
    floor: Floor,
    left: Duration,
}

impl Progress {
    /// Begins with all of the patience.
    #[must_use]
    pub const fn new(floor: Floor) -> Self {
        Self { floor, left: floor.patience }
    }

    /// What may still be waited.
    #[must_use]
    pub const fn left(&self) -> Duration {
        self.left
    }

    /// The client was waited for, and then bytes moved.
    pub fn waited(&mut self, time: Duration, bytes: u64) {
        let left = self.left.saturating_sub(time).saturating_add(self.floor.earned(bytes));
        self.left = left.min(self.floor.patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLOOR: Floor =
        Floor { bytes_per_second_min: NonZeroU32::new(500).unwrap(), patience: Duration::from_secs(30) };

    /// Whether a client that moves so many bytes each so many seconds is still there after an hour.
    fn lives(bytes: u64, seconds: u64) -> bool {
        let mut progress = Progress::new(FLOOR);
        (0..3_600_u64.div_ceil(seconds)).all(|_| {
            let lives = progress.left() >= Duration::from_secs(seconds);
            progress.waited(Duration::from_secs(seconds), bytes);
            lives
        })
    }

    #[test]
    fn a_phone_on_a_train_lives_and_a_byte_a_second_does_not() {
        assert!(lives(2_048, 1));
        assert!(lives(60_000, 29), "through tunnels");
        assert!(lives(500, 1));
        assert!(!lives(1, 1));
        assert!(!lives(450, 1));
    }

    #[test]
    fn what_was_fast_before_does_not_pay_for_a_standstill() {
        let mut progress = Progress::new(FLOOR);
        progress.waited(Duration::from_secs(1), 1 << 40);
        assert_eq!(progress.left(), FLOOR.patience);
        progress.waited(Duration::from_secs(40), 0);
        assert_eq!(progress.left(), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn whoever_is_still_there_has_moved_what_it_had_to(
            steps in prop::collection::vec((0_u64..40_000, 0_u64..100_000), 1..200),
        ) {
            let mut progress = Progress::new(FLOOR);
            let (mut waited, mut moved) = (0_u64, 0_u64);
            for (milliseconds, bytes) in steps {
                if progress.left() < Duration::from_millis(milliseconds) {
                    break;
                }
                progress.waited(Duration::from_millis(milliseconds), bytes);
                waited += milliseconds;
                moved += bytes;
                prop_assert!(waited <= 30_000 + moved * 2);
            }
        }
    }
}
