//! When a signal is asked.

use super::{Damping, Moment};
use core::time::Duration;

/// How a signal is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// From one question to the next at most, while nothing changes.
    pub interval: Duration,
    /// The same while a signal is suspect ([`Doubt::Suspect`]).
    pub fast_interval: Duration,
    /// For an answer.
    pub timeout: Duration,
    /// How many answers change one's mind.
    pub damping: Damping,
}

/// Pauses are that many parts of 1,000 of the interval, and up to [`SPREAD_PERMILLE`] more by chance: gateways that
/// started together, and the backends of one gateway, fall out of step, and no pause is longer than was said.
const PAUSE_PERMILLE: u16 = 850;
/// See [`PAUSE_PERMILLE`].
const SPREAD_PERMILLE: u16 = 100;
/// Questions under way at once while a signal is suspect, where they overlap then.
const OVERLAPPING_MAX: u8 = 2;
/// Questions under way at once where the next one never waits for an answer.
const UNHELD_MAX: u8 = 3;
/// From one moment at which questions begin to the next: one wake-up of the process sees to all that are due.
const GRID: Duration = Duration::from_millis(50);
/// The same is at most this part of the interval, which is what the longest pause ([`PAUSE_PERMILLE`]) leaves of it.
const GRID_PART: u32 = 20;

impl Cadence {
    /// How long before a moment the grid had its last one.
    fn off_grid(&self, at: Moment) -> (Duration, Duration) {
        let grid = GRID.min(self.interval / GRID_PART);
        let off = at.as_nanos().checked_rem(grid.as_nanos()).unwrap_or_default();
        (Duration::from_nanos(u64::try_from(off).unwrap_or_default()), grid)
    }

    /// The moment of the grid that was the last one then.
    fn grid_before(&self, at: Moment) -> Moment {
        at.saturating_sub(self.off_grid(at).0)
    }

    /// The first moment of the grid from then on.
    fn grid_from(&self, at: Moment) -> Moment {
        match self.off_grid(at) {
            (Duration::ZERO, _) => at,
            (off, grid) => at.saturating_add(grid.saturating_sub(off)),
        }
    }
}

/// What is thought of a signal, as far as it decides how the signal is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Doubt {
    /// Nothing speaks against it.
    #[default]
    None,
    /// There are failures that are not forgiven, and too few to believe them.
    Suspect,
    /// It is believed to fail.
    Failing,
}

/// A question that is under way. Those that begin later are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question(u64);

/// Whether a question waits for the answer to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Always,
    UnlessSuspect,
    WhereItFails,
}

/// The questions to one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    waiting: Waiting,
    /// When the last one began; `None` before the first.
    begun: Option<Moment>,
    /// From then to the next one, in parts of 1,000 of the interval.
    pause_permille: u16,
    under_way: u8,
    /// The last one.
    last: Question,
    /// What comes of this one and of those before is no news any more.
    overtaken: Question,
}

impl Rounds {
    const fn new(waiting: Waiting) -> Self {
        let none = Question(0);
        Self { waiting, begun: None, pause_permille: 0, under_way: 0, last: none, overtaken: none }
    }

    /// One question after the other.
    #[must_use]
    pub const fn one_by_one() -> Self {
        Self::new(Waiting::Always)
    }

    /// While the signal is suspect, the next question does not wait for the answer to the one before: a server that hangs
    /// is found out by the silence of both. Of a server that is busy, no more is asked than that.
    #[must_use]
    pub const fn overlapping() -> Self {
        Self::new(Waiting::UnlessSuspect)
    }

    /// The next question does not wait for the answer to the one before until the signal fails: one that hangs is found out
    /// as fast as it is asked, and then asked one question at a time, so that it does not gather them.
    #[must_use]
    pub const fn unheld() -> Self {
        Self::new(Waiting::WhereItFails)
    }

    /// Notes that a question begins. `chance` is drawn at random: it decides about the pause after it, which after the first
    /// question is anything up to the interval.
    pub fn begin(&mut self, cadence: &Cadence, now: Moment, chance: u16) -> Question {
        let part = |of: u16| u16::try_from(u32::from(of).wrapping_mul(u32::from(chance)) >> 16).unwrap_or(0);
        self.pause_permille = match self.begun {
            None => part(1_000),
            Some(_) => PAUSE_PERMILLE.saturating_add(part(SPREAD_PERMILLE)),
        };
        // As of the grid: what a question begins late is no part of the pause after it.
        self.begun = Some(cadence.grid_before(now));
        self.under_way = self.under_way.saturating_add(1);
        self.last = Question(self.last.0.saturating_add(1));
        self.last
    }

    /// Notes that a question was answered, or that its time is over.
    pub const fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Notes that nothing came of a question. Whether that is news: it is none when a later one is over.
    pub fn give_up(&mut self, question: Question) -> bool {
        self.end();
        let news = question > self.overtaken;
        self.overtaken = self.overtaken.max(question);
        news
    }

    /// Notes that a question was answered. Whether that is news; then all others that are under way are to be dropped. They
    /// may have been answered before this one, whenever their answers arrive.
    pub fn answer(&mut self, question: Question) -> bool {
        let news = question > self.overtaken;
        if news {
            (self.overtaken, self.under_way) = (self.last, 0);
        } else {
            self.end();
        }
        news
    }

