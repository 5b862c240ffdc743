//! One pool that is watched: from what is known of its servers the route follows.

use super::anchors::Anchors;
use super::event::{Subject, VerdictEvent, told_of, told_of_unseen};
use super::memory::Memory;
use super::messages::Messages;
use super::seen::{Seen, verdicts};
use super::share::Company;
use super::vote::{Grants, Vote};
use super::word::{PoolWord, Word};
use crate::snapshot::{BackendState, BackendTlsClient, NamedAddresses, PoolRoute, Snapshot};
use fleetgate_core::health::{BackendSignal, Cadence, Moment};
use fleetgate_core::pool::{HealthProbes, Pool, PoolIndex};
use fleetgate_core::region::{Judge, LEASE, Move, NotReady, Quorum, RegionIndex, RegionVerdict, Route};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What the watches of all pools have in common.
#[derive(Clone)]
pub(super) struct Around {
    pub(super) memory: Arc<Memory>,
    pub(super) messages: Messages,
    /// Whether there are other gateways to decide with.
    pub(super) shares: bool,
    /// What says whether this gateway is itself cut off.
    pub(super) anchors: Arc<Anchors>,
    /// The vote of this gateway among them.
    pub(super) vote: Arc<Vote>,
}

/// A pool whose servers are asked.
pub(super) struct PoolWatch {
    /// As configured.
    pub(super) pool: Pool,
    /// How it is asked.
    pub(super) probes: HealthProbes,
    /// Backends by region.
    pub(super) backends: Vec<Vec<Arc<BackendState>>>,
    /// TLS with its backends, by region.
    tls: Vec<Option<Arc<BackendTlsClient>>>,
    /// Gateways that decide together; `None`: this one decides alone.
    pub(super) quorum: Option<u8>,
    /// Where the names of its backends lead.
    pub(super) addresses: Arc<NamedAddresses>,
    route: Arc<PoolRoute>,
    pub(super) around: Around,
    born: Instant,
    seen: Mutex<Seen>,
}

impl PoolWatch {
    /// Watches a pool of a snapshot. What is known of it from `before`, under an earlier config or with other backends, is
    /// known on: a reload forgets nothing.
    pub(super) fn new(
        snapshot: &Snapshot,
        place: PoolIndex,
        probes: HealthProbes,
        around: &Around,
        before: Option<&Self>,
    ) -> Option<Self> {
        let (pool, route) = snapshot.fleet.pools.get(usize::from(place.0)).zip(snapshot.route(place))?;
        let backends = snapshot.regions(place).to_vec();
        let mut seen = Seen::of(pool, route, &backends, &around.memory.of(&pool.name));
        if let Some(before) = before {
            seen.take_over(pool, &backends, before);
        }
        let born = before.map_or_else(Instant::now, |before| before.born);
        for (state, seen) in backends.iter().flatten().zip(seen.backends.iter().flatten()) {
            state.set_health(&seen.health, probes.slow_start, born.elapsed());
        }
        let watch = Self {
            pool: pool.clone(),
            probes,
            backends,
            tls: (0..pool.regions.len())
                .map(|region| snapshot.backend_tls(place, region).map(Arc::clone))
                .collect(),
            quorum: pool.failover.quorum.filter(|_| around.shares),
            addresses: Arc::clone(snapshot.addresses()),
            route: Arc::clone(route),
            around: around.clone(),
            born,
            seen: Mutex::new(seen),
        };
        let seen = watch.seen();
        (0..watch.pool.regions.len()).for_each(|region| watch.show_abandoned(&seen, region));
        drop(seen);
        Some(watch)
    }

    /// Leaves a pool that is watched no more to what requests meet. What was said last would hold for ever: a backend would
    /// stay out, and a pool that nothing served would stay so.
    pub(super) fn end(&self) {
        let mut seen = self.seen();
        // An answer that arrives now changes no route, and finds no backend that it is about.
        seen.retired = true;
        seen.backends.clear();
        self.backends.iter().flatten().for_each(|backend| backend.forget_health());
        if !matches!(self.route.get(), Route::Serve(_)) {
            self.route.set(Route::Serve(self.pool.home()));
        }
    }

