//! What requests of clients met at a backend.

use super::{Damped, Moment, Reading};
use core::time::Duration;

/// Requests without a good answer that say something, at least.
const BAD_MIN: u32 = 3;
/// Tenants whose requests fail, at least, before the server is to blame for its answers: Odoo says 500 for what one
/// tenant's modules do wrong.
const TENANTS_MIN: u32 = 2;
/// A backend that is asked last gets no requests that could tell it is well again. It is tried again after so many looks
/// that saw none.
const LOOKS_APART: u32 = 30;

/// Tenants, of which no fewer are counted than there are bits: several may share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantSet(pub u64);

impl TenantSet {
    /// The set of one tenant, by any hash of its id.
    #[must_use]
    pub const fn of(hash: u64) -> Self {
        Self(1 << (hash & 63))
    }

    /// Different tenants, at least.
    #[must_use]
    pub const fn count_min(self) -> u32 {
        self.0.count_ones()
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What requests of clients met at a backend's HTTP port between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Whole heads of answers, errors of the server among them.
    pub answered: u32,
    /// Requests without an answer: connections that were refused, reset, or silent for too long.
    pub failed: u32,
    /// Answers that broke off after their heads.
    pub broken: u32,
    /// Of the answers, those with a status from 500 to 599.
    pub server_errors: u32,
    /// Whose requests met them.
    pub erring: TenantSet,
}

impl Traffic {
    /// What it says, if it says anything: a few requests most of which fail say nothing. More than half of the requests have
    /// to fail; an error of the server counts where it meets several tenants.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        let several = self.erring.count_min() >= TENANTS_MIN;
        let bad = self.failed.saturating_add(self.broken);
        let bad = bad.saturating_add(if several { self.server_errors } else { 0 });
        let all = self.answered.saturating_add(self.failed);
        match bad.saturating_mul(2) > all {
            true if bad >= BAD_MIN => Some(Reading::Fail),
            true => None,
            false => (all > 0).then_some(Reading::Pass),
        }
    }
}

/// Answers by how late they began: those of place 0 within a millisecond, those of each other place within twice the time
/// of the place before.
pub const PACES: usize = 16;
/// Answers that say how fast a backend is, at least.
const ANSWERS_MIN: u32 = 20;
/// First place of answers that are slow whatever others do: a quarter of a second and more.
const SLOW_FROM: usize = 9;
/// Places between two backends of which one is far slower: more than four times.
const FAR: usize = 3;

/// How late answers of a backend began between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// Answers.
    pub answers: [u32; PACES],
    /// Whose they were.
    pub tenants: [TenantSet; PACES],
}

impl Pace {
    /// The place of an answer that began so late.
    #[must_use]
    pub fn place_of(late: Duration) -> usize {
        let bits = u128::BITS.saturating_sub(late.as_millis().leading_zeros());
        usize::try_from(bits).map_or(PACES, |place| place).min(PACES.saturating_sub(1))
    }

    /// Answers.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.answers.iter().fold(0, |sum, answers| sum.saturating_add(*answers))
    }

    /// The place of the answer in the middle, where there are enough of them.
    fn middle(&self) -> Option<usize> {
        let count = self.count();
        let mut passed = 0_u32;
        let middle = self.answers.iter().position(|answers| {
            passed = passed.saturating_add(*answers);
            passed.saturating_mul(2) >= count
        });
        middle.filter(|_| count >= ANSWERS_MIN)
    }

    /// Half of the answers began within this time, where there are enough of them.
    #[must_use]
    pub fn half_within(&self) -> Option<Duration> {
        let place = u32::try_from(self.middle()?).ok()?;
        Some(Duration::from_millis(1_u64.checked_shl(place)?))
    }

    /// Whether several tenants met answers as late as those of a place, or later.
    fn is_met_by_several(&self, place: usize) -> bool {
        let tenants = self.tenants.iter().skip(place).fold(TenantSet::default(), |all, some| all.and(*some));
        tenants.count_min() >= TENANTS_MIN
    }
}

