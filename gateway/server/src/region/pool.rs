//! One pool that is watched: readings come in, the route comes out.

use super::memory::Memory;
use super::postgres::Statement;
use crate::snapshot::{BackendState, BackendTlsClient, PoolRoute, Snapshot};
use fleetgate_core::health::{BackendHealth, BackendSignal, BackendVerdict, Damping, Moment, Reading};
use fleetgate_core::pool::{HealthProbes, Pool, PoolIndex};
use fleetgate_core::region::{Judge, RegionIndex, RegionState, Route};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A pool whose servers are asked.
pub(super) struct PoolWatch {
    /// As configured.
    pub(super) pool: Pool,
    /// How it is asked.
    pub(super) probes: HealthProbes,
    /// Backends by region.
    pub(super) backends: Vec<Vec<Arc<BackendState>>>,
    /// TLS with its backends.
    pub(super) tls: Option<Arc<BackendTlsClient>>,
    route: Arc<PoolRoute>,
    memory: Arc<Memory>,
    born: Instant,
    seen: Mutex<Seen>,
}

/// What is known of a pool.
pub(super) struct Seen {
    pub(super) judge: Judge,
    /// By region and place.
    pub(super) backends: Vec<Vec<BackendSeen>>,
    /// By region.
    pub(super) databases: Vec<DatabaseSeen>,
}

/// What is known of a backend.
#[derive(Debug, Clone, Default)]
pub(super) struct BackendSeen {
    pub(super) health: BackendHealth,
    /// What each signal last saw, in words.
    pub(super) words: [String; BackendSignal::ALL.len()],
}

/// What is known of a database.
#[derive(Debug, Clone, Default)]
pub(super) struct DatabaseSeen {
    /// Whether the probe ran at all.
    pub(super) asked: bool,
    /// What it last saw, in words.
    pub(super) words: String,
}