    /// Whether it watches a pool as it is in a snapshot.
    pub(super) fn is_of(&self, pool: &Pool, backends: &[Vec<Arc<BackendState>>]) -> bool {
        self.pool == *pool && self.keys().eq(backends.iter().flatten().map(|backend| backend.key()))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.backends.iter().flatten().map(|backend| backend.key())
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// TLS with the backends of a region.
    pub(super) fn tls_of(&self, region: RegionIndex) -> Option<&Arc<BackendTlsClient>> {
        self.tls.get(region)?.as_ref()
    }

    /// Where requests go.
    pub(super) fn route(&self) -> Route {
        self.route.get()
    }

    /// Requests that wait for a region.
    pub(super) fn held(&self) -> u32 {
        self.route.held()
    }

    pub(super) fn now(&self) -> Moment {
        self.born.elapsed()
    }

    /// Whether every database was asked once, and the route is the one that follows.
    pub(super) fn has_concluded(&self) -> bool {
        let seen = self.seen();
        let agreed = !matches!(self.route.get(), Route::Agreeing(_) | Route::Isolated);
        seen.concluded && !seen.remembering && agreed
    }

    /// How a signal of its backends is asked.
    pub(super) fn cadence(&self, signal: BackendSignal) -> Cadence {
        match signal {
            BackendSignal::Http => self.probes.http,
            BackendSignal::Gevent => self.probes.gevent,
            BackendSignal::Traffic => self.probes.traffic,
            BackendSignal::Latency => self.probes.latency,
            BackendSignal::Agent => self.pool.agent.as_ref().map_or(self.probes.http, |agent| agent.cadence),
            BackendSignal::Login => self.pool.login.as_ref().map_or(self.probes.http, |login| login.cadence),
        }
    }

    /// What this gateway says to the others, if it decides with others.
    pub(super) fn word(&self) -> Option<PoolWord> {
        let seen = self.seen();
        let grants = seen.judge.grant().filter(|_| self.around.vote.held());
        Some(PoolWord::new(&self.pool, self.quorum?, grants, &seen.sights, self.now()))
    }

    /// Takes what the others say.
    pub(super) fn hear(self: &Arc<Self>, company: Company) {
        self.seen().company = company;
        self.conclude();
    }

    /// Takes what the process of this gateway says that has its vote.
    pub(super) fn hear_own(self: &Arc<Self>, word: &Word, asked: Instant) {
        let Some(said) = word.pools.get(&self.pool.name) else { return };
        self.seen().own = Some(said.heard(&self.pool, self.moment(asked)));
    }

    /// Goes on with what another process of this gateway let be used, and does no more.
    pub(super) fn take_over(self: &Arc<Self>, grants: &Grants) {
        let Some(granted) = grants.get(&self.pool.name).filter(|_| self.quorum.is_some()) else { return };
        if let Some(region) = self.pool.regions.iter().position(|region| region.name == *granted) {
            self.seen().judge.take_over_grant(region);
        }
        self.conclude();
    }

    /// The region that this gateway let be used until it gave up its vote.
    pub(super) fn leave(&self) -> Option<(Box<str>, Box<str>)> {
        let mut seen = self.seen();
        let granted = seen.judge.grant().filter(|_| self.quorum.is_some());
        seen.judge.withdraw(self.now());
        let region = self.pool.regions.get(granted?)?;
        Some((self.pool.name.clone(), region.name.clone()))
    }

    /// A moment on the clock of the readings.
    pub(super) fn moment(&self, at: Instant) -> Moment {
        at.saturating_duration_since(self.born)
    }

    /// Decides, and sends requests there.
    pub(super) fn conclude(self: &Arc<Self>) {
        let mut seen = self.seen();
        let watched = self.pool.regions.iter().map(|region| region.database.is_some());
        let all_asked =
            seen.databases.iter().zip(watched).all(|(database, watched)| database.asked || !watched);
        if seen.retired || !all_asked {
            return;
        }
        seen.judge.freeze(self.frozen_until().is_some());
        let last_move = seen.judge.moves().last().copied();
        if self.quorum.is_some() && !self.around.vote.held() {
            seen.judge.withdraw(self.now());
        }
        let quorum = self.others(&seen);
        let route = seen.judge.decide(quorum.as_ref(), self.now());
        let moved = seen.judge.moves().last().copied().filter(|done| last_move != Some(*done));
        let mut told = self.changes(&mut seen);
        if let Some(done) = moved {
            told.extend(self.overrule(&mut seen, &done));
        }
        let before = self.route.get();
        let route = self.remembered_first(&mut seen, route);
        self.route.show(seen.sights(self.born));
        // Set while the lock is held: of two conclusions the later one stays.
        let changed = self.route.set(route);
        seen.concluded = true;
        let company = changed.then(|| self.company(&seen));
        let unseen = seen.judge.unseen_rival();
        drop(seen);
        told.into_iter().for_each(|event| self.tell(event));
        if let Some(company) = company {
            self.tell_route(before, route, unseen, company.as_deref());
        }
        if let Some(done) = moved {
            self.tell_move(&done);
        }
    }

    /// The gateways that decide with this one, if there are any.
    fn others(&self, seen: &Seen) -> Option<Quorum> {
        let Company { others, nodes, .. } = &seen.company;
        let heard = others.iter().map(|other| other.heard);
        let nodes = usize::from(self.quorum?).max(*nodes);
        Some(Quorum { own: seen.own, ..Quorum::of(nodes, heard, LEASE) })
    }

    /// What would follow if an operator held the pool in a region, or let it go.
    pub(super) fn outlook(&self, pin: Option<RegionIndex>) -> (Judge, Route) {
        let seen = self.seen();
        let mut judge = seen.judge.clone();
        judge.pin(pin);
        let route = judge.decide(self.others(&seen).as_ref(), self.now());
        (judge, route)
    }

    /// Until when nothing moves by itself, if that is so now.
    pub(super) fn frozen_until(&self) -> Option<jiff::Timestamp> {
        let now = jiff::Timestamp::now();
        self.pool.freezes.iter().filter(|freeze| freeze.holds(now)).map(|freeze| freeze.until).max()
    }

    /// What may be done of a decision now. A history is on disk before the first write goes there, so that a process after
    /// this one knows it; until then nothing goes to a region that was not served already.
    fn remembered_first(self: &Arc<Self>, seen: &mut Seen, route: Route) -> Route {
        let led = seen.judge.led();
        let (Route::Serve(region), true) = (route, led != seen.remembered) else { return route };
        if let Some(led) = led.filter(|_| !seen.remembering) {
            seen.remembering = true;
            let (watch, memory, pool) =
                (Arc::downgrade(self), Arc::clone(&self.around.memory), self.pool.name.clone());
            tokio::task::spawn_blocking(move || {
                memory.remember(&pool, |known| known.lead(led));
                if let Some(watch) = watch.upgrade() {
                    let mut seen = watch.seen();
                    seen.remembered = Some(led);
                    seen.remembering = false;
                    drop(seen);
                    watch.conclude();
                }
            });
        }
        let served = self.route.get();
        if served == Route::Serve(region) { served } else { Route::Unwritable }
    }

    /// Verdicts on databases and regions that differ from what was told.
    fn changes(&self, seen: &mut Seen) -> Vec<VerdictEvent> {
        let mut events = Vec::new();
        for region in 0..self.pool.regions.len() {
            let now = verdicts(&seen.judge, region);
            let Some(told) = seen.told.get_mut(region).filter(|told| **told != now) else { continue };
            let before = std::mem::replace(told, now);
            if before.0 != now.0 {
                let saw = seen.databases.get(region).map(|seen| seen.words.clone()).unwrap_or_default();
                events.push(VerdictEvent { saw, ..self.event(Subject::Database, region, before.0, now.0) });
            }
            if before.1 != now.1 {
                let why = match seen.judge.verdict(region) {
                    Some(RegionVerdict::NotReady(why)) => NotReady::as_str(why),
                    _ => "",
                };
                let event = self.event(Subject::Region, region, before.1, now.1);
                events.push(VerdictEvent { saw: why.to_owned(), ..event });
            }
        }
        events
    }

    pub(super) fn region_name(&self, region: RegionIndex) -> &str {
        self.pool.regions.get(region).map_or("", |region| &region.name)
    }

    pub(super) fn event(
        &self,
        subject: Subject,
        region: RegionIndex,
        from: &'static str,
        to: &'static str,
    ) -> VerdictEvent {
        let (pool, region) = (self.pool.name.to_string(), self.region_name(region).to_owned());
        VerdictEvent { subject, pool, region, backend: String::new(), from, to, saw: String::new() }
    }

    /// Who is heard of those that decide about the pool, and why others are not; `None`: this gateway decides alone.
    pub(super) fn company(&self, seen: &Seen) -> Option<String> {
        let text = seen.company.text(self.quorum?, self.now());
        Some(self.around.vote.problem().map_or_else(|| text.clone(), |problem| format!("{text}; {problem}")))
    }

    fn tell_route(&self, before: Route, route: Route, unseen: Option<RegionIndex>, company: Option<&str>) {
        let region = if let Route::Serve(region) = route { region } else { usize::MAX };
        let event = self.event(Subject::Route, region, before.as_str(), route.as_str());
        let saw = match (route, company) {
            (Route::Agreeing(_) | Route::Isolated, Some(company)) => format!("{}: {company}", told_of(route)),
            _ => unseen
                .map_or_else(|| told_of(route).to_owned(), |region| told_of_unseen(self.region_name(region))),
        };
        self.tell(VerdictEvent { saw, ..event });
    }

    fn tell_move(&self, done: &Move) {
        tracing::warn!(
            pool = &*self.pool.name,
            from = self.region_name(done.from),
            to = self.region_name(done.to),
            cause = done.cause.as_str(),
            "the pool moved to another region"
        );
    }

    pub(super) fn tell(&self, event: VerdictEvent) {
        event.log();
        self.around.messages.take(event);
    }
}

#[cfg(test)]
mod tests {
    use super::super::database::Statement;
    use super::*;
    use crate::snapshot::SnapshotStore;
    use crate::state_directory::StateDirectory;
    use fleetgate_core::config::{MainFile, NoReferences, compile};
    use fleetgate_core::health::{DatabaseReading, Instance, Replication, Role};
    use std::time::Duration;
    use tempfile::TempDir;

