//! The probes of all pools, as the config has them now.

use super::anchors::Anchors;
use super::asking::{Turns, keep_asking};
use super::check::run_check;
use super::database::{DatabaseProbe, Statement};
use super::gateways::FarRegion;
use super::login::ask_login;
use super::memory::Memory;
use super::messages::Messages;
use super::pool::{Around, PoolWatch};
use super::report::{NodeReport, PoolReport};
use super::share::{Medium, Sharing, word};
use super::vote::Vote;
use super::word::{Word, millis};
use super::{agent, odoo, report, traffic, warm_up};
use crate::admin_client::AdminClient;
use crate::nodes::{NodeProblem, Standing};
use crate::snapshot::{BackendState, Snapshot, SnapshotStore};
use crate::state_directory::StateDirectory;
use fleetgate_core::health::{BackendSignal, Cadence, Question};
use fleetgate_core::pool::{Agent, PoolIndex};
use fleetgate_core::region::RegionIndex;
use fleetgate_core::traffic::BackendPort;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// From one look at the snapshot to the next.
const LOOK: Duration = Duration::from_millis(200);
/// For the first answers of all databases, before the process listens.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// The same where gateways have to agree: none grants anything before what a process before it granted is over.
const FIRST_AGREEMENT: Duration = Duration::from_secs(15);
/// For what another process of this gateway says.
const OWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Watches the regions of all pools.
pub struct RegionWatch {
    store: Arc<SnapshotStore>,
    pub(super) around: Around,
    pools: Mutex<BTreeMap<Box<str>, Watched>>,
    medium: Medium,
    born: Instant,
    /// Where the process of this gateway answers that was started last.
    newest: AdminClient,
}

struct Watched {
    pool: Arc<PoolWatch>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl RegionWatch {
    /// Starts to watch what the snapshot has. What is remembered is in `state`.
    #[must_use]
    pub fn start(
        store: Arc<SnapshotStore>,
        state: &StateDirectory,
        newest: AdminClient,
        medium: Medium,
    ) -> Arc<Self> {
        let memory = Arc::new(Memory::open(state.clone()));
        let messages = Messages::start(Arc::clone(&store), state.clone());
        let shares = !matches!(medium, Medium::None);
        let (anchors, vote) = (Anchors::start(&store), Arc::new(Vote::new(state.clone())));
        let around = Around { memory, messages, shares, anchors, vote };
        let (pools, born) = (Mutex::default(), Instant::now());
        let watch = Arc::new(Self { store, around, pools, medium: medium.clone(), born, newest });
        watch.follow(&watch.store.load());
        if shares {
            tokio::spawn(share(Arc::downgrade(&watch), Sharing::new(medium, born)));
        }
        let (weak, mut published) = (Arc::downgrade(&watch), watch.store.published());
        tokio::spawn(async move {
            let mut generation = 0;
            loop {
                let _published = timeout(LOOK, published.changed()).await;
                let Some(watch) = weak.upgrade() else { return };
                let snapshot = watch.store.load();
                if snapshot.generation != generation {
                    generation = snapshot.generation;
                    watch.follow(&snapshot);
                }
                watch.end_expired_pins().await;
                for pool in watch.watched() {
                    pool.conclude();
                    warm_up::begin(&watch.store, &pool);
                }
            }
        });
        watch
    }

    /// What this gateway says to the others when they ask it.
    #[must_use]
    pub fn say(&self) -> String {
        let names = if let Medium::Nodes(gateways) = &self.medium { gateways.names().1 } else { Vec::new() };
        word(self.born, names, &self.deciding()).text()
    }

    /// The other gateways of `nodes`; none where they are not known by name.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeReport> {
        let Medium::Nodes(gateways) = &self.medium else { return Vec::new() };
        let report = |(name, standing): (Box<str>, Standing)| NodeReport {
            gateway: name.into(),
            milliseconds_ago: standing.said.map(|said| millis(said.asked.elapsed())),
            state: standing.problem.as_ref().map_or(NodeProblem::NONE, |problem| problem.as_str()).to_owned(),
            problem: standing.problem.map(|problem| problem.to_string()),
        };
        gateways.all().into_iter().map(report).collect()
    }

    /// Leaves deciding with others to the next process of this gateway, for good.
    pub fn resign(&self) {
        self.around.vote.give_up(|| self.deciding().iter().filter_map(|pool| pool.leave()).collect());
        if let Medium::Nodes(gateways) = &self.medium {
            gateways.resign();
        }
    }

