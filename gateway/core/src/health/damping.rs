//! How many readings it takes to change one's mind.

use super::{Doubt, Moment};

/// What one run of a probe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As it should be.
    Pass,
    /// Not as it should be: too late, broken off, or a wrong answer.
    Fail,
}

/// How many readings it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damping {
    /// Failures until a signal fails. They need not be in a row: only [`Damping::rise`] passes in a row forgive them,
    /// so a server that answers every other probe is found out.
    pub fall: u8,
    /// Passes in a row until failures are forgiven.
    pub rise: u8,
}

/// What is believed of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Nothing was read yet.
    #[default]
    Unknown,
    /// It passes.
    Passing,
    /// It fails.
    Failing,
}

impl Standing {
    /// Name in answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Passing => "passing",
            Self::Failing => "failing",
        }
    }
}

/// A signal that does not change with every reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damped {
    standing: Standing,
    since: Moment,
    failures: u8,
    passes: u8,
    near_misses: u32,
    last: Option<(Moment, Reading)>,
}

impl Damped {
    /// Takes a reading. Whether the standing changed.
    ///
    /// The first pass is believed at once: before it, nothing spoke against the signal.
    pub fn note(&mut self, reading: Reading, damping: Damping, now: Moment) -> bool {
        self.last = Some((now, reading));
        match reading {
            Reading::Fail => {
                self.passes = 0;
                self.failures = self.failures.saturating_add(1);
            }
            Reading::Pass => {
                self.passes = self.passes.saturating_add(1);
                if self.passes >= damping.rise {
                    let near = self.failures > 0 && self.standing != Standing::Failing;
                    self.near_misses = self.near_misses.saturating_add(u32::from(near));
                    self.failures = 0;
                }
            }
        }
        let next = match self.standing {
            _ if self.failures >= damping.fall => Standing::Failing,
            Standing::Failing if self.failures > 0 => Standing::Failing,
            Standing::Unknown if reading == Reading::Fail => Standing::Unknown,
            Standing::Unknown | Standing::Passing | Standing::Failing => Standing::Passing,
        };
        let changed = next != self.standing;
        if changed {
            self.since = now;
            self.standing = next;
        }
        changed
    }

    /// What is believed.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether it is believed to fail.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.standing == Standing::Failing
    }

    /// What is thought of it, for how it is asked.
    #[must_use]
    pub fn doubt(&self) -> Doubt {
        match self.standing {
            Standing::Failing => Doubt::Failing,
            Standing::Unknown | Standing::Passing if self.failures > 0 => Doubt::Suspect,
            Standing::Unknown | Standing::Passing => Doubt::None,
        }
    }

    /// Since when it is believed.
    #[must_use]
    pub const fn since(&self) -> Moment {
        self.since
    }

    /// The last reading, and when it was taken.
    #[must_use]
    pub const fn last(&self) -> Option<(Moment, Reading)> {
        self.last
    }

    /// Times that failures were forgiven before there were enough of them to believe that it fails.
    #[must_use]
    pub const fn near_misses(&self) -> u32 {
        self.near_misses
    }

    /// Failures that are not forgiven, and passes in a row.
    #[must_use]
    pub const fn counts(&self) -> (u8, u8) {
        (self.failures, self.passes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAMPING: Damping = Damping { fall: 3, rise: 2 };

    fn after(readings: &str) -> Damped {
        let mut signal = Damped::default();
        for (at, reading) in readings.bytes().enumerate() {
            let reading = if reading == b'+' { Reading::Pass } else { Reading::Fail };
            signal.note(reading, DAMPING, Moment::from_secs(u64::try_from(at).unwrap()));
        }
        signal
    }

    #[test]
    fn a_single_pass_forgives_no_failure() {
        assert_eq!(after("+-+-+").standing(), Standing::Passing);
        assert_eq!(after("+-+-+-").standing(), Standing::Failing);
        assert_eq!(after("+--++-").standing(), Standing::Passing);
    }

    #[test]
    fn a_signal_that_failed_is_trusted_after_passes_in_a_row() {
        assert_eq!(after("---+-+").standing(), Standing::Failing);
        assert_eq!(after("---++").standing(), Standing::Passing);
        assert_eq!(after("---++").since(), Moment::from_secs(4));
    }

    #[test]
    fn failures_that_are_forgiven_in_time_are_a_near_miss_and_those_of_an_outage_are_none() {
        assert_eq!(after("+-++").near_misses(), 1);
        assert_eq!(after("+-++--++-").near_misses(), 2);
        assert_eq!(after("---++").near_misses(), 0);
        assert_eq!(after("++++").near_misses(), 0);
    }

    #[test]
    fn nothing_is_believed_of_a_signal_before_it_passed_or_failed_often_enough() {
        assert_eq!(after("").standing(), Standing::Unknown);
        assert_eq!(after("--").standing(), Standing::Unknown);
        assert_eq!(after("--+").standing(), Standing::Passing);
        assert_eq!(after("---").standing(), Standing::Failing);
    }
}