    const CONFIG: &str = r#"
listeners: [ { address: "127.0.0.1:8080" } ]
regions: [ { name: paris }, { name: dublin, standby: true } ]
pools:
  main:
    odoo_version: "19.0"
    database_selection: dbfilter_header
    regions:
      paris: { backends: [ { http: "10.0.0.11:8069" } ], postgres: "postgres://probe@10.0.0.21/postgres" }
      dublin: { backends: [ { http: "10.9.0.11:8069" } ], postgres: "postgres://probe@10.9.0.21/postgres" }
tenants: [ { id: acme, hosts: [acme.example.com] } ]
"#;

    fn watch() -> (TempDir, Arc<Memory>, Arc<PoolWatch>) {
        let folder = tempfile::tempdir().unwrap();
        let (main, problems) = MainFile::parse("fleetgate.yaml", CONFIG, &NoReferences, 1);
        assert!(problems.is_empty(), "{problems:?}");
        let snapshot = Snapshot::build(compile(&main, &[]).config.unwrap().fleet, "", None);
        let state = StateDirectory::new(folder.path(), "state");
        let (memory, vote) = (Arc::new(Memory::open(state.clone())), Arc::new(Vote::new(state)));
        let probes = snapshot.fleet.pools[0].health.unwrap();
        let store = Arc::new(SnapshotStore::new(Snapshot::build(Default::default(), "", None)));
        let messages = Messages::start(store, StateDirectory::new(folder.path(), "state"));
        let around =
            Around { memory: Arc::clone(&memory), messages, shares: false, anchors: Arc::default(), vote };
        let watch = PoolWatch::new(&snapshot, PoolIndex(0), probes, &around, None).unwrap();
        (folder, memory, Arc::new(watch))
    }

