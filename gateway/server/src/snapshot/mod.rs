//! The state that one request sees from its first phase to its log line.

mod account;
mod accounts;
mod addresses;
mod backend;
mod backend_tls;
mod client_authorities;
mod flag;
mod plans;
mod route;
mod suspension;
mod traffic;

pub use account::{OpenWebsocket, TenantAccount};
pub use accounts::{Accounts, LABELLED_ACCOUNTS_MAX};
pub use addresses::{NameFacts, NamedAddresses};
pub use backend::{BackendLease, BackendState, PortState};
pub use backend_tls::{BackendTlsClient, client_config};
pub use client_authorities::{ClientAuthorities, verifier};
pub use plans::Plans;
pub use route::{HeldPlace, PoolRoute, RegionSight};
pub use suspension::Suspension;
pub use traffic::{Met, TrafficCell};

use crate::admission::PoolAdmission;
use crate::limits::{KeyedLimiters, LimiterPool};
use arc_swap::ArcSwap;
use fleetgate_core::certificate::Certificates;
use fleetgate_core::config::Fleet;
use fleetgate_core::limit::LimitsIndex;
use fleetgate_core::pool::{BACKENDS_PER_REGION_MAX, BackendPlace, Pool, PoolIndex, PoolRegion};
use fleetgate_core::region::{RegionIndex, Route, region_of};
use fleetgate_core::tenant::{TenantIndex, TenantMatch};
use fleetgate_core::traffic::BackendPort;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Config compiled for serving, with the accounts and backends that outlive it.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the snapshots of this process, from 1.
    pub generation: u64,
    /// Fingerprint of the config's files.
    pub revision: Box<str>,
    /// What decisions read.
    pub fleet: Arc<Fleet>,
    /// By pool, then by region.
    backends: Vec<Vec<Vec<Arc<BackendState>>>>,
    /// By pool, then by region.
    backend_tls: Vec<Vec<Option<Arc<BackendTlsClient>>>>,
    routes: Vec<Arc<PoolRoute>>,
    addresses: Arc<NamedAddresses>,
    accounts: Arc<Accounts>,
    limiters: Arc<LimiterPool>,
    /// By the place of the limits.
    keyed: Vec<KeyedLimiters>,
    /// By the place of the entry.
    entries: Arc<[Arc<TenantAccount>]>,
    /// In the order of the fleet's `client_certificates`.
    client_authorities: Vec<Arc<ClientAuthorities>>,
    /// By pool.
    admissions: Vec<Option<Arc<PoolAdmission>>>,
}

impl Snapshot {
    /// Compiles a fleet. Backends and tenants that the previous snapshot knew keep their state.
    #[must_use]
    pub fn build(fleet: Fleet, revision: &str, previous: Option<&Self>) -> Self {
        let addresses = previous.map(|previous| Arc::clone(&previous.addresses)).unwrap_or_default();
        let backends = fleet_backends(&fleet, &addresses, previous);
        let backend_tls = fleet.pools.iter().map(|pool| backend_tls(pool, previous)).collect();
        let routes = previous.map(Self::pool_routes).unwrap_or_default();
        let routes: Vec<_> = fleet.pools.iter().map(|pool| pool_route(pool, &routes)).collect();
        let accounts = previous.map(|previous| Arc::clone(&previous.accounts)).unwrap_or_default();
        let limiters = previous.map(|previous| Arc::clone(&previous.limiters)).unwrap_or_default();
        let known = previous.map_or(&[][..], |previous| &previous.keyed);
        let keyed = limiters.of_fleet(&fleet.limits, known);
        let entries = fleet.tenants.iter().map(|(_, tenant)| accounts.of_entry(tenant.id.as_written()));
        let entries = entries.collect();
        let asked = fleet.client_certificates.iter();
        let client_authorities = asked.map(|asked| authorities(&asked.authorities, previous)).collect();
        let generation = previous.map_or(1, |previous| previous.generation.saturating_add(1));
        let admissions = fleet_admissions(&fleet, &routes, &backends, previous);
        let revision = revision.into();
        Self {
            generation,
            revision,
            fleet: Arc::new(fleet),
            backends,
            backend_tls,
            routes,
            admissions,
            client_authorities,
            addresses,
            accounts,
            limiters,
            keyed,
            entries,
        }
    }

