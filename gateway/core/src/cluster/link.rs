//! Whether the store can be reached, and what that allows.

use core::time::Duration;

/// For how long the store counts what a node holds after it last heard of it.
pub const LEASE: Duration = Duration::from_secs(3);
/// A store that nobody has used for so long may have forgotten who is there: it begins anew.
pub const GAP: Duration = Duration::from_secs(1);
/// For how long a node that cannot reach the store keeps its last part, before it goes to an equal one.
const KEEP: Duration = Duration::from_secs(30);
/// From when on it is certain that all others have given up what was more than an equal part.
const ALL_EQUAL: Duration = Duration::from_secs(60);

/// How the store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It answers.
    Ok,
    /// It did not answer in time, the last time.
    Slow,
    /// It cannot be reached, or answers nonsense.
    Gone,
    /// It takes no writes: this is a replica.
    ReadOnly,
}

impl LinkState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Slow, Self::Gone, Self::ReadOnly];

    /// Name in logs, metrics and the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Slow => "slow",
            Self::Gone => "gone",
            Self::ReadOnly => "read_only",
        }
    }
}

/// How an attempt to ask the store ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered. `known`: it knew this node; `age_ms`: for how long it has had what it knows.
    Answered {
        /// Whether it knew this node before it was asked.
        known: bool,
        /// Age of what it knows, in milliseconds.
        age_ms: u64,
    },
    /// No answer came in time.
    Late,
    /// There is no connection, or the answer was an error or nonsense.
    Failed,
    /// It takes no writes.
    ReadOnly,
}

/// What a node may do during an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// What it holds.
    Keep,
    /// What it holds, at most an equal part.
    AtMostEqual,
    /// An equal part.
    Equal,
}

/// The link of a node to the store. Moments are of any clock of this node that does not jump.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    state: LinkState,
    /// When the last attempt that was answered began.
    answered: Option<Duration>,
    /// When the store became unreachable, at the latest.
    lost: Option<Duration>,
    /// Nothing is raised before.
    settled_at: Duration,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            state: LinkState::Gone,
            answered: None,
            lost: Some(Duration::ZERO),
            settled_at: Duration::ZERO,
        }
    }
}

impl Link {
    /// How the store does.
    #[must_use]
    pub const fn state(&self) -> LinkState {
        self.state
    }

    /// Whether the store ever answered.
    #[must_use]
    pub const fn has_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// Notes how an attempt ended that began at a moment. The new state, if it changed.
    pub fn note(&mut self, outcome: Outcome, began: Duration, now: Duration) -> Option<LinkState> {
        let state = match outcome {
            Outcome::Answered { known, age_ms } => {
                self.note_answer(known, age_ms, began, now);
                LinkState::Ok
            }
            Outcome::Late if self.holds_lease(now) => LinkState::Slow,
            Outcome::Late | Outcome::Failed => LinkState::Gone,
            Outcome::ReadOnly => LinkState::ReadOnly,
        };
        if state != LinkState::Ok && self.lost.is_none() {
            self.lost = Some(began);
        }
        (core::mem::replace(&mut self.state, state) != state).then_some(state)
    }

    fn note_answer(&mut self, known: bool, age_ms: u64, began: Duration, now: Duration) {
        // It is the first answer after a while, or the store forgot this node before its lease was over: it may be another
        // store, or have forgotten others. After a lease, each has said again what it holds, or is gone for good.
        let forgotten = !known && self.holds_lease(began);
        let back = self.lost.take().is_some() && self.answered.is_some();
        if forgotten || back {
            self.settled_at = now.saturating_add(LEASE);
        }
        let rest = LEASE.saturating_sub(Duration::from_millis(age_ms));
        self.settled_at = self.settled_at.max(now.saturating_add(rest));
        self.answered = Some(began);
    }

    fn holds_lease(&self, now: Duration) -> bool {
        self.answered.is_some_and(|answered| now < answered.saturating_add(LEASE))
    }

    /// Whether what others give up may be taken.
    #[must_use]
    pub fn may_raise(&self, now: Duration) -> bool {
        self.state == LinkState::Ok && now >= self.settled_at
    }

    /// What may be held now, whatever the store would say.
    #[must_use]
    pub fn hold(&self, now: Duration) -> Hold {
        match self.lost {
            Some(lost) if now >= lost.saturating_add(ALL_EQUAL) => Hold::Equal,
            Some(lost) if now >= lost.saturating_add(KEEP) => Hold::AtMostEqual,
            Some(_) | None => Hold::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    const FINE: Outcome = Outcome::Answered { known: true, age_ms: 1_000_000 };

    #[test]
    fn states_follow_what_happens() {
        let mut link = Link::default();
        assert_eq!(link.note(FINE, at(0), at(1)), Some(LinkState::Ok));
        assert_eq!(link.note(FINE, at(100), at(101)), None);
        assert_eq!(link.note(Outcome::Late, at(200), at(400)), Some(LinkState::Slow));
        assert_eq!(link.note(Outcome::Late, at(3_000), at(3_200)), Some(LinkState::Gone));
        assert_eq!(link.note(Outcome::ReadOnly, at(3_300), at(3_301)), Some(LinkState::ReadOnly));
        assert_eq!(link.note(FINE, at(3_400), at(3_401)), Some(LinkState::Ok));
    }

    #[test]
    fn nothing_is_raised_before_everybody_has_spoken_again() {
        let mut link = Link::default();
        assert!(!link.may_raise(at(0)));
        link.note(FINE, at(0), at(1));
        assert!(link.may_raise(at(1)), "a store that has been in use for long knows everybody");
        link.note(Outcome::Failed, at(200), at(201));
        assert!(!link.may_raise(at(201)));
        link.note(FINE, at(400), at(401));
        assert!(!link.may_raise(at(3_400)) && link.may_raise(at(3_401)), "it may be another one");
        link.note(FINE, at(3_401), at(3_401));
        link.note(Outcome::Answered { known: false, age_ms: 1_000_000 }, at(3_402), at(3_403));
        assert!(!link.may_raise(at(6_402)) && link.may_raise(at(6_403)), "it forgot this node");
        link.note(Outcome::Answered { known: true, age_ms: 500 }, at(8_000), at(8_001));
        assert!(!link.may_raise(at(10_500)) && link.may_raise(at(10_501)), "it has just begun");
    }

    #[test]
    fn an_outage_keeps_what_is_held_and_ends_in_equal_parts_that_nobody_takes_too_early() {
        let mut link = Link::default();
        link.note(FINE, at(0), at(1));
        assert_eq!(link.hold(at(100_000)), Hold::Keep, "while it answers, that is what it says");
        link.note(Outcome::Failed, at(100_000), at(100_001));
        assert_eq!(link.hold(at(129_999)), Hold::Keep);
        assert_eq!(link.hold(at(130_000)), Hold::AtMostEqual);
        assert_eq!(link.hold(at(160_000)), Hold::Equal);
        link.note(FINE, at(170_000), at(170_001));
        assert_eq!(link.hold(at(170_001)), Hold::Keep);
    }
}