    fn says(server: u64, timeline: u32, role: Role) -> Statement {
        let instance = Instance { system: 7, server };
        Statement::Seen(DatabaseReading { instance, timeline, role }, Replication::default())
    }

    async fn until(what: impl Fn() -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !what() {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_goes_to_a_region_before_its_history_is_on_disk_and_a_slow_disk_holds_up_nothing_else() {
        let (_folder, memory, watch) = watch();
        watch.note_database(1, says(2, 1, Role::Standby { lag_ms: 5 }));
        watch.note_database(0, says(1, 1, Role::Writable));
        until(|| watch.has_concluded()).await;
        assert_eq!((watch.route(), memory.of("main").led), (Route::Serve(0), Some((7, 1, 1))));

        let disk = memory.stall();
        watch.note_database(0, says(1, 1, Role::Standby { lag_ms: 5 }));
        assert_eq!(watch.route(), Route::Unwritable);
        watch.note_database(1, says(2, 2, Role::Writable));
        assert_eq!(watch.route(), Route::Unwritable, "the new history is not on disk yet");
        assert!(!watch.has_concluded());
        // Readings are taken meanwhile, and what follows from them is done.
        watch.note_database(1, says(2, 2, Role::Standby { lag_ms: 5 }));
        watch.note_database(0, says(1, 3, Role::Writable));
        assert_eq!(watch.route(), Route::Unwritable);
        drop(disk);
        until(|| watch.route() == Route::Serve(0)).await;
        assert_eq!(memory.of("main").led, Some((7, 1, 3)));
    }
}
