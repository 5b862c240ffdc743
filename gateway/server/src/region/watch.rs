//! The probes of all pools, as the config has them now.

use super::asking::{Turns, keep_asking};
use super::database::DatabaseProbe;
use super::memory::Memory;
use super::messages::Messages;
use super::pool::{Around, PoolWatch};
use super::report::PoolReport;
use super::share::{EVERY, Sharing};
use super::{agent, odoo, report, warm_up};
use crate::cluster::Cluster;
use crate::snapshot::{BackendState, Snapshot, SnapshotStore};
use fleetgate_core::health::{BackendSignal, Reading};
use fleetgate_core::pool::{Agent, PoolIndex};
use fleetgate_core::region::RegionIndex;
use fleetgate_core::traffic::BackendPort;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// From one look at the snapshot to the next.
const LOOK: Duration = Duration::from_millis(200);
/// For the first answers of all databases, before the process listens.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// The same where gateways have to agree: none grants anything before what a process before it granted is over.
const FIRST_AGREEMENT: Duration = Duration::from_secs(15);
/// Requests of clients in an interval that failed, before they say something about a backend.
const FAILED_REQUESTS_MIN: u32 = 3;

/// Watches the regions of all pools.
pub struct RegionWatch {
    store: Arc<SnapshotStore>,
    pub(super) around: Around,
    pools: Mutex<BTreeMap<Box<str>, Watched>>,
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
    /// Starts to watch what the snapshot has.
    #[must_use]
    pub fn start(store: Arc<SnapshotStore>, memory: Arc<Memory>, cluster: Option<Arc<Cluster>>) -> Arc<Self> {
        let messages = Messages::start(Arc::clone(&store));
        let around = Around { memory, messages, shares: cluster.is_some() };
        let sharing = cluster.map(Sharing::new);
        let watch = Arc::new(Self { store, around, pools: Mutex::default() });
        watch.follow(&watch.store.load());
        if let Some(sharing) = sharing {
            tokio::spawn(share(Arc::downgrade(&watch), sharing));
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
                for pool in watch.watched() {
                    pool.conclude();
                    warm_up::begin(&watch.store, &pool);
                }
            }
        });
        watch
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
        pools.retain(|name, _| wanted(name));
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
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(watch) = watch.upgrade() else { return };
        let pools: Vec<_> = watch.watched().into_iter().filter(|pool| pool.quorum.is_some()).collect();
        drop(watch);
        if !pools.is_empty() {
            sharing.exchange(&pools).await;
        }
    }
}

fn start_probes(watch: &Arc<PoolWatch>) -> Vec<AbortHandle> {
    let mut tasks = JoinSet::new();
    let mut handles = Vec::new();
    for (region, configured) in watch.pool.regions.iter().enumerate() {
        for place in 0..watch.backends.get(region).map_or(0, Vec::len) {
            for port in [BackendPort::Http, BackendPort::Gevent] {
                handles.push(tasks.spawn(ask_odoo(Arc::clone(watch), region, place, port)));
            }
            handles.push(tasks.spawn(read_traffic(Arc::clone(watch), region, place)));
            if let Some(agent) = &watch.pool.agent {
                handles.push(tasks.spawn(ask_agent(Arc::clone(watch), region, place, agent.clone())));
            }
        }
        if let Some(source) = &configured.database {
            let probe =
                DatabaseProbe::new(source, watch.pool.postgres_tls.as_ref(), watch.probes.database.timeout);
            handles.push(tasks.spawn(ask_database(Arc::clone(watch), region, probe)));
        }
    }
    tasks.detach_all();
    handles
}

async fn ask_odoo(watch: Arc<PoolWatch>, region: RegionIndex, place: usize, port: BackendPort) {
    let Some(backend) = backend_of(&watch, region, place) else { return };
    let (address, version) = (backend.port(port).address, watch.pool.odoo_version);
    let signal = match port {
        BackendPort::Http => BackendSignal::Http,
        BackendPort::Gevent => BackendSignal::Gevent,
    };
    let cadence = watch.cadence(signal);
    let ask = || odoo::ask(address, port, version, watch.tls.as_deref(), cadence.timeout);
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

async fn ask_database(watch: Arc<PoolWatch>, region: RegionIndex, mut probe: DatabaseProbe) {
    let cadence = watch.probes.database;
    let mut turns = Turns::one_by_one(cadence);
    loop {
        tokio::select! {
            () = turns.next() => {}
            // A server that ends asks to be looked at. One that ends each connection is asked ten times as often at most.
            () = probe.closed() => {
                sleep(cadence.interval / 10).await;
                turns.begin();
            }
        }
        let statement = probe.ask().await;
        turns.end(watch.note_database(region, statement));
    }
}

/// What requests of clients met: a server that answers probes and resets connections is not well.
async fn read_traffic(watch: Arc<PoolWatch>, region: RegionIndex, place: usize) {
    let Some(backend) = backend_of(&watch, region, place) else { return };
    let mut turns = Turns::one_by_one(watch.probes.traffic);
    loop {
        turns.next().await;
        turns.end(false);
        let (answered, failed) = backend.take_traffic();
        let reading = match (answered, failed) {
            (0, 0) => continue,
            _ if failed >= FAILED_REQUESTS_MIN && failed > answered => Reading::Fail,
            _ => Reading::Pass,
        };
        let words = format!("{failed} of {} requests failed", answered.saturating_add(failed));
        watch.note_backend(region, place, BackendSignal::Traffic, (reading, words));
    }
}

fn backend_of(watch: &PoolWatch, region: RegionIndex, place: usize) -> Option<Arc<BackendState>> {
    watch.backends.get(region)?.get(place).map(Arc::clone)
}
