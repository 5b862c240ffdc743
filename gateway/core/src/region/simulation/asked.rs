//! One thing that is asked over a network that loses packets.

use super::CADENCE;
use super::dice::Dice;
use core::time::Duration;
use fleetgate_core::health::{Doubt, Moment, Question, Reading, Rounds};

/// Retransmission of a connection's first packet (RFC 6298, section 2.1), and of one that follows (Linux `TCP_RTO_MIN`).
const RTO: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(200)];
/// After a first packet that was lost (RFC 6298, section 5.7).
const RTO_AFTER_LOSS: Duration = Duration::from_secs(3);
/// Until an answer that comes at once, and until one whose first packet was lost.
const LATENCIES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(1_020)];
/// From one question to the next where nothing is wrong, on average (`Rounds`).
const PAUSE_SECS: f64 = 0.9;

/// Questions to one signal. Those that pass while no failure is remembered change nothing, and are skipped.
pub(super) struct Asked {
    rounds: Rounds,
    /// How likely a question is late.
    chance: f64,
    /// How likely one that is in time comes late all the same.
    delayed: f64,
    /// When the next question begins that is late, where all before it are skipped.
    skips_to: Option<Moment>,
    /// Whether an answer ends all questions that are under way.
    overtakes: bool,
    /// Answers that are under way.
    under_way: Vec<(Moment, Reading, Question)>,
}

/// How likely a packet and its answer get lost.
fn either(lost: f64) -> f64 {
    1.0 - (1.0 - lost) * (1.0 - lost)
}

/// How likely a question and its answer are late, each of whose packets is lost with a chance: attempts after `rto`,
/// twice that, and so on, within a time.
pub(super) fn late(lost: f64, exchanges: u32) -> f64 {
    late_over(lost, RTO[1], exchanges, CADENCE.timeout)
}

fn late_over(lost: f64, rto: Duration, exchanges: u32, left: Duration) -> f64 {
    let Some(rest) = exchanges.checked_sub(1) else { return 0.0 };
    let (mut at, mut pause, mut reaches, mut in_time) = (Duration::ZERO, rto, 1.0, 0.0);
    while at < left {
        let rest = late_over(lost, rto, rest, left.saturating_sub(at));
        in_time += reaches * (1.0 - either(lost)) * (1.0 - rest);
        reaches *= either(lost);
        at += pause;
        pause *= 2;
    }
    1.0 - in_time
}

/// The same for a new connection, and exchanges over it.
pub(super) fn late_anew(lost: f64, exchanges: u32) -> f64 {
    let [first, following] = RTO;
    let (mut at, mut pause, mut reaches, mut in_time) = (Duration::ZERO, first, 1.0, 0.0);
    while at < CADENCE.timeout {
        let rto = if at.is_zero() { following } else { RTO_AFTER_LOSS };
        let rest = late_over(lost, rto, exchanges, CADENCE.timeout.saturating_sub(at));
        in_time += reaches * (1.0 - either(lost)) * (1.0 - rest);
        reaches *= either(lost);
        at += pause;
        pause *= 2;
    }
    1.0 - in_time
}

impl Asked {
    pub(super) fn new(rounds: Rounds, lost: f64, chance: f64, dice: &mut Dice) -> Self {
        let (delayed, under_way) = (either(lost), Vec::with_capacity(3));
        let overtakes = rounds == Rounds::unheld();
        let mut asked = Self { rounds, chance, delayed, skips_to: None, overtakes, under_way };
        asked.skip(Moment::ZERO, dice);
        asked
    }

    /// How likely the next question is late.
    pub(super) const fn set_chance(&mut self, chance: f64) {
        self.chance = chance;
    }

    /// Whether an answer is under way.
    pub(super) const fn waits(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// When something happens next.
    pub(super) fn next(&self, doubt: Doubt) -> Moment {
        if let Some(at) = self.skips_to {
            return at;
        }
        let due = self.rounds.due(&CADENCE, doubt);
        let answer = self.under_way.iter().map(|(at, ..)| *at).min();
        due.into_iter().chain(answer).min().unwrap_or(Moment::MAX)
    }

    /// What happens now: a question begins, or an answer comes.
    pub(super) fn happen(&mut self, now: Moment, dice: &mut Dice) -> Option<Reading> {
        let answer = self.under_way.iter().position(|(at, ..)| *at <= now);
        if let Some((_, reading, question)) = answer.map(|place| self.under_way.swap_remove(place)) {
            return self.take(question, reading).then_some(reading);
        }
        let late = self.skips_to.take().is_some() || dice.uniform() < self.chance;
        let answer = if late {
            (now + CADENCE.timeout, Reading::Fail)
        } else {
            (now + LATENCIES[usize::from(dice.uniform() < self.delayed)], Reading::Pass)
        };
        let (over, reading) = answer;
        let question =
            self.rounds.begin(&CADENCE, now, u16::try_from(dice.roll(1 << 16)).unwrap_or_default());
        self.under_way.push((over, reading, question));
        None
    }

    /// Whether what came of a question counts.
    fn take(&mut self, question: Question, reading: Reading) -> bool {
        match (self.overtakes, reading) {
            (false, _) => {
                self.rounds.end();
                true
            }
            (true, Reading::Fail) => self.rounds.give_up(question),
            (true, Reading::Pass) => {
                let news = self.rounds.answer(question);
                if news {
                    self.under_way.clear();
                }
                news
            }
        }
    }

    /// Goes on with the next question that fails, where no failure is remembered and nothing is under way.
    pub(super) fn skip(&mut self, now: Moment, dice: &mut Dice) {
        if self.under_way.is_empty() {
            let questions = (dice.uniform().ln() / (-self.chance).ln_1p()).ceil().max(1.0);
            let pause = Duration::from_secs_f64((questions * PAUSE_SECS).min(1e12));
            self.skips_to = Some(now.saturating_add(pause));
        }
    }
}
