//! A fleet that is well, asked over a network that loses packets.

use super::asked::{Asked, late, late_anew};
use super::dice::Dice;
use super::{DAMPING, STEP};
use core::time::Duration;
use fleetgate_core::health::{
    BackendHealth, BackendSignal, BackendVerdict, DatabaseReading, Instance, Moment, Reading, Role, Rounds,
};
use fleetgate_core::region::{FailoverMode, FailoverPolicy, Judge, RegionState, Route};

/// Exchanges until a new connection to PostgreSQL has answered: start, parameters, question.
const DATABASE_EXCHANGES: u32 = 2;
const REGIONS: usize = 2;
const BACKENDS: usize = 2;
/// How often a gateway decides, whatever happens.
const LOOK: Duration = Duration::from_millis(200);

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

/// A backend's HTTP port.
struct Backend {
    asked: Asked,
    health: BackendHealth,
}

/// A region's database. A connection to it is kept until a question fails, and made anew then.
struct Database {
    asked: Asked,
    kept: f64,
    fresh: f64,
}

impl Loss {
    /// So many hours of two regions on one database, with `mode: automatic`: the only fleet that moves without a
    /// promotion. Of 10,000 packets, so many are lost either way.
    pub(crate) fn over(hours: u64, lost_per_10k: u32, seed: u64) -> Self {
        let (mut dice, lost) = (Dice::new(seed), f64::from(lost_per_10k) / 10_000.0);
        let (anew, kept, fresh) = (late_anew(lost, 1), late(lost, 1), late_anew(lost, DATABASE_EXCHANGES));
        let backend = |dice: &mut Dice| Backend {
            asked: Asked::new(Rounds::overlapping(), lost, anew, dice),
            health: BackendHealth::default(),
        };
        let mut backends: [[Backend; BACKENDS]; REGIONS] =
            core::array::from_fn(|_| core::array::from_fn(|_| backend(&mut dice)));
        let mut databases: [Database; REGIONS] = core::array::from_fn(|_| Database {
            asked: Asked::new(Rounds::unheld(), lost, kept, &mut dice),
            kept,
            fresh,
        });
        let (mut judge, mut loss) = (automatic(), Self::default());
        let (mut refuses, mut settled) = (false, false);
        let (mut looked, end) = (Moment::ZERO, Moment::from_secs(hours.saturating_mul(3_600)));
        loop {
            // Only where something is believed to be down does time alone change anything.
            let mut now = if is_well(&judge) { Moment::MAX } else { looked + LOOK };
            for region in 0..REGIONS {
                for backend in &backends[region] {
                    now = now.min(backend.next());
                }
                now = now.min(databases[region].next(&judge, region));
            }
            now = now.max(looked);
            if now >= end {
                return loss;
            }
            for region in 0..REGIONS {
                for backend in &mut backends[region] {
                    backend.happen(now, &mut loss, &mut dice);
                }
                let up = backends[region].iter().filter(|backend| backend.serves()).count();
                if let Some(state) = judge.region_mut(region) {
                    state.backends_up = u8::try_from(up).unwrap_or_default();
                }
                databases[region].happen(&mut judge, region, now, &mut loss, &mut dice);
            }
            looked = now;
            if settled && is_well(&judge) {
                continue;
            }
            let moves = judge.moves().last().copied();
            let route = judge.decide(None, now);
            loss.moves += u64::from(judge.moves().last().copied() != moves);
            let serves = matches!(route, Route::Serve(_));
            loss.refusals += u64::from(!serves && !refuses);
            refuses = !serves;
            settled = serves && is_well(&judge);
        }
    }
}

impl Backend {
    fn serves(&self) -> bool {
        self.health.verdict() != BackendVerdict::Down
    }

    fn next(&self) -> Moment {
        self.asked.next(self.health.signal(BackendSignal::Http).doubt())
    }

    fn happen(&mut self, now: Moment, loss: &mut Loss, dice: &mut Dice) {
        if self.next() > now {
            return;
        }
        let Some(reading) = self.asked.happen(now, dice) else { return };
        loss.failed_probes += u64::from(reading == Reading::Fail);
        let changed = self.health.note(BackendSignal::Http, reading, DAMPING, now);
        loss.backends_down += u64::from(changed && !self.serves());
        if self.health.signal(BackendSignal::Http).counts().0 == 0 {
            self.asked.skip(now, dice);
        }
    }
}

impl Database {
    fn next(&self, judge: &Judge, region: usize) -> Moment {
        let state = judge.regions().get(region);
        self.asked.next(state.map(|state| state.database.answers().doubt()).unwrap_or_default())
    }

    fn happen(&mut self, judge: &mut Judge, region: usize, now: Moment, loss: &mut Loss, dice: &mut Dice) {
        if self.next(judge, region) > now {
            return;
        }
        // The connection that is kept is taken.
        if self.asked.waits() {
            self.asked.set_chance(self.fresh);
        }
        let (Some(reading), Some(state)) = (self.asked.happen(now, dice), judge.region_mut(region)) else {
            return;
        };
        let fails = reading == Reading::Fail;
        loss.failed_probes += u64::from(fails);
        self.asked.set_chance(if fails { self.fresh } else { self.kept });
        state.database.note((!fails).then_some(SHARED), DAMPING, now);
        if state.database.answers().counts().0 == 0 {
            self.asked.skip(now, dice);
        }
    }
}

const SHARED: DatabaseReading =
    DatabaseReading { instance: Instance { system: 7, server: 1 }, timeline: 1, role: Role::Writable };

/// Whether each region has backends and a database that are believed in.
fn is_well(judge: &Judge) -> bool {
    judge.regions().iter().all(|region| region.backends_up > 0 && !region.database.answers().is_failing())
}

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
