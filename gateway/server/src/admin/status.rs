//! What the process is doing.

use super::routes::AdminState;
use crate::acme::AcmeFacts;
use crate::certificates::CertificateStore;
use crate::cluster::ClusterFacts;
use crate::region::NodeReport;
use crate::reload::{HeldBack, ProblemNote};
use crate::spool::{SpoolBounds, SpoolStore};
use fleetgate_core::admission::{Load, WorkClass};
use fleetgate_core::pool::Pool;
use fleetgate_core::region::region_of;
use fleetgate_core::traffic::BackendPort;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Takes requests.
    Serving,
    /// Ends what is in flight, then exits.
    Draining,
}

/// The phase, shared between the runtime that sets it and the API that shows it.
#[derive(Debug, Default)]
pub struct PhaseCell(AtomicU8);

impl PhaseCell {
    /// Begins the drain.
    pub fn drain(&self) {
        self.0.store(1, Ordering::Release);
    }

    /// The phase now.
    #[must_use]
    pub fn get(&self) -> Phase {
        if self.0.load(Ordering::Acquire) == 0 { Phase::Serving } else { Phase::Draining }
    }
}

/// Answer of `GET /v1/status`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of Fleetgate.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Phase.
    pub phase: Phase,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Client connections open now.
    pub connections: i64,
    /// Client connections that are taken at once.
    pub connections_max: i64,
    /// Bodies that wait for the slower side.
    pub spool: SpoolStatus,
    /// Addresses.
    pub listeners: Vec<ListenerStatus>,
    /// Certificates.
    pub certificates: CertificatesStatus,
    /// Ordering of certificates; `None` when none is ordered.
    pub acme: Option<AcmeFacts>,
    /// Config that serves.
    pub config: ConfigStatus,
    /// Pools with the backends of their active regions.
    pub pools: Vec<PoolStatus>,
    /// Why usage of quotas is not written down, and what to do.
    pub usage_problem: Option<String>,
    /// This node among others; `None`: it is alone.
    pub cluster: Option<ClusterFacts>,
    /// The other gateways of `nodes`.
    #[serde(default)]
    pub gateways: Vec<NodeReport>,
    /// Panics since the start; each failed one request.
    pub panics: u64,
}

/// Bodies that wait, in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// In memory now.
    pub memory_bytes: u64,
    /// In memory, before further ones go to disk at once.
    pub memory_max: u64,
    /// On disk now.
    pub disk_bytes: u64,
    /// On disk at most.
    pub disk_max: u64,
}

impl SpoolStatus {
    fn of(store: &SpoolStore) -> Self {
        let SpoolBounds { memory_max, disk_max, .. } = *store.bounds();
        Self { memory_bytes: store.in_memory(), memory_max, disk_bytes: store.on_disk(), disk_max }
    }
}

/// A listening address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// As configured.
    pub name: String,
    /// As bound.
    pub address: String,
}

/// The certificates of all listeners.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct CertificatesStatus {
    /// Certificates that serve.
    pub serving: usize,
    /// The one that ends first.
    pub ends_first: Option<CertificateEnd>,
    /// What is wrong with files; the certificates that were good before serve on.
    pub problems: Vec<String>,
}

/// When a certificate ends.
#[derive(Debug, Serialize, Deserialize)]
pub struct CertificateEnd {
    /// Name of its files.
    pub name: String,
    /// Moment.
    pub not_after: jiff::Timestamp,
}

impl CertificatesStatus {
    fn of(stores: &[Arc<CertificateStore>]) -> Self {
        let mut status = Self::default();
        for facts in stores.iter().flat_map(|store| store.facts()) {
            status.problems.extend(facts.problem);
            let Some(not_after) = facts.not_after else { continue };
            status.serving = status.serving.saturating_add(1);
            if status.ends_first.as_ref().is_none_or(|first| not_after < first.not_after) {
                status.ends_first = Some(CertificateEnd { name: facts.name, not_after });
            }
        }
        status
    }
}

/// The config that serves, and what is wrong with its files.
#[derive(Debug, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// Counts the snapshots of this process.
    pub generation: u64,
    /// Fingerprint of the files.
    pub revision: String,
    /// Tenant entries.
    pub tenants: usize,
    /// Problems; the files concerned serve their last good revision.
    pub problems: Vec<ProblemNote>,
    /// Files that are not served as they are now.
    pub held_back: Vec<HeldBack>,
    /// Changed settings that wait for a restart.
    pub restart_needed: Vec<String>,
}

