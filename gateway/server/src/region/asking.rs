//! Asking one thing again and again.

use fleetgate_core::health::{Cadence, Doubt, Question, Rounds};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::time::Instant;
use tokio::time::sleep_until;

/// The clock of all questions begins then, so that those to different servers are due at the same moments.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// When a signal is asked.
pub(super) struct Turns {
    cadence: Cadence,
    rounds: Rounds,
    doubt: Doubt,
    /// Its keys are random, and no other gateway's.
    dice: RandomState,
    begun: u64,
}

impl Turns {
    fn new(cadence: Cadence, rounds: Rounds) -> Self {
        Self { cadence, rounds, doubt: Doubt::None, dice: RandomState::new(), begun: 0 }
    }

    /// One question after the other.
    pub(super) fn one_by_one(cadence: Cadence) -> Self {
        Self::new(cadence, Rounds::one_by_one())
    }

    /// The next question waits for no answer; see [`Rounds::unheld`].
    pub(super) fn unheld(cadence: Cadence) -> Self {
        Self::new(cadence, Rounds::unheld())
    }

    /// Waits until the next question is due, which then begins.
    pub(super) async fn next(&mut self) -> Question {
        let Some(due) = self.rounds.due(&self.cadence, self.doubt) else { return pending().await };
        if let Some(due) = BEGIN.checked_add(due) {
            sleep_until(due.into()).await;
        }
        self.begin()
    }

    /// Notes that a question begins before it is due.
    pub(super) fn begin(&mut self) -> Question {
        self.begun = self.begun.wrapping_add(1);
        let drawn = self.dice.hash_one(self.begun) & u64::from(u16::MAX);
        self.rounds.begin(&self.cadence, BEGIN.elapsed(), u16::try_from(drawn).unwrap_or_default())
    }

    /// Notes that a question was answered, and what is thought of the signal now.
    pub(super) fn end(&mut self, doubt: Doubt) {
        self.doubt = doubt;
        self.rounds.end();
    }

    /// Notes that a question is over, and whether it was answered. Whether that is news.
    pub(super) fn over(&mut self, question: Question, answered: bool) -> bool {
        if answered { self.rounds.answer(question) } else { self.rounds.give_up(question) }
    }

    /// Notes what is thought of the signal now.
    pub(super) const fn doubt(&mut self, doubt: Doubt) {
        self.doubt = doubt;
    }
}

/// Asks as often as the cadence says. `note` takes what came of a question, and says what is thought of the signal now.
pub(super) async fn keep_asking<Asked: Future>(
    cadence: Cadence,
    ask: impl Fn() -> Asked,
    note: impl Fn(Asked::Output) -> Doubt,
) {
    let mut turns = Turns::new(cadence, Rounds::overlapping());
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            _question = turns.next() => under_way.push(ask()),
            Some(answer) = under_way.next() => turns.end(note(answer)),
        }
    }
}
