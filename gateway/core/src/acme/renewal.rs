//! When a certificate is replaced.

use super::moment::Moment;
use core::time::Duration;

/// A number that differs from name to name and stays: it spreads what would otherwise happen at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// A part of a time: the same seed, the same part.
    #[must_use]
    pub fn part_of(self, time: Duration) -> Duration {
        // In thousandths: the seed's last digits are as good as any.
        let thousandths = u32::try_from(self.0 % 1_000).unwrap_or_default();
        time.saturating_mul(thousandths) / 1_000
    }
}

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// First moment.
    pub not_before: Moment,
    /// Last moment.
    pub not_after: Moment,
}

/// The span in which a server wants a certificate to be replaced (RFC 9773, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First moment.
    pub start: Moment,
    /// Last moment.
    pub end: Moment,
}

/// When to replace a certificate: at a point of the server's window, else after `percent` of its lifetime, less up to a
/// twentieth of it. Never after its end.
#[must_use]
pub fn renewal(lifetime: Lifetime, window: Option<Window>, percent: u8, seed: Seed) -> Moment {
    if let Some(Window { start, end }) = window {
        return start.after(seed.part_of(end.since(start))).min(lifetime.not_after);
    }
    let whole = lifetime.not_after.since(lifetime.not_before);
    let part = whole.saturating_mul(u32::from(percent)) / 100;
    lifetime.not_before.after(part.saturating_sub(seed.part_of(whole / 20))).min(lifetime.not_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const NINETY_DAYS: Lifetime = Lifetime { not_before: Moment(0), not_after: Moment(90 * DAY) };

    #[test]
    fn two_thirds_of_the_lifetime_are_used_less_some_jitter() {
        assert_eq!(renewal(NINETY_DAYS, None, 66, Seed(0)), Moment(90 * DAY * 66 / 100));
        let earliest = renewal(NINETY_DAYS, None, 66, Seed(999));
        assert!(earliest < Moment(56 * DAY) && earliest > Moment(54 * DAY), "{earliest:?}");
    }

    #[test]
    fn the_server_says_when_if_it_does() {
        let window = Window { start: Moment(50 * DAY), end: Moment(52 * DAY) };
        assert_eq!(renewal(NINETY_DAYS, Some(window), 66, Seed(0)), Moment(50 * DAY));
        assert_eq!(renewal(NINETY_DAYS, Some(window), 66, Seed(500)), Moment(51 * DAY));
        let past = Window { start: Moment(-DAY), end: Moment(-1) };
        assert!(renewal(NINETY_DAYS, Some(past), 66, Seed(7)) < Moment(0), "a window in the past means now");
        let upside_down = Window { start: Moment(60 * DAY), end: Moment(50 * DAY) };
        assert_eq!(renewal(NINETY_DAYS, Some(upside_down), 66, Seed(999)), Moment(60 * DAY));
        let beyond = Window { start: Moment(100 * DAY), end: Moment(110 * DAY) };
        assert_eq!(renewal(NINETY_DAYS, Some(beyond), 66, Seed(0)), NINETY_DAYS.not_after);
    }
}