    /// The same config, with backends where their names lead now.
    #[must_use]
    pub fn with_present_addresses(&self) -> Self {
        let backends = fleet_backends(&self.fleet, &self.addresses, Some(self));
        Self {
            generation: self.generation.saturating_add(1),
            revision: self.revision.clone(),
            fleet: Arc::clone(&self.fleet),
            backend_tls: self.backend_tls.clone(),
            routes: self.routes.clone(),
            admissions: fleet_admissions(&self.fleet, &self.routes, &backends, Some(self)),
            backends,
            client_authorities: self.client_authorities.clone(),
            addresses: Arc::clone(&self.addresses),
            accounts: Arc::clone(&self.accounts),
            limiters: Arc::clone(&self.limiters),
            keyed: self.keyed.clone(),
            entries: Arc::clone(&self.entries),
        }
    }

    /// Where names of backends lead.
    #[must_use]
    pub const fn addresses(&self) -> &Arc<NamedAddresses> {
        &self.addresses
    }

    /// The backends of a pool in a region, in the order of the config.
    #[must_use]
    pub fn backends(&self, pool: PoolIndex, region: RegionIndex) -> &[Arc<BackendState>] {
        self.regions(pool).get(region).map_or(&[], Vec::as_slice)
    }

    /// The backends of a pool by region.
    #[must_use]
    pub fn regions(&self, pool: PoolIndex) -> &[Vec<Arc<BackendState>>] {
        self.backends.get(usize::from(pool.0)).map_or(&[], Vec::as_slice)
    }

    /// How TLS is made with the backends of a pool in a region; `None`: they speak plain HTTP.
    #[must_use]
    pub fn backend_tls(&self, pool: PoolIndex, region: RegionIndex) -> Option<&Arc<BackendTlsClient>> {
        self.backend_tls.get(usize::from(pool.0))?.get(region)?.as_ref()
    }

    /// Authorities of clients' certificates of a tenant; `None`: it asks for none.
    #[must_use]
    pub fn client_authorities(&self, found: &TenantMatch<'_, '_>) -> Option<&Arc<ClientAuthorities>> {
        self.client_authorities.get(found.client_certificates().position()?)
    }

    /// Where the requests of a pool go.
    #[must_use]
    pub fn route(&self, pool: PoolIndex) -> Option<&Arc<PoolRoute>> {
        self.routes.get(usize::from(pool.0))
    }

    /// Pools with their routes, and their backends by region.
    pub fn pools(&self) -> impl Iterator<Item = (&Pool, &Arc<PoolRoute>, &[Vec<Arc<BackendState>>])> {
        let pools = self.fleet.pools.iter().zip(&self.routes);
        pools.zip(&self.backends).map(|((pool, route), regions)| (pool, route, regions.as_slice()))
    }

    /// Who is served by the workers of a pool; `None` where their number is not known.
    #[must_use]
    pub fn admission(&self, pool: PoolIndex) -> Option<&Arc<PoolAdmission>> {
        self.admissions.get(usize::from(pool.0))?.as_ref()
    }

    /// Pools with a known number of workers.
    pub fn admissions(&self) -> impl Iterator<Item = (&Pool, &Arc<PoolAdmission>)> {
        self.fleet
            .pools
            .iter()
            .zip(&self.admissions)
            .filter_map(|(pool, admission)| Some((pool, admission.as_ref()?)))
    }

    /// Counts the workers again: those of backends that take no connection serve nobody, but for what they still have
    /// permits for. If that is so of all of them, all count, because a wrong guess about them must not refuse a request.
    pub fn refresh_admission(&self) {
        for ((pool, route, regions), admission) in self.pools().zip(&self.admissions) {
            let Some(admission) = admission else { continue };
            let serving = region_of(route.get(), true).unwrap_or_else(|_| pool.home());
            let (mut able, mut apart, mut all) = (0_u32, 0_u32, 0_u32);
            let near = regions.iter().enumerate().filter(|(region, _)| !pool.is_far(*region));
            let placed = near.flat_map(|(region, backends)| {
                backends.iter().map(move |backend| (region == serving, backend))
            });
            for (is_asked, backend) in placed {
                let (load, workers) = (backend.load(BackendPort::Http), backend.http.workers());
                let gone = backend.http.apart();
                let of_region = if is_asked { workers } else { 0 };
                all = all.saturating_add(of_region);
                if is_asked && !load.failing && !load.draining {
                    able = able.saturating_add(workers.saturating_sub(gone));
                } else {
                    apart = apart.saturating_add(backend.http.in_flight().saturating_sub(gone).min(workers));
                }
            }
            let (workers, apart) = if able > 0 { (able, apart) } else { (all.max(1), 0) };
            admission.refresh(workers, apart);
        }
    }

