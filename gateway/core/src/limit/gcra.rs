//! The generic cell rate algorithm (ITU-T I.371, "virtual scheduling"), on one number.
//!
//! The number is the theoretical arrival time: the moment at which everything that was charged has been earned back, in
//! nanoseconds on the caller's clock. It lies in the past for whoever is idle, so zero is a fine beginning. How far it
//! lies in the future is the debt.

use super::Rate;

/// A moment on the caller's clock, in nanoseconds. The clock should not jump; when it does, a debt is never more than
/// [`Rate::debt_max_ns`] afterwards.
pub type Moment = u64;

/// Picoseconds of a nanosecond.
const PS_PER_NS: u128 = 1_000;
/// Nanoseconds of a second.
const NS_PER_SECOND: u64 = 1_000_000_000;

/// Why a charge was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// After how many nanoseconds the same charge would be taken, if nobody else charges anything.
    pub wait_ns: u64,
}

/// How much is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// Whole units that could be charged now.
    pub units: u64,
    /// Nanoseconds until everything has been earned back.
    pub full_in_ns: u64,
}

impl Rate {
    /// What units cost, in nanoseconds, rounded up.
    fn cost_ns(self, units: u64) -> u64 {
        let picoseconds = u128::from(units).saturating_mul(u128::from(self.interval_ps()));
        u64::try_from(picoseconds.div_ceil(PS_PER_NS)).unwrap_or(u64::MAX)
    }

    /// Furthest that a number may lie in the future: an hour of debt beyond the burst.
    #[must_use]
    pub fn debt_max_ns(self) -> u64 {
        self.cost_ns(self.burst()).saturating_add(NS_PER_SECOND.saturating_mul(3_600))
    }

    /// Nanoseconds that earn the whole burst.
    #[must_use]
    pub fn burst_ns(self) -> u64 {
        self.cost_ns(self.burst())
    }

    fn debt_ns(self, arrival: Moment, now: Moment) -> u64 {
        arrival.saturating_sub(now).min(self.debt_max_ns())
    }

    /// Charges units, if at most the burst is owed afterwards, and returns the new number. `reserve` units more than
    /// the burst may be owed by what must not be refused too early. More units than the burst are taken when nothing is
    /// owed: they would never be taken otherwise.
    ///
    /// # Errors
    /// [`Exhausted`], and nothing is charged.
    pub fn charge(self, arrival: Moment, now: Moment, units: u64, reserve: u64) -> Result<Moment, Exhausted> {
        let debt = self.debt_ns(arrival, now);
        let after = debt.saturating_add(self.cost_ns(units));
        let allowed = self.cost_ns(self.burst().saturating_add(reserve).max(units));
        match after.checked_sub(allowed) {
            None | Some(0) => Ok(now.saturating_add(after)),
            Some(wait_ns) => Err(Exhausted { wait_ns }),
        }
    }

    /// Charges units that are used already, whatever is owed.
    #[must_use]
    pub fn charge_debt(self, arrival: Moment, now: Moment, units: u64) -> Moment {
        let after = self.debt_ns(arrival, now).saturating_add(self.cost_ns(units));
        now.saturating_add(after.min(self.debt_max_ns()))
    }

    /// Gives back units that were charged and not used.
    #[must_use]
    pub fn refund(self, arrival: Moment, now: Moment, units: u64) -> Moment {
        now.saturating_add(self.debt_ns(arrival, now).saturating_sub(self.cost_ns(units)))
    }

    /// How much is left, without charging anything.
    #[must_use]
    pub fn peek(self, arrival: Moment, now: Moment) -> Remaining {
        let debt = self.debt_ns(arrival, now);
        let left = u128::from(self.cost_ns(self.burst()).saturating_sub(debt)).saturating_mul(PS_PER_NS);
        let units = left.checked_div(u128::from(self.interval_ps())).unwrap_or(0);
        Remaining { units: u64::try_from(units).unwrap_or(u64::MAX), full_in_ns: debt }
    }

    /// The number that owes as many units at this rate as the given one does at another.
    #[must_use]
    pub fn carry(self, arrival: Moment, now: Moment, interval_ps_before: u64) -> Moment {
        let debt = u128::from(arrival.saturating_sub(now)).saturating_mul(u128::from(self.interval_ps()));
        let debt = debt.checked_div(u128::from(interval_ps_before)).unwrap_or(0);
        let debt = u64::try_from(debt).unwrap_or(u64::MAX).min(self.debt_max_ns());
        now.saturating_add(debt)
    }
}
