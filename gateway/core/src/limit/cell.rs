//! A limit's one number, charged by many threads.

use super::Rate;
use super::gcra::{Exhausted, Moment, Remaining};
use core::sync::atomic::{AtomicU64, Ordering};

/// What is used of one limit. The rate is an argument of every call: a changed one counts at once, and what was used
/// stays used.
#[derive(Debug, Default)]
pub struct LimitCell {
    arrival: AtomicU64,
    /// Interval of the rate that `arrival` was made with; 0 before the first.
    interval_ps: AtomicU64,
}

impl LimitCell {
    /// Charges units, see [`Rate::charge`], and says what is left.
    ///
    /// # Errors
    /// [`Exhausted`], and nothing is charged.
    pub fn charge(&self, rate: Rate, now: Moment, units: u64, reserve: u64) -> Result<Remaining, Exhausted> {
        self.follow(rate, now);
        let mut arrival = self.arrival.load(Ordering::Relaxed);
        loop {
            let next = rate.charge(arrival, now, units, reserve)?;
            match self.arrival.compare_exchange_weak(arrival, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(rate.peek(next, now)),
                Err(other) => arrival = other,
            }
        }
    }

    /// Charges units that are used already, see [`Rate::charge_debt`].
    pub fn charge_debt(&self, rate: Rate, now: Moment, units: u64) {
        self.follow(rate, now);
        self.update(|arrival| rate.charge_debt(arrival, now, units));
    }

    /// Gives units back, see [`Rate::refund`].
    pub fn refund(&self, rate: Rate, now: Moment, units: u64) {
        self.follow(rate, now);
        self.update(|arrival| rate.refund(arrival, now, units));
    }

    /// How much is left.
    #[must_use]
    pub fn peek(&self, rate: Rate, now: Moment) -> Remaining {
        self.follow(rate, now);
        rate.peek(self.arrival.load(Ordering::Relaxed), now)
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_idle(&self, now: Moment) -> bool {
        self.arrival.load(Ordering::Relaxed) <= now
    }

    /// Takes over what is used from another rate. Whoever wins the exchange converts; a charge in between is converted
    /// along, so it counts for more or less than it was, once.
    fn follow(&self, rate: Rate, now: Moment) {
        let before = self.interval_ps.load(Ordering::Relaxed);
        let interval = rate.interval_ps();
        if before == interval {
            return;
        }
        let won = self.interval_ps.compare_exchange(before, interval, Ordering::Relaxed, Ordering::Relaxed);
        if won.is_ok() && before != 0 {
            self.update(|arrival| rate.carry(arrival, now, before));
        }
    }

    fn update(&self, change: impl Fn(Moment) -> Moment) {
        let mut arrival = self.arrival.load(Ordering::Relaxed);
        while let Err(other) =
            self.arrival.compare_exchange_weak(arrival, change(arrival), Ordering::Relaxed, Ordering::Relaxed)
        {
            arrival = other;
        }
    }
}