    /// The accounts of all tenants.
    #[must_use]
    pub const fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// The limiters for each of many clients that go with a tenant's limits.
    #[must_use]
    pub fn keyed_limiters(&self, limits: LimitsIndex) -> Option<&KeyedLimiters> {
        self.keyed.get(usize::try_from(limits.0).ok()?)
    }

    /// The account of an entry: of its tenant, or of all that its star stands for together.
    #[must_use]
    pub fn entry_account(&self, entry: TenantIndex) -> Option<&Arc<TenantAccount>> {
        self.entries.get(entry.position())
    }

    /// The account of a tenant. That of an entry with one tenant is at its place; one by label is looked up.
    #[must_use]
    pub fn account(&self, found: TenantMatch<'_, '_>) -> Option<Arc<TenantAccount>> {
        let entry = self.entry_account(found.index)?;
        Some(match found.label {
            Some(label) if found.tenant.id.has_placeholder() => {
                self.accounts.of_label(entry, &found.tenant.id, label)
            }
            Some(_) | None => Arc::clone(entry),
        })
    }

    fn backend_states(&self) -> FxHashMap<&str, &Arc<BackendState>> {
        self.backends.iter().flatten().flatten().map(|backend| (backend.key(), backend)).collect()
    }

    fn pool_routes(&self) -> FxHashMap<&str, (&Pool, &Arc<PoolRoute>)> {
        let pools = self.fleet.pools.iter().zip(&self.routes);
        pools.map(|(pool, route)| (&*pool.name, (pool, route))).collect()
    }
}

/// Backends by pool and region. Those that are there already keep their state.
fn fleet_backends(
    fleet: &Fleet,
    addresses: &NamedAddresses,
    previous: Option<&Snapshot>,
) -> Vec<Vec<Vec<Arc<BackendState>>>> {
    let known = previous.map(Snapshot::backend_states).unwrap_or_default();
    let of_pool = |pool: &Pool| {
        let regions = pool.regions.iter();
        regions.map(|region| region_backends(pool, region, addresses, &known)).collect()
    };
    fleet.pools.iter().map(of_pool).collect()
}

fn region_backends(
    pool: &Pool,
    region: &PoolRegion,
    addresses: &NamedAddresses,
    known: &FxHashMap<&str, &Arc<BackendState>>,
) -> Vec<Arc<BackendState>> {
    let mut states: Vec<Arc<BackendState>> = Vec::new();
    for place in &region.backends {
        let servers = match place {
            BackendPlace::Fixed(backend) => vec![*backend],
            BackendPlace::Named { name, .. } => {
                addresses.of(name).iter().map(|address| place.at(*address)).collect()
            }
        };
        for backend in servers {
            // Two names may lead to one server, which counts once.
            let is_there = states.iter().any(|state| state.http.address == backend.http);
            if is_there || states.len() >= BACKENDS_PER_REGION_MAX {
                continue;
            }
            let state = BackendState::new(&pool.name, &region.name, backend);
            let state = known.get(state.key()).map_or_else(|| Arc::new(state), |known| Arc::clone(known));
            state.set_workers(backend.workers);
            states.push(state);
        }
    }
    states
}

/// The route that the pool had, if the region is still there under its name: a change of the config moves nobody.
fn pool_route(pool: &Pool, known: &FxHashMap<&str, (&Pool, &Arc<PoolRoute>)>) -> Arc<PoolRoute> {
    let Some((before, route)) = known.get(&*pool.name) else {
        return Arc::new(PoolRoute::to(pool.home()));
    };
    let names = |pool: &Pool| pool.regions.iter().map(|region| region.name.clone()).collect::<Vec<_>>();
    if names(before) == names(pool) {
        return Arc::clone(route);
    }
    let Route::Serve(served) = route.get() else { return Arc::new(PoolRoute::to(pool.home())) };
    let name = before.regions.get(served).map(|region| &region.name);
    let place = pool.regions.iter().position(|region| Some(&region.name) == name);
    Arc::new(PoolRoute::to(place.unwrap_or_else(|| pool.home())))
}

