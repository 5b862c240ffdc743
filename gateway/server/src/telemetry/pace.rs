//! Logging that a flood cannot flood.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two lines about the same thing.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Says when something that happens too often to be logged each time is logged again.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    /// When the next line may be written, in milliseconds after `began`.
    next_ms: AtomicU64,
    unlogged: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { began: Instant::now(), next_ms: AtomicU64::new(0), unlogged: AtomicU64::new(0) }
    }
}

impl Pace {
    /// Notes an event. `Some`: log it now, as the last of so many.
    #[must_use]
    pub fn note(&self) -> Option<u64> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.unlogged.fetch_add(1, Ordering::Relaxed);
        let (now, next) = (millis(self.began.elapsed()), self.next_ms.load(Ordering::Relaxed));
        let later = now.saturating_add(millis(BETWEEN_LINES));
        let ours = now >= next
            && self.next_ms.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        ours.then(|| self.unlogged.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_is_logged_and_a_flood_is_not() {
        let pace = Pace::default();
        assert_eq!(pace.note(), Some(1));
        assert_eq!((0..1_000).filter_map(|_| pace.note()).sum::<u64>(), 0);
        pace.next_ms.store(0, Ordering::Relaxed);
        assert_eq!(pace.note(), Some(1_001));
    }
}