    /// Pools about which several gateways decide.
    fn deciding(&self) -> Vec<Arc<PoolWatch>> {
        self.watched().into_iter().filter(|pool| pool.quorum.is_some()).collect()
    }

    /// Takes the vote of this gateway if it can be had, and goes on with what was let be used.
    async fn take_vote(&self) {
        if let Some(grants) = self.around.vote.take().await {
            self.deciding().iter().for_each(|pool| pool.take_over(&grants));
        }
        if self.around.vote.held() {
            return;
        }
        // In an upgrade, another process of this gateway has the vote.
        let asked = Instant::now();
        let said = timeout(OWN_TIMEOUT, self.newest.get::<Word>("/v1/regions/said")).await;
        if let Ok(Ok(word)) = said
            && !word.is_own()
        {
            self.deciding().iter().for_each(|pool| pool.hear_own(&word, asked));
        }
    }

    /// Waits until every database was asked once, and the gateways agree where several decide, or for long enough.
    pub async fn first_look(&self) {
        let several = self.watched().iter().any(|pool| pool.quorum.is_some());
        let patience = if several { FIRST_AGREEMENT } else { FIRST_LOOK };
        let looked = async {
            while !self.watched().iter().all(|pool| pool.has_concluded()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(patience, looked).await.is_err() {
            tracing::warn!(
                "not every database was asked yet, or the other gateways do not agree; serving begins nevertheless"
            );
        }
    }

    /// What is known of every pool that is watched.
    #[must_use]
    pub fn report(&self) -> Vec<PoolReport> {
        self.watched().iter().map(|pool| report::of(pool, &self.around.memory)).collect()
    }

    /// The watch of a pool, if there is one.
    pub(super) fn of(&self, pool: &str) -> Option<Arc<PoolWatch>> {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.get(pool).map(|watched| Arc::clone(&watched.pool))
    }

    pub(super) fn watched(&self) -> Vec<Arc<PoolWatch>> {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.values().map(|watched| Arc::clone(&watched.pool)).collect()
    }

    /// Starts and ends probes, so that they are those of a snapshot.
    fn follow(&self, snapshot: &Snapshot) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted =
            |name: &str| snapshot.fleet.pools.iter().any(|pool| *pool.name == *name && pool.health.is_some());
        for (_, ended) in pools.extract_if(.., |name, _| !wanted(name)) {
            let watch = Arc::clone(&ended.pool);
            drop(ended);
            watch.end();
        }
        for (place, pool) in (0_u16..).zip(&snapshot.fleet.pools) {
            let Some(probes) = pool.health else { continue };
            let place = PoolIndex(place);
            let before = pools.get(&pool.name).map(|watched| Arc::clone(&watched.pool));
            if before.as_ref().is_some_and(|before| before.is_of(pool, snapshot.regions(place))) {
                continue;
            }
            let watch = PoolWatch::new(snapshot, place, probes, &self.around, before.as_deref());
            if let Some(watch) = watch.map(Arc::new) {
                let tasks = start_probes(&watch);
                pools.insert(pool.name.clone(), Watched { pool: watch, tasks });
            }
        }
    }
}

/// Tells the other gateways about pools with a quorum, and hears them.
async fn share(watch: Weak<RegionWatch>, mut sharing: Sharing) {
    loop {
        let Some(watch) = watch.upgrade() else { return };
        let pools = watch.deciding();
        if !pools.is_empty() {
            watch.take_vote().await;
        }
        drop(watch);
        sharing.exchange(&pools).await;
    }
}

fn start_probes(watch: &Arc<PoolWatch>) -> Vec<AbortHandle> {
    let mut tasks = JoinSet::new();
    let mut handles = Vec::new();
    for (region, configured) in watch.pool.regions.iter().enumerate() {
        let is_far = configured.gateways.is_some();
        for place in 0..watch.backends.get(region).map_or(0, Vec::len) {
            if is_far {
                handles.push(tasks.spawn(ask_gateway(Arc::clone(watch), region, place)));
            } else {
                for port in [BackendPort::Http, BackendPort::Gevent] {
                    handles.push(tasks.spawn(ask_odoo(Arc::clone(watch), region, place, port)));
                }
            }
            handles.push(tasks.spawn(traffic::read_outcomes(Arc::clone(watch), region, place)));
            if let Some(agent) = watch.pool.agent.as_ref().filter(|_| !is_far) {
                handles.push(tasks.spawn(ask_agent(Arc::clone(watch), region, place, agent.clone())));
            }
            if let Some(login) = watch.pool.login.as_ref().filter(|_| !is_far) {
                handles.push(tasks.spawn(ask_login(Arc::clone(watch), region, place, login.clone())));
            }
        }
        for (place, check) in configured.checks.iter().enumerate() {
            handles.push(tasks.spawn(run_check(Arc::clone(watch), region, place, check.clone())));
        }
        if watch.backends.get(region).is_some_and(|backends| backends.len() > 1) {
            handles.push(tasks.spawn(traffic::read_paces(Arc::clone(watch), region)));
        }
        if let Some(source) = &configured.database {
            let far = || {
                let gateways = watch.backends.get(region).cloned().unwrap_or_default();
                (far_region(watch, region, watch.probes.database), gateways)
            };
            let tls = watch.pool.postgres_tls.as_ref();
            let probe = DatabaseProbe::new(source, tls, watch.probes.database.timeout, far);
            handles.push(tasks.spawn(ask_database(Arc::clone(watch), region, probe)));
        }
    }
    tasks.detach_all();
    handles
}

fn far_region(watch: &PoolWatch, region: RegionIndex, cadence: Cadence) -> FarRegion {
    FarRegion {
        pool: watch.pool.name.clone(),
        region: watch.pool.regions.get(region).map(|region| region.name.clone()).unwrap_or_default(),
        tls: watch.tls_of(region).map(Arc::clone),
        patience: cadence.timeout,
        fresh: 2 * (cadence.interval + cadence.timeout),
    }
}

/// One port of a gateway takes all requests.
async fn ask_gateway(watch: Arc<PoolWatch>, region: RegionIndex, place: usize) {
    let Some(gateway) = backend_of(&watch, region, place) else { return };
    let cadence = watch.cadence(BackendSignal::Http);
    let far = far_region(&watch, region, cadence);
    keep_asking(
        cadence,
        || far.ask(gateway.http.address),
        |seen| {
            let _doubt = watch.note_backend(region, place, BackendSignal::Gevent, seen.clone());
            watch.note_backend(region, place, BackendSignal::Http, seen)
        },
    )
    .await;
}

async fn ask_odoo(watch: Arc<PoolWatch>, region: RegionIndex, place: usize, port: BackendPort) {
    let Some(backend) = backend_of(&watch, region, place) else { return };
    let (address, version) = (backend.port(port).address, watch.pool.odoo_version);
    let signal = match port {
        BackendPort::Http => BackendSignal::Http,
        BackendPort::Gevent => BackendSignal::Gevent,
    };
    let cadence = watch.cadence(signal);
    let tls = watch.tls_of(region).map(|tls| &**tls);
    let ask = || odoo::ask(address, port, version, tls, cadence.timeout);
    keep_asking(cadence, ask, |seen| watch.note_backend(region, place, signal, seen)).await;
}

/// An agent is asked one question at a time: a command may do much.
async fn ask_agent(watch: Arc<PoolWatch>, region: RegionIndex, place: usize, agent: Agent) {
    let Some(backend) = backend_of(&watch, region, place) else { return };
    let name = watch.pool.regions.get(region).map(|region| region.name.clone()).unwrap_or_default();
    let mut turns = Turns::one_by_one(agent.cadence);
    loop {
        turns.next().await;
        let seen = agent::ask(&agent, &watch.pool.name, &name, &backend).await;
        turns.end(watch.note_backend(region, place, BackendSignal::Agent, seen));
    }
}

/// A database is asked whether it answers or not: one that hangs is left as fast as it is asked.
async fn ask_database(watch: Arc<PoolWatch>, region: RegionIndex, probe: DatabaseProbe) {
    let cadence = watch.probes.database;
    let mut turns = Turns::unheld(cadence);
    let mut under_way = FuturesUnordered::new();
    let ask = |question: Question| probe.ask().map(move |statement| (question, statement));
    loop {
        tokio::select! {
            question = turns.next() => under_way.push(ask(question)),
            // A server that ends asks to be looked at. One that ends each connection is asked ten times as often at most.
            () = probe.closed() => {
                sleep(cadence.interval / 10).await;
                under_way.push(ask(turns.begin()));
            }
            Some((question, statement)) = under_way.next() => {
                let said = !matches!(statement, Statement::Silent(_));
                if turns.over(question, said) {
                    if said {
                        under_way.clear();
                    }
                    turns.doubt(watch.note_database(region, statement));
                }
            }
        }
    }
}

fn backend_of(watch: &PoolWatch, region: RegionIndex, place: usize) -> Option<Arc<BackendState>> {
    watch.backends.get(region)?.get(place).map(Arc::clone)
}