/// What the paces of the backends of a region say about each of them, over the same time. One is too slow when it is far
/// slower than more than half of the others of which enough is known, and for several tenants: so never all are, and
/// where all become slow, as with their database, none is.
#[must_use]
pub fn compare(paces: &[Pace]) -> Vec<Option<Reading>> {
    let middles: Vec<Option<usize>> = paces.iter().map(Pace::middle).collect();
    let readings = paces.iter().zip(&middles).enumerate().map(|(own, (pace, middle))| {
        let middle = (*middle)?;
        let others = || middles.iter().enumerate().filter(|(other, _)| *other != own).filter_map(|(_, m)| *m);
        let faster = others().filter(|other| other.saturating_add(FAR) <= middle).count();
        let slow = middle >= SLOW_FROM
            && faster.saturating_mul(2) > others().count()
            && pace.is_met_by_several(middle);
        Some(if slow { Reading::Fail } else { Reading::Pass })
    });
    readings.collect()
}

/// Whether a signal that lives on requests, and sees none because it fails, is forgiven: its backend has been asked last
/// for long enough to be tried again.
#[must_use]
pub fn is_tried_again(signal: &Damped, look: Duration, now: Moment) -> bool {
    let apart = look.saturating_mul(LOOKS_APART);
    let is_past = |at: Moment| now.saturating_sub(at) >= apart;
    let silent = signal.last().is_some_and(|(at, reading)| reading == Reading::Pass || is_past(at));
    signal.is_failing() && silent && is_past(signal.since())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Damping;
    use proptest::prelude::*;

    fn tenants(count: u64) -> TenantSet {
        (0..count).fold(TenantSet::default(), |all, tenant| all.and(TenantSet::of(tenant)))
    }

    fn traffic(answered: u32, failed: u32, server_errors: u32, erring: u64) -> Option<Reading> {
        Traffic { answered, failed, broken: 0, server_errors, erring: tenants(erring) }.reading()
    }

    #[test]
    fn most_requests_have_to_fail_and_one_tenants_errors_are_its_own() {
        assert_eq!(traffic(0, 0, 0, 0), None);
        assert_eq!(traffic(0, 2, 0, 0), None, "two say nothing");
        assert_eq!(traffic(0, 3, 0, 0), Some(Reading::Fail));
        assert_eq!(traffic(10, 10, 0, 0), Some(Reading::Pass));
        assert_eq!(traffic(10, 11, 0, 0), Some(Reading::Fail));
        assert_eq!(traffic(100, 0, 100, 1), Some(Reading::Pass), "one tenant's bug");
        assert_eq!(traffic(100, 0, 50, 9), Some(Reading::Pass), "half of the answers");
        assert_eq!(traffic(100, 0, 51, 2), Some(Reading::Fail));
        assert_eq!(traffic(10, 5, 4, 2), Some(Reading::Fail), "both together");
        let broken = Traffic { answered: 5, broken: 3, ..Traffic::default() };
        assert_eq!(broken.reading(), Some(Reading::Fail), "answers that break off");
    }

    fn pace(place: usize, answers: u32, whose: u64) -> Pace {
        let mut pace = Pace::default();
        pace.answers[place] = answers;
        pace.tenants[place] = tenants(whose);
        pace
    }

    #[test]
    fn an_answers_place_is_how_often_a_millisecond_doubles() {
        let place = |ms| Pace::place_of(Duration::from_millis(ms));
        assert_eq!([0, 1, 2, 3, 4, 255, 256, 511].map(place), [0, 1, 2, 2, 3, 8, 9, 9]);
        assert_eq!((place(16_384), place(u64::MAX)), (15, 15));
        assert_eq!(pace(9, 20, 2).half_within(), Some(Duration::from_millis(512)));
        assert_eq!(pace(9, 19, 2).half_within(), None);
        let mut halves = pace(5, 10, 2);
        halves.answers[9] = 10;
        assert_eq!(halves.half_within(), Some(Duration::from_millis(32)), "half of them is enough");
    }

    #[test]
    fn a_backend_far_slower_than_its_equals_is_found_out_and_no_other() {
        let (fast, slow) = (pace(5, 100, 5), pace(10, 30, 5));
        let said = |paces: &[Pace]| -> String {
            let letter = |reading: &Option<Reading>| match reading {
                Some(Reading::Fail) => 'f',
                Some(Reading::Pass) => 'p',
                None => '-',
            };
            compare(paces).iter().map(letter).collect()
        };
        assert_eq!(said(&[fast, slow]), "pf");
        assert_eq!(said(&[fast, fast, slow]), "ppf");
        assert_eq!(said(&[fast, slow, slow]), "ppp", "half of its equals are as slow");
        assert_eq!(said(&[slow, slow]), "pp", "all are slow: their database is");
        assert_eq!(said(&[slow]), "p", "nobody to compare with");
        assert_eq!(said(&[fast, pace(10, 30, 1)]), "pp", "one tenant is slow");
        assert_eq!(said(&[fast, pace(10, 19, 5)]), "p-", "too few answers");
        assert_eq!(said(&[fast, pace(7, 30, 5)]), "pp", "not far enough");
        assert_eq!(said(&[pace(1, 50, 5), pace(8, 30, 5)]), "pp", "fast enough for anybody");
        assert_eq!(said(&[]), "");
    }

    fn any_pace() -> impl Strategy<Value = Pace> {
        proptest::collection::vec((0..PACES, 0_u32..60, 0_u64..4), 0..6).prop_map(|parts| {
            let mut pace = Pace::default();
            for (place, answers, whose) in parts {
                pace.answers[place] += answers;
                pace.tenants[place] = pace.tenants[place].and(tenants(whose));
            }
            pace
        })
    }

    proptest! {
        #[test]
        fn never_are_more_than_half_of_those_that_are_known_thought_too_slow(
            paces in proptest::collection::vec(any_pace(), 0..9)
        ) {
            let readings = compare(&paces);
            let known = readings.iter().flatten().count();
            let slow = readings.iter().flatten().filter(|reading| **reading == Reading::Fail).count();
            prop_assert!(slow * 2 <= known, "{slow} of {known}");
            for (pace, reading) in paces.iter().zip(&readings) {
                prop_assert_eq!(reading.is_some(), pace.count() >= ANSWERS_MIN);
            }
        }

        #[test]
        fn few_failures_among_many_answers_say_nothing(answered in 0_u32..1_000, failed in 0_u32..1_000) {
            let reading = traffic(answered, failed, 0, 0);
            prop_assert!(reading != Some(Reading::Fail) || failed > answered);
        }
    }

    #[test]
    fn a_backend_that_is_asked_last_and_sees_no_requests_is_tried_again_after_a_while() {
        let (damping, look) = (Damping { fall: 2, rise: 2 }, Duration::from_secs(1));
        let mut signal = Damped::default();
        assert!(!is_tried_again(&signal, look, Moment::from_secs(1_000)));
        for at in [1, 2] {
            signal.note(Reading::Fail, damping, Moment::from_secs(at));
        }
        // The last requests that it still had may have been good ones.
        signal.note(Reading::Pass, damping, Moment::from_secs(3));
        signal.note(Reading::Fail, damping, Moment::from_secs(3));
        assert!(!is_tried_again(&signal, look, Moment::from_secs(32)));
        signal.note(Reading::Pass, damping, Moment::from_secs(3));
        assert!(!is_tried_again(&signal, look, Moment::from_secs(31)));
        assert!(is_tried_again(&signal, look, Moment::from_secs(32)));
        signal.note(Reading::Fail, damping, Moment::from_secs(32));
        for at in [62, 63] {
            assert!(is_tried_again(&signal, look, Moment::from_secs(at)));
            signal.note(Reading::Pass, damping, Moment::from_secs(at));
        }
        assert!(!signal.is_failing() && !is_tried_again(&signal, look, Moment::from_secs(99)));
    }
}