    /// When the next question is due, which is a moment of a grid: many that are asked by one clock begin at once. `None`: not
    /// before an answer to one that is under way.
    #[must_use]
    pub fn due(&self, cadence: &Cadence, doubt: Doubt) -> Option<Moment> {
        let under_way_max = match (self.waiting, doubt) {
            (Waiting::UnlessSuspect, Doubt::Suspect) => OVERLAPPING_MAX,
            (Waiting::WhereItFails, Doubt::None | Doubt::Suspect) => UNHELD_MAX,
            (Waiting::Always | Waiting::UnlessSuspect | Waiting::WhereItFails, _) => 1,
        };
        if self.under_way >= under_way_max {
            return None;
        }
        let Some(begun) = self.begun else { return Some(Moment::ZERO) };
        let pause = cadence.interval.saturating_mul(u32::from(self.pause_permille)) / 1_000;
        let pause = if doubt == Doubt::Suspect { pause.min(cadence.fast_interval) } else { pause };
        Some(cadence.grid_from(begun.saturating_add(pause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Damped, Reading};
    use crate::region::simulation::Dice;

    /// That of the default config.
    const CADENCE: Cadence = Cadence {
        interval: Duration::from_secs(1),
        fast_interval: Duration::from_millis(500),
        timeout: Duration::from_millis(2_500),
        damping: Damping { fall: 3, rise: 2 },
    };
    const LATENCY: Duration = Duration::from_millis(2);

    /// What a server does with a question that begins then: when it is over, and how.
    type Server<'a> = &'a dyn Fn(Moment) -> (Moment, Reading);

    /// Asks a server until a moment; when it was thought to fail, and the questions that were asked.
    fn ask(server: Server<'_>, until: Moment, mut chance: impl FnMut() -> u16) -> (Option<Moment>, u32) {
        let (mut rounds, mut signal, mut asked) = (Rounds::overlapping(), Damped::default(), 0);
        let mut under_way: Vec<(Moment, Reading)> = Vec::new();
        let mut now = Moment::ZERO;
        loop {
            let due = rounds.due(&CADENCE, signal.doubt()).map(|due| due.max(now));
            let answer = under_way.iter().map(|(at, _)| *at).min();
            now = due.into_iter().chain(answer).min().unwrap();
            if now > until {
                return (None, asked);
            }
            if answer == Some(now) {
                let place = under_way.iter().position(|(at, _)| *at == now).unwrap();
                let (_, reading) = under_way.remove(place);
                rounds.end();
                signal.note(reading, CADENCE.damping, now);
                if signal.is_failing() {
                    return (Some(now), asked);
                }
            } else {
                let _question = rounds.begin(&CADENCE, now, chance());
                asked += 1;
                under_way.push(server(now));
                assert!(under_way.len() <= usize::from(OVERLAPPING_MAX));
            }
        }
    }

    fn answered(at: Moment) -> (Moment, Reading) {
        (at + LATENCY, Reading::Pass)
    }

    fn refused(at: Moment) -> (Moment, Reading) {
        (at + LATENCY, Reading::Fail)
    }

    const DEATH: Moment = Moment::from_secs(20);

    /// Every moment between two questions, and every choice of pauses that chance could make the same all over.
    fn all(mut each: impl FnMut(Moment, u16)) {
        for phase in 0..250 {
            for chance in [0, 1 << 14, 1 << 15, u16::MAX] {
                each(DEATH + Moment::from_millis(phase * 4), chance);
            }
        }
    }

    #[test]
    fn a_server_that_refuses_is_found_out_within_two_seconds_and_one_that_hangs_within_eight() {
        let (mut refusing, mut hanging) = (Duration::ZERO, Duration::ZERO);
        all(|death, chance| {
            let refuses = |at| if at < death { answered(at) } else { refused(at) };
            let (found, _) = ask(&refuses, death + Moment::from_secs(60), || chance);
            refusing = refusing.max(found.unwrap() - death);
            let hangs = |at: Moment| {
                if at + LATENCY < death { answered(at) } else { (at + CADENCE.timeout, Reading::Fail) }
            };
            let (found, _) = ask(&hangs, death + Moment::from_secs(60), || chance);
            hanging = hanging.max(found.unwrap() - death);
        });
        assert!(refusing <= Duration::from_secs(2), "{refusing:?}");
        assert!(hanging <= Duration::from_secs(8), "{hanging:?}");
    }

    #[test]
    fn a_server_that_starts_again_within_a_second_is_not_thought_to_fail() {
        all(|death, chance| {
            let back = death + Duration::from_secs(1);
            let restarts = |at| if (death..back).contains(&at) { refused(at) } else { answered(at) };
            assert_eq!(
                ask(&restarts, death + Moment::from_secs(20), || chance).0,
                None,
                "{death:?} {chance}"
            );
        });
    }

    #[test]
    fn a_server_that_is_well_is_asked_once_an_interval_and_gateways_that_started_together_fall_out_of_step() {
        let begun = |chance: u16| {
            let mut first = [Moment::ZERO; 3];
            let mut rounds = Rounds::one_by_one();
            for begun in &mut first {
                *begun = rounds.due(&CADENCE, Doubt::None).unwrap();
                rounds.begin(&CADENCE, *begun, chance);
                assert_eq!(rounds.due(&CADENCE, Doubt::None), None, "one question at a time");
                rounds.end();
            }
            first
        };
        let (early, late) = (begun(0), begun(u16::MAX));
        assert_eq!((early[0], late[0]), (Moment::ZERO, Moment::ZERO));
        assert!(late[1] - early[1] > Duration::from_millis(990), "{early:?} {late:?}");
        assert_eq!(early[2] - early[1], Duration::from_millis(850));
        assert_eq!(late[2] - late[1], Duration::from_millis(950));
        let (found, asked) = ask(&answered, Moment::from_secs(900), || 1 << 15);
        assert_eq!(found, None);
        assert!((1_000..=1_003).contains(&asked), "{asked}");
    }

    /// A question that is under way: when it is over, and as of when it is answered, if it is.
    type UnderWay = (Question, Moment, Option<Moment>);

    /// Asks a database so many times. `server` says what comes of a question that begins then, and `note` takes what is news:
    /// the question, when it is over, and as of when it was answered. When it was first thought to be gone.
    fn ask_unheld(
        questions: u32,
        mut server: impl FnMut(Moment) -> (Moment, Option<Moment>),
        mut chance: impl FnMut() -> u16,
        mut note: impl FnMut(Question, Moment, Option<Moment>),
    ) -> Option<Moment> {
        let (mut rounds, mut signal, mut now) = (Rounds::unheld(), Damped::default(), Moment::ZERO);
        let (mut asked, mut found) = (0, None);
        let mut under_way: Vec<UnderWay> = Vec::new();
        while asked < questions {
            let due = rounds.due(&CADENCE, signal.doubt()).map(|due| due.max(now));
            let over = under_way.iter().map(|(_, over, _)| *over).min();
            now = due.into_iter().chain(over).min().unwrap();
            if over != Some(now) {
                let question = rounds.begin(&CADENCE, now, chance());
                let (over, answered) = server(now);
                under_way.push((question, over, answered));
                asked += 1;
                let most = if signal.is_failing() { 1 } else { UNHELD_MAX };
                assert!(under_way.len() <= usize::from(most), "{under_way:?}");
                continue;
            }
            let place = under_way.iter().position(|(_, over, _)| *over == now).unwrap();
            let (question, _, answered) = under_way.remove(place);
            let news = match answered {
                Some(_) => rounds.answer(question),
                None => rounds.give_up(question),
            };
            if news {
                note(question, now, answered);
                let reading = if answered.is_some() { Reading::Pass } else { Reading::Fail };
                signal.note(reading, CADENCE.damping, now);
                if answered.is_some() {
                    under_way.clear();
                }
            }
            found = found.or(signal.is_failing().then_some(now));
        }
        found
    }

    #[test]
    fn a_database_that_hangs_is_found_out_as_fast_as_it_is_asked_and_then_asked_one_question_at_a_time() {
        let mut longest = Duration::ZERO;
        all(|death, chance| {
            let hangs = |at: Moment| {
                if at + LATENCY < death { (at + LATENCY, Some(at)) } else { (at + CADENCE.timeout, None) }
            };
            let found = ask_unheld(60, hangs, || chance, |_, _, _| {});
            longest = longest.max(found.unwrap() - death);
        });
        let fall = u32::from(CADENCE.damping.fall);
        assert!(longest <= CADENCE.interval * fall + CADENCE.timeout, "{longest:?}");
        assert!(longest > CADENCE.interval * (fall - 1) + CADENCE.timeout, "{longest:?}");
    }

    #[test]
    fn no_answer_of_a_database_overrules_a_newer_one_whenever_they_arrive_in_two_thousand_histories() {
        for seed in 0..2_000 {
            let (dice, chances) = (&mut Dice::new(seed), &mut Dice::new(!seed));
            let wait = u64::try_from(CADENCE.timeout.as_millis()).unwrap();
            let server = |at: Moment| match dice.roll(4) {
                0 => (at + CADENCE.timeout, None),
                1 => (at + Duration::from_millis(dice.roll(wait)), None),
                _ => {
                    let latency = dice.roll(wait);
                    let answered = at + Duration::from_millis(dice.roll(latency + 1));
                    (at + Duration::from_millis(latency), Some(answered))
                }
            };
            let (mut last, mut known) = (None, Moment::ZERO);
            let note = |question, now: Moment, answered: Option<Moment>| {
                assert!(last.is_none_or(|last| last < question), "seed {seed}: {question:?} after {last:?}");
                last = Some(question);
                if let Some(answered) = answered {
                    assert!(answered >= known, "seed {seed}: {answered:?} at {now:?} after {known:?}");
                    known = answered;
                }
            };
            let chance = || u16::try_from(chances.roll(1 << 16)).unwrap();
            ask_unheld(200, server, chance, note);
        }
    }
}