/// A pool.
#[derive(Debug, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Name.
    pub name: String,
    /// Odoo version.
    pub odoo_version: String,
    /// Region that serves.
    pub region: Option<String>,
    /// Regions that stand by.
    pub standby: Vec<String>,
    /// Its workers and who waits for them; `None` where their number is not known.
    pub admission: Option<AdmissionStatus>,
    /// Backends of the serving region.
    pub backends: Vec<BackendStatus>,
}

/// The workers of a pool.
#[derive(Debug, Serialize, Deserialize)]
pub struct AdmissionStatus {
    /// Workers that requests are let through to.
    pub workers: u32,
    /// Workers that are held.
    pub held: u32,
    /// Those of them that print and ask for what they need, beside the queue.
    pub beside: u32,
    /// By class of work.
    pub work: Vec<WorkStatus>,
}

/// A class of work.
#[derive(Debug, Serialize, Deserialize)]
pub struct WorkStatus {
    /// Name of the class.
    pub class: String,
    /// Workers that its requests hold.
    pub held: u32,
    /// Requests that wait.
    pub waiting: u32,
}

impl AdmissionStatus {
    fn of(load: Load) -> Self {
        let work = WorkClass::ALL.into_iter().zip(load.classes);
        let work = work.map(|(class, (held, waiting))| WorkStatus {
            class: class.as_str().to_owned(),
            held,
            waiting,
        });
        Self { workers: load.workers, held: load.in_service, beside: load.beside, work: work.collect() }
    }
}

/// A backend.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackendStatus {
    /// HTTP port.
    pub http: String,
    /// Gevent port.
    pub websocket: String,
    /// Requests on the HTTP port now.
    pub http_in_flight: u32,
    /// Websockets and longpolls on the gevent port now.
    pub websocket_in_flight: u32,
    /// Connections refused or timed out, both ports.
    pub connect_failures: u64,
    /// Whether a connection failed a moment ago, so that others are asked first.
    pub failing: bool,
}

/// Reads the status.
pub(super) fn status(state: &AdminState) -> Status {
    let snapshot = state.store.load();
    let admission = |pool: &Pool| {
        let mut known = snapshot.admissions();
        let found = known.find(|(known, _)| known.name == pool.name);
        found.map(|(_, admission)| AdmissionStatus::of(admission.load()))
    };
    let pools = snapshot.pools().map(|(pool, route, regions)| {
        let serving = region_of(route.get(), true).ok();
        let others = pool.regions.iter().enumerate().filter(|(place, _)| Some(*place) != serving);
        let backends = serving.and_then(|serving| regions.get(serving)).into_iter().flatten();
        PoolStatus {
            name: pool.name.to_string(),
            odoo_version: pool.odoo_version.to_string(),
            region: serving
                .and_then(|serving| pool.regions.get(serving))
                .map(|region| region.name.to_string()),
            standby: others.map(|(_, region)| region.name.to_string()).collect(),
            admission: admission(pool),
            backends: backends.map(|backend| backend_status(backend)).collect(),
        }
    });
    let reload = state.reload.report();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        phase: state.phase.get(),
        uptime_seconds: state.started.elapsed().as_secs(),
        connections: state.metrics.connections(),
        connections_max: state.metrics.connections_max(),
        spool: SpoolStatus::of(&state.spool),
        listeners: state.listeners.clone(),
        certificates: CertificatesStatus::of(&state.certificates),
        acme: state.keeper.as_ref().map(|keeper| keeper.facts()),
        config: ConfigStatus {
            generation: snapshot.generation,
            revision: snapshot.revision.to_string(),
            tenants: snapshot.fleet.tenants.len(),
            problems: reload.problems.clone(),
            held_back: reload.held_back.clone(),
            restart_needed: reload.restart_needed.clone(),
        },
        pools: pools.collect(),
        usage_problem: state.usage.opened().and_then(|store| store.problem()),
        cluster: state.cluster.as_ref().map(|cluster| cluster.facts()),
        gateways: state.regions.nodes(),
        panics: crate::telemetry::panic::count(),
    }
}

fn backend_status(backend: &crate::snapshot::BackendState) -> BackendStatus {
    BackendStatus {
        http: backend.http.address.to_string(),
        websocket: backend.gevent.address.to_string(),
        http_in_flight: backend.http.in_flight(),
        websocket_in_flight: backend.gevent.in_flight(),
        connect_failures: backend.http.connect_failures().saturating_add(backend.gevent.connect_failures()),
        failing: backend.load(BackendPort::Http).failing || backend.load(BackendPort::Gevent).failing,
    }
}
