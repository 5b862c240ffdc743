//! How many units may be used over time.

/// Picoseconds of a second.
const PS_PER_SECOND: u64 = 1_000_000_000_000;

/// So many units a period, and so many at once. Both are at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Time that earns one unit, in picoseconds: with nanoseconds, a gigabyte a second would be off by a third.
    interval_ps: u64,
    burst: u64,
}

impl Rate {
    /// A rate of `units` in `period_seconds`. `None` when one of the numbers is zero, or the rate is faster than a
    /// unit a picosecond.
    #[must_use]
    pub fn new(units: u64, period_seconds: u64, burst: u64) -> Option<Self> {
        let period_ps = u128::from(PS_PER_SECOND).checked_mul(u128::from(period_seconds))?;
        let interval_ps = u64::try_from(period_ps.checked_div(u128::from(units))?).ok()?;
        (interval_ps > 0 && burst > 0).then_some(Self { interval_ps, burst })
    }

    /// Units that may be used at once by whoever was idle.
    #[must_use]
    pub const fn burst(self) -> u64 {
        self.burst
    }

    /// Picoseconds that earn one unit.
    #[must_use]
    pub const fn interval_ps(self) -> u64 {
        self.interval_ps
    }

    /// Units a second, rounded.
    #[must_use]
    pub fn per_second(self) -> f64 {
        let interval = core::time::Duration::from_nanos(self.interval_ps);
        // Picoseconds as nanoseconds: a second becomes a thousand.
        (1_000.0 / interval.as_secs_f64() * 1_000.0).round() / 1_000.0
    }

    /// Seconds in which the whole burst is earned back, rounded up; at least one.
    #[must_use]
    pub fn window_seconds(self) -> u64 {
        let picoseconds = u128::from(self.interval_ps).saturating_mul(u128::from(self.burst));
        let seconds = picoseconds.div_ceil(u128::from(PS_PER_SECOND)).max(1);
        u64::try_from(seconds).unwrap_or(u64::MAX)
    }

    /// So much percent of the rate and of its burst.
    #[must_use]
    pub fn percent(self, percent: u8) -> Self {
        self.share(u32::from(percent).saturating_mul(65_536) / 100)
    }

    /// A share of the rate and of its burst, in parts of 65,536; at least a burst of one. For a node of several.
    #[must_use]
    pub fn share(self, parts: u32) -> Self {
        const WHOLE: u32 = 65_536;
        if parts >= WHOLE {
            return self;
        }
        let parts = parts.max(1);
        // Each request asks: one division of 64 bits where the numbers allow it, and of 128 where they do not.
        let interval_ps = match self.interval_ps.checked_mul(u64::from(WHOLE)) {
            Some(scaled) => scaled.div_ceil(u64::from(parts)),
            None => {
                let scaled = u128::from(self.interval_ps).saturating_mul(u128::from(WHOLE));
                u64::try_from(scaled.div_ceil(u128::from(parts))).unwrap_or(u64::MAX)
            }
        };
        let burst = u128::from(self.burst).saturating_mul(u128::from(parts)) >> WHOLE.trailing_zeros();
        Self { interval_ps, burst: u64::try_from(burst).unwrap_or(u64::MAX).max(1) }
    }
}
