//! A fleet that is well, asked over a network that loses packets.

use super::dice::Dice;
use super::{DAMPING, STEP};
use core::time::Duration;
use fleetgate_core::health::{
    BackendHealth, BackendSignal, BackendVerdict, DatabaseReading, Instance, Moment, Reading, Role,
};
use fleetgate_core::region::{FailoverMode, FailoverPolicy, Judge, RegionState, Route};

/// The timeout of the default config.
const TIMEOUT: Duration = Duration::from_millis(2_500);
/// Retransmission of a connection's first packet (RFC 6298, section 2.1), and of one that follows (Linux `TCP_RTO_MIN`).
const RTO: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(200)];
/// After a first packet that was lost (RFC 6298, section 5.7).
const RTO_AFTER_LOSS: Duration = Duration::from_secs(3);
/// Exchanges until a new connection to PostgreSQL has answered: start, parameters, question.
const DATABASE_EXCHANGES: u32 = 2;
const REGIONS: usize = 2;
const BACKENDS: usize = 2;

/// What a gateway did in a time in which nothing was wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Probes that failed.
    pub(crate) failed_probes: u64,
    /// Moves to another region.
    pub(crate) moves: u64,
    /// Times that it began to refuse requests.
    pub(crate) refusals: u64,
    /// Times that a backend was thought to be down.
    pub(crate) backends_down: u64,
}

/// A probe that fails now and then, without memory: the next failure is drawn, and what is between is skipped.
struct Probe {
    chance: f64,
    next: u64,
}

impl Probe {
    fn new(chance: f64, dice: &mut Dice) -> Self {
        let mut probe = Self { chance, next: 0 };
        probe.draw(0, dice);
        probe
    }

    fn draw(&mut self, now: u64, dice: &mut Dice) {
        let gap = (dice.uniform().ln() / (-self.chance).ln_1p()).min(1e12);
        self.next = now.saturating_add(Duration::from_secs_f64(gap).as_secs()).saturating_add(1);
    }

    /// Whether the run of this step fails.
    fn fails(&mut self, now: u64, dice: &mut Dice) -> bool {
        let fails = now >= self.next;
        if fails {
            self.draw(now, dice);
        }
        fails
    }
}

/// How likely a question and its answer are late, each of whose packets is lost with a chance: attempts after `rto`,
/// twice that, and so on, within a time.
fn late(lost: f64, rto: Duration, exchanges: u32, left: Duration) -> f64 {
    let Some(rest) = exchanges.checked_sub(1) else { return 0.0 };
    let either = 1.0 - (1.0 - lost) * (1.0 - lost);
    let (mut at, mut pause, mut reaches, mut in_time) = (Duration::ZERO, rto, 1.0, 0.0);
    while at < left {
        in_time += reaches * (1.0 - either) * (1.0 - late(lost, rto, rest, left.saturating_sub(at)));
        reaches *= either;
        at += pause;
        pause *= 2;
    }
    1.0 - in_time
}

/// The same for a new connection, and exchanges over it.
fn late_anew(lost: f64, exchanges: u32) -> f64 {
    let either = 1.0 - (1.0 - lost) * (1.0 - lost);
    let [first, following] = RTO;
    let (mut at, mut pause, mut reaches, mut in_time) = (Duration::ZERO, first, 1.0, 0.0);
    while at < TIMEOUT {
        let rto = if at.is_zero() { following } else { RTO_AFTER_LOSS };
        in_time += reaches * (1.0 - either) * (1.0 - late(lost, rto, exchanges, TIMEOUT.saturating_sub(at)));
        reaches *= either;
        at += pause;
        pause *= 2;
    }
    1.0 - in_time
}

impl Loss {
    /// So many hours of two regions on one database, with `mode: automatic`: the only fleet that moves without a
    /// promotion. Of 10,000 packets, so many are lost either way.
    pub(crate) fn over(hours: u64, lost_per_10k: u32, seed: u64) -> Self {
        let (mut dice, lost) = (Dice::new(seed), f64::from(lost_per_10k) / 10_000.0);
        let anew = late_anew(lost, 1);
        let mut odoo: [[Probe; BACKENDS]; REGIONS] =
            core::array::from_fn(|_| core::array::from_fn(|_| Probe::new(anew, &mut dice)));
        // A connection to PostgreSQL is kept until a question fails, and made anew then.
        let (kept, fresh) = (late(lost, RTO[1], 1, TIMEOUT), late_anew(lost, DATABASE_EXCHANGES));
        let mut postgres: [Probe; REGIONS] = core::array::from_fn(|_| Probe::new(kept, &mut dice));
        let mut health = [[BackendHealth::default(); BACKENDS]; REGIONS];
        let mut judge = automatic();
        let (mut loss, mut now, end) = (Self::default(), 1_u64, hours.saturating_mul(3_600));
        let mut refuses = false;
        while now < end {
            let moment = Moment::from_secs(now);
            let mut quiet = true;
            for region in 0..REGIONS {
                let mut up = 0;
                for (probe, health) in odoo[region].iter_mut().zip(&mut health[region]) {
                    let fails = probe.fails(now, &mut dice);
                    loss.failed_probes += u64::from(fails);
                    let reading = if fails { Reading::Fail } else { Reading::Pass };
                    let changed = health.note(BackendSignal::Http, reading, DAMPING, moment);
                    let down = health.verdict() == BackendVerdict::Down;
                    loss.backends_down += u64::from(changed && down);
                    up += u8::from(!down);
                    quiet &= health.signal(BackendSignal::Http).counts().0 == 0;
                }
                let probe = &mut postgres[region];
                let fails = probe.fails(now, &mut dice);
                loss.failed_probes += u64::from(fails);
                let chance = if fails { fresh } else { kept };
                if probe.chance.total_cmp(&chance).is_ne() {
                    probe.chance = chance;
                    probe.draw(now, &mut dice);
                }
                if let Some(state) = judge.region_mut(region) {
                    state.backends_up = up;
                    state.database.note((!fails).then_some(SHARED), DAMPING, moment);
                    quiet &= state.database.answers().counts().0 == 0;
                }
            }
            let moves = judge.moves().last().copied();
            let route = judge.decide(None, moment);
            loss.moves += u64::from(judge.moves().last().copied() != moves);
            let serves = matches!(route, Route::Serve(_));
            loss.refusals += u64::from(!serves && !refuses);
            refuses = !serves;
            let steps = odoo.iter().flatten().chain(&postgres).map(|probe| probe.next).min();
            // Where all failures are forgiven, nothing changes until the next one.
            now = if quiet { steps.unwrap_or(end).max(now + 1) } else { now + 1 };
        }
        loss
    }
}

const SHARED: DatabaseReading =
    DatabaseReading { instance: Instance { system: 7, server: 1 }, timeline: 1, role: Role::Writable };

fn automatic() -> Judge {
    let home = RegionState { backends_up: 2, backends: 2, ..RegionState::default() };
    let policy = FailoverPolicy { mode: FailoverMode::Automatic, ..FailoverPolicy::default() };
    let mut judge = Judge::new(policy, vec![home, RegionState { standby: true, ..home }], None);
    for region in 0..REGIONS {
        if let Some(state) = judge.region_mut(region) {
            state.database.note(Some(SHARED), DAMPING, Moment::ZERO + STEP);
        }
    }
    judge
}
