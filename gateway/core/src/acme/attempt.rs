//! What went wrong with a name, and how long it then waits.

use super::moment::Moment;
use super::renewal::Seed;
use core::time::Duration;

/// Why a name has no new certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server of ACME could not be asked, or answered nonsense.
    Unreachable,
    /// The server said no: the proof did not convince it, or it does not issue for the name.
    Refused,
    /// The server wants to be left alone for a while.
    RateLimited,
    /// The name leads to other addresses than ours.
    PointsElsewhere,
    /// The zone could not be changed.
    Zone,
    /// What came could not be kept.
    Storage,
}

impl Failure {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Unreachable,
        Self::Refused,
        Self::RateLimited,
        Self::PointsElsewhere,
        Self::Zone,
        Self::Storage,
    ];

    /// Label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::RateLimited => "rate_limited",
            Self::PointsElsewhere => "points_elsewhere",
            Self::Zone => "zone",
            Self::Storage => "storage",
        }
    }

    /// What an operator can do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => "is `acme.directory` right, and may this machine reach it?",
            Self::Refused => "does the name lead here, and do the ports 80 or 443 of it reach Fleetgate?",
            Self::RateLimited => "nothing needs to be done; lower `acme.orders_per_hour` if this repeats",
            Self::PointsElsewhere => {
                "change its DNS, or `acme.addresses`, or remove the host from its tenant"
            }
            Self::Zone => "look at the zone's entry in `dns_zones`: server, key, and what the key may change",
            Self::Storage => "may this user write to `state_directory`, and is there room on its disk?",
        }
    }

    /// Wait after a first failure, and the longest.
    ///
    /// A refusal costs: Let's Encrypt allows five failed validations of a name in an hour. Questions of our own do not.
    const fn waits(self) -> (u64, u64) {
        match self {
            Self::Unreachable | Self::Zone | Self::Storage => (5, 600),
            Self::PointsElsewhere => (15, 600),
            Self::Refused => (300, 86_400),
            Self::RateLimited => (3_600, 86_400),
        }
    }
}

/// Failures of a name since it last got a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    count: u32,
    last: Option<(Moment, Failure)>,
}

impl Failures {
    /// With one failure more.
    #[must_use]
    pub fn and(self, failure: Failure, at: Moment) -> Self {
        // Another reason begins anew: a zone that could not be changed says nothing about the server.
        let goes_on = self.last.is_some_and(|(_, last)| last == failure);
        Self { count: if goes_on { self.count.saturating_add(1) } else { 1 }, last: Some((at, failure)) }
    }

    /// How often it failed for the same reason.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The last failure.
    #[must_use]
    pub const fn last(self) -> Option<(Moment, Failure)> {
        self.last
    }

    /// When the name may be tried again: each wait is twice the last one, less up to a quarter by the seed.
    #[must_use]
    pub fn next_try(self, seed: Seed) -> Moment {
        let Some((at, failure)) = self.last else { return Moment::default() };
        let (first, longest) = failure.waits();
        let doubled =
            first.saturating_mul(1_u64.checked_shl(self.count.saturating_sub(1)).unwrap_or(u64::MAX));
        let wait = Duration::from_secs(doubled.min(longest));
        at.after(wait.saturating_sub(seed.part_of(wait / 4)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_jitter_only_shortens_them() {
        for failure in Failure::ALL {
            let mut failures = Failures::default();
            let (first, longest) = failure.waits();
            let mut before = 0;
            for round in 0..80_u32 {
                failures = failures.and(failure, Moment(1_000));
                let plain = failures.next_try(Seed(0)).0 - 1_000;
                assert!(plain >= before && plain <= i64::try_from(longest).unwrap(), "{failure:?} {round}");
                let jittered = failures.next_try(Seed(u64::MAX)).0 - 1_000;
                assert!(
                    jittered <= plain && jittered >= plain / 2,
                    "{failure:?} {round}: {jittered} of {plain}"
                );
                before = plain;
            }
            assert_eq!(before, i64::try_from(longest).unwrap());
            assert_eq!(
                Failures::default().and(failure, Moment(0)).next_try(Seed(0)),
                Moment(i64::try_from(first).unwrap())
            );
        }
    }

    #[test]
    fn a_refused_name_is_tried_at_most_five_times_an_hour() {
        let (mut now, mut tries, mut failures) = (Moment(0), 0, Failures::default());
        while now < Moment(3_600) {
            tries += 1;
            failures = failures.and(Failure::Refused, now);
            now = failures.next_try(Seed(u64::MAX));
        }
        assert!(tries <= 5, "{tries}");
    }

    #[test]
    fn another_reason_begins_anew() {
        let failures =
            (0..10).fold(Failures::default(), |failures, _| failures.and(Failure::Refused, Moment(0)));
        let failures = failures.and(Failure::Unreachable, Moment(0));
        assert_eq!((failures.count(), failures.next_try(Seed(0))), (1, Moment(5)));
    }
}