impl PoolWatch {
    pub(super) fn new(
        snapshot: &Snapshot,
        place: PoolIndex,
        probes: HealthProbes,
        memory: &Arc<Memory>,
    ) -> Option<Self> {
        let (pool, route) = snapshot.fleet.pools.get(usize::from(place.0)).zip(snapshot.route(place))?;
        let backends = snapshot.regions(place);
        let count = |backends: usize| u8::try_from(backends).unwrap_or(u8::MAX);
        let regions = pool.regions.iter().map(|region| {
            let backends = count(region.backends.len());
            RegionState { standby: region.standby, backends_up: backends, backends, ..RegionState::default() }
        });
        let remembered = memory.of(&pool.name);
        let mut judge = Judge::new(pool.failover, regions.collect(), remembered.led());
        let region_place = |name: &str| pool.regions.iter().position(|region| *region.name == *name);
        judge.pin(remembered.pin.and_then(|pin| region_place(&pin.region)));
        // A change of the config moves nobody.
        if let Route::Serve(region) | Route::Fenced(region) | Route::Agreeing(region) = route.get() {
            judge.resume(region);
        }
        let of_region = |region: &Vec<Arc<BackendState>>| vec![BackendSeen::default(); region.len()];
        Some(Self {
            pool: pool.clone(),
            probes,
            backends: backends.to_vec(),
            tls: snapshot.backend_tls(place).map(Arc::clone),
            route: Arc::clone(route),
            memory: Arc::clone(memory),
            born: Instant::now(),
            seen: Mutex::new(Seen {
                judge,
                backends: backends.iter().map(of_region).collect(),
                databases: vec![DatabaseSeen::default(); pool.regions.len()],
            }),
        })
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where requests go.
    pub(super) fn route(&self) -> Route {
        self.route.get()
    }

    pub(super) fn now(&self) -> Moment {
        self.born.elapsed()
    }

    /// Whether every database was asked once, so that the route is more than a guess.
    pub(super) fn has_looked(&self) -> bool {
        let watched = self.pool.regions.iter().map(|region| region.postgres.is_some());
        self.seen().databases.iter().zip(watched).all(|(database, watched)| database.asked || !watched)
    }

    pub(super) fn note_backend(
        &self,
        region: RegionIndex,
        place: usize,
        signal: BackendSignal,
        (reading, words): (Reading, String),
    ) {
        let now = self.now();
        let mut seen = self.seen();
        let Some(backend) = seen.backends.get_mut(region).and_then(|region| region.get_mut(place)) else {
            return;
        };
        let changed = backend.health.note(signal, reading, self.probes.damping, now);
        let health = backend.health;
        let slot = BackendSignal::ALL.iter().position(|known| *known == signal);
        if let Some(slot) = slot.and_then(|slot| backend.words.get_mut(slot)) {
            slot.clone_from(&words);
        }
        if changed {
            self.tell_backend(region, place, signal, health.verdict(), &words);
        }
        if let Some(state) = self.backends.get(region).and_then(|region| region.get(place)) {
            state.set_health(&health, self.probes.slow_start, now);
        }
        let serving = |backend: &&BackendSeen| backend.health.verdict() != BackendVerdict::Down;
        let up = seen.backends.get(region).map_or(0, |region| region.iter().filter(serving).count());
        if let Some(state) = seen.judge.region_mut(region) {
            state.backends_up = u8::try_from(up).unwrap_or(u8::MAX);
        }
        drop(seen);
        self.conclude();
    }

    pub(super) fn note_database(&self, region: RegionIndex, statement: Statement) {
        let now = self.now();
        let mut seen = self.seen();
        let (reading, words) = match statement {
            Statement::Seen(reading) => (Some(Some(reading)), describe(&reading)),
            Statement::Silent(words) => (Some(None), words),
            Statement::Refused(words) => (None, words),
        };
        if let Some(database) = seen.databases.get_mut(region) {
            let news = database.words != words && reading.is_none();
            database.asked = true;
            database.words.clone_from(&words);
            if news {
                tracing::error!(
                    pool = &*self.pool.name,
                    region = self.region_name(region),
                    answer = words,
                    "the database does not let the probe look: check the user, password and pg_hba.conf; until then nothing is concluded about it"
                );
            }
        }
        let damping: Damping = self.probes.damping;
        if let (Some(reading), Some(state)) = (reading, seen.judge.region_mut(region)) {
            let changed = state.database.note(reading, damping, now);
            let verdict = seen.judge.database(region);
            if changed {
                tracing::warn!(
                    pool = &*self.pool.name,
                    region = self.region_name(region),
                    database = verdict.as_str(),
                    saw = words,
                    "the database of a region changed"
                );
            }
        }
        drop(seen);
        self.conclude();
    }

    /// Decides, and sends requests there.
    pub(super) fn conclude(&self) {
        if !self.has_looked() {
            return;
        }
        let mut seen = self.seen();
        let moves_before = seen.judge.moves().len();
        let led_before = seen.judge.led();
        let route = seen.judge.decide(None, self.now());
        let last_move =
            seen.judge.moves().last().copied().filter(|_| seen.judge.moves().len() > moves_before);
        let led = seen.judge.led().filter(|led| led_before != Some(*led));
        if let Some(led) = led {
            // On disk before the first write goes there: a process after this one must know.
            tokio::task::block_in_place(|| self.memory.remember(&self.pool.name, |known| known.lead(led)));
        }
        let changed = self.route.set(route);
        drop(seen);
        if changed {
            self.tell_route(route);
        }
        if let Some(done) = last_move {
            tracing::warn!(
                pool = &*self.pool.name,
                from = self.region_name(done.from),
                to = self.region_name(done.to),
                cause = done.cause.as_str(),
                "the pool moved to another region"
            );
        }
    }

    fn region_name(&self, region: RegionIndex) -> &str {
        self.pool.regions.get(region).map_or("", |region| &region.name)
    }

    fn tell_backend(
        &self,
        region: RegionIndex,
        place: usize,
        signal: BackendSignal,
        verdict: BackendVerdict,
        saw: &str,
    ) {
        let backend = self.backends.get(region).and_then(|region| region.get(place));
        let address = backend.map(|backend| backend.http.address.to_string()).unwrap_or_default();
        tracing::warn!(
            pool = &*self.pool.name,
            region = self.region_name(region),
            backend = address,
            verdict = verdict.as_str(),
            signal = signal.as_str(),
            saw,
            "a backend changed"
        );
    }

    fn tell_route(&self, route: Route) {
        let pool = &*self.pool.name;
        match route {
            Route::Serve(region) => {
                tracing::warn!(pool, region = self.region_name(region), "requests go to this region");
            }
            Route::Fenced(_) => tracing::error!(
                pool,
                "TWO DATABASES TAKE WRITES: writes are refused. Make one of them a standby of the other, or decide which history goes on with `fleetgate regions pin`"
            ),
            Route::Unwritable => tracing::error!(
                pool,
                "no database of the pool takes writes: requests are refused. Bring the primary back, or promote a standby; the pool follows by itself"
            ),
            Route::Agreeing(_) | Route::Isolated => {
                tracing::error!(pool, "the other gateways do not agree on a region: requests are refused");
            }
        }
    }
}

fn describe(reading: &fleetgate_core::health::DatabaseReading) -> String {
    use fleetgate_core::health::Role;
    let timeline = reading.timeline;
    match reading.role {
        Role::Writable => format!("takes writes, timeline {timeline}"),
        Role::Standby { lag_ms } => format!("a standby {lag_ms} ms behind, timeline {timeline}"),
    }
}
