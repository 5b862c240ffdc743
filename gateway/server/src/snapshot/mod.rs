//! The state that one request sees from its first phase to its log line.

mod backend;
mod backend_tls;
mod tenant;

pub use backend::{BackendLease, BackendState, PortState};
pub use backend_tls::BackendTlsClient;
pub use tenant::{OpenWebsocket, TenantCounters};

use arc_swap::ArcSwap;
use fleetgate_core::config::Fleet;
use fleetgate_core::pool::{Pool, PoolIndex};
use fleetgate_core::tenant::TenantIndex;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Config compiled for serving, with the counters that outlive it.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the snapshots of this process, from 1.
    pub generation: u64,
    /// Fingerprint of the config's files.
    pub revision: Box<str>,
    /// What decisions read.
    pub fleet: Fleet,
    backends: Vec<Vec<Arc<BackendState>>>,
    /// By pool.
    backend_tls: Vec<Option<Arc<BackendTlsClient>>>,
    tenants: Vec<Arc<TenantCounters>>,
}

impl Snapshot {
    /// Compiles a fleet. Backends and tenants that the previous snapshot knew keep their counters.
    #[must_use]
    pub fn build(fleet: Fleet, revision: &str, previous: Option<&Self>) -> Self {
        let known = previous.map(Self::backend_states).unwrap_or_default();
        let backends = fleet.pools.iter().map(|pool| pool_backends(pool, &known)).collect();
        let backend_tls = fleet.pools.iter().map(|pool| backend_tls(pool, previous)).collect();
        let counters = previous.map(Self::tenant_counters).unwrap_or_default();
        let tenants = fleet.tenants.iter().map(|(_, tenant)| {
            counters.get(tenant.id.as_written()).map_or_else(Arc::default, |counters| Arc::clone(counters))
        });
        let tenants = tenants.collect();
        let generation = previous.map_or(1, |previous| previous.generation.saturating_add(1));
        Self { generation, revision: revision.into(), fleet, backends, backend_tls, tenants }
    }

    /// The backends of a pool's active region, in the order of the config.
    #[must_use]
    pub fn backends(&self, pool: PoolIndex) -> &[Arc<BackendState>] {
        self.backends.get(usize::from(pool.0)).map_or(&[], Vec::as_slice)
    }

    /// How TLS is made with the backends of a pool; `None`: they speak plain HTTP.
    #[must_use]
    pub fn backend_tls(&self, pool: PoolIndex) -> Option<&Arc<BackendTlsClient>> {
        self.backend_tls.get(usize::from(pool.0))?.as_ref()
    }

    /// Pools with the backends of their active regions.
    pub fn backends_by_pool(&self) -> impl Iterator<Item = (&Pool, &[Arc<BackendState>])> {
        self.fleet.pools.iter().zip(self.backends.iter().map(Vec::as_slice))
    }

    /// The counters of a tenant entry.
    #[must_use]
    pub fn counters(&self, tenant: TenantIndex) -> Option<&Arc<TenantCounters>> {
        self.tenants.get(tenant.position())
    }

    fn backend_states(&self) -> FxHashMap<&str, &Arc<BackendState>> {
        self.backends.iter().flatten().map(|backend| (backend.key(), backend)).collect()
    }

    fn tenant_counters(&self) -> FxHashMap<&str, &Arc<TenantCounters>> {
        let tenants = self.fleet.tenants.iter().map(|(_, tenant)| tenant.id.as_written());
        tenants.zip(&self.tenants).collect()
    }
}

fn pool_backends(pool: &Pool, known: &FxHashMap<&str, &Arc<BackendState>>) -> Vec<Arc<BackendState>> {
    let Some(region) = pool.active_region() else { return Vec::new() };
    let states = region.backends.iter().map(|backend| {
        let state = BackendState::new(&pool.name, &region.name, *backend);
        known.get(state.key()).map_or_else(|| Arc::new(state), |known| Arc::clone(known))
    });
    states.collect()
}

/// The client of a pool: the previous one, with its sessions, if nothing about it changed.
fn backend_tls(pool: &Pool, previous: Option<&Snapshot>) -> Option<Arc<BackendTlsClient>> {
    let written = pool.tls.as_ref()?;
    let known = previous.into_iter().flat_map(|previous| previous.backend_tls.iter().flatten());
    let same = known.into_iter().find(|client| client.written() == written);
    Some(same.map_or_else(|| Arc::new(BackendTlsClient::new(written)), Arc::clone))
}

/// Publishes snapshots: readers take the newest with one atomic load.
#[derive(Debug)]
pub struct SnapshotStore(ArcSwap<Snapshot>);

impl SnapshotStore {
    /// Starts with a first snapshot.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    /// The newest snapshot.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Replaces the snapshot whole. Requests in flight keep theirs.
    pub fn publish(&self, next: Snapshot) {
        self.0.store(Arc::new(next));
    }
}