fn fleet_admissions(
    fleet: &Fleet,
    routes: &[Arc<PoolRoute>],
    backends: &[Vec<Vec<Arc<BackendState>>>],
    previous: Option<&Snapshot>,
) -> Vec<Option<Arc<PoolAdmission>>> {
    let pools = fleet.pools.iter().zip(routes).zip(backends);
    pools.map(|((pool, route), regions)| pool_admission(pool, route, regions, previous)).collect()
}

/// The queue of a pool whose workers are known: the previous one, with those who wait and are served, if there was one.
fn pool_admission(
    pool: &Pool,
    route: &PoolRoute,
    regions: &[Vec<Arc<BackendState>>],
    previous: Option<&Snapshot>,
) -> Option<Arc<PoolAdmission>> {
    if !pool.knows_workers() {
        return None;
    }
    let serving = region_of(route.get(), true).unwrap_or_else(|_| pool.home());
    let backends = regions.get(serving).map_or(&[][..], Vec::as_slice);
    let workers = backends.iter().fold(0_u32, |sum, backend| sum.saturating_add(backend.http.workers()));
    // A name that leads nowhere yet has no server to wait for, and one request finds that out.
    let workers = workers.max(1);
    let mut known = previous.into_iter().flat_map(Snapshot::admissions);
    let same = known.find(|(known, _)| known.name == pool.name);
    let admission =
        same.map_or_else(|| Arc::new(PoolAdmission::new(workers)), |(_, known)| Arc::clone(known));
    admission.refresh(workers, admission.apart());
    Some(admission)
}

/// The clients of a pool by region: the previous ones, with their sessions, if nothing about them changed.
fn backend_tls(pool: &Pool, previous: Option<&Snapshot>) -> Vec<Option<Arc<BackendTlsClient>>> {
    let mut made: Vec<Option<Arc<BackendTlsClient>>> = Vec::with_capacity(pool.regions.len());
    for region in &pool.regions {
        let client = pool.tls_of(region).map(|written| {
            let known = previous.into_iter().flat_map(|previous| previous.backend_tls.iter().flatten());
            let same = known.chain(&made).flatten().find(|client| client.written() == written);
            same.map_or_else(|| Arc::new(BackendTlsClient::new(written)), Arc::clone)
        });
        made.push(client);
    }
    made
}

/// The previous ones, if they are the same.
fn authorities(written: &Certificates, previous: Option<&Snapshot>) -> Arc<ClientAuthorities> {
    let mut known = previous.into_iter().flat_map(|previous| &previous.client_authorities);
    let same = known.find(|authorities| authorities.written() == written);
    same.map_or_else(|| Arc::new(ClientAuthorities::new(written)), Arc::clone)
}

/// Publishes snapshots: readers take the newest with one atomic load.
#[derive(Debug)]
pub struct SnapshotStore {
    newest: ArcSwap<Snapshot>,
    /// Held while a snapshot is made of the one before.
    making: Mutex<()>,
    published: watch::Sender<()>,
}

impl SnapshotStore {
    /// Starts with a first snapshot.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        Self {
            newest: ArcSwap::from_pointee(first),
            making: Mutex::default(),
            published: watch::Sender::new(()),
        }
    }

    /// The newest snapshot.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.newest.load_full()
    }

    /// Replaces the snapshot by one that is made of it. Requests in flight keep theirs; websockets of tenants that it
    /// suspends are told. To be called where waiting for another one to be made holds nobody up.
    pub fn publish(&self, make: impl FnOnce(&Snapshot) -> Snapshot) {
        let _alone = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Arc::new(make(&self.newest.load()));
        let before = self.newest.swap(Arc::clone(&next));
        next.suspend_since(&before);
        self.published.send_replace(());
    }

    /// Tells of every snapshot that is published from now on.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<()> {
        self.published.subscribe()
    }
}
