//! Prometheus metrics.
//!
//! Labels come from closed sets (class, status, port) and from the config (pool, backend, tenant): never from what
//! a client sends. Histograms are per pool and class, counters may be per tenant.

use super::acme::AcmeCollector;
use super::admission::{AdmissionCounters, AdmissionGauges};
use super::cluster::ClusterCollector;
use super::held::{Held, HeldCounter};
use crate::acme::AcmeKeeper;
use crate::certificates::CertificateStore;
use crate::cluster::Cluster;
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::spool::SpoolStore;
use crate::telemetry::lines::Lines;
use crate::telemetry::panic;
use crate::telemetry::usage::UsageCollector;
use crate::usage::Usage;
use fleetgate_core::admission::Shortage;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::traffic::{BackendPort, TrafficClass};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of request times in seconds: static files to Odoo's `limit_time_real`.
const SECONDS_BUCKETS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

/// The metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    rejections: IntCounterVec,
    guard_refusals: IntCounterVec,
    limit_refusals: IntCounterVec,
    admission: AdmissionCounters,
    held: HeldCounter,
    websockets_closed: IntCounterVec,
    connections: IntGauge,
    connections_accepted: IntCounter,
    connections_max: IntGauge,
    connections_refused: IntCounterVec,
    accept_failures: IntCounter,
    passthrough: IntCounterVec,
    cuts: IntCounterVec,
    reloads: IntCounterVec,
    reload_problems: IntGauge,
}

/// What became of a connection that somebody else answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassthroughResult {
    /// It reached who answers.
    Passed,
    /// Who answers took no connection.
    Unreachable,
}

impl PassthroughResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Unreachable => "unreachable",
        }
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

/// All of its counters are there from the start, at zero.
fn passthrough() -> prometheus::Result<IntCounterVec> {
    let counters = counter(
        "fleetgate_passthrough_connections_total",
        "TLS connections for names that somebody else answers.",
        &["result"],
    )?;
    for result in [PassthroughResult::Passed, PassthroughResult::Unreachable] {
        counters.get_metric_with_label_values(&[result.as_str()])?;
    }
    Ok(counters)
}

impl Metrics {
    /// Registers all metrics; those of tenants and backends are read from the snapshot when asked for.
    ///
    /// # Errors
    /// A name or label that Prometheus does not allow, which a test rules out.
    pub fn new(
        store: Arc<SnapshotStore>,
        spool: Arc<SpoolStore>,
        certificates: Vec<Arc<CertificateStore>>,
        lines: Lines,
    ) -> prometheus::Result<Self> {
        let metrics = Self {
            registry: Registry::new(),
            requests: counter(
                "fleetgate_requests_total",
                "Requests answered.",
                &["pool", "class", "status"],
            )?,
            request_seconds: request_seconds()?,
            rejections: counter(
                "fleetgate_rejections_total",
                "Requests answered by the gateway itself.",
                &["code"],
            )?,
            guard_refusals: counter(
                "fleetgate_guard_refusals_total",
                "Requests refused by a guard.",
                &["guard"],
            )?,
            limit_refusals: counter(
                "fleetgate_limit_refusals_total",
                "Requests refused because a limit was reached.",
                &["limit"],
            )?,
            admission: AdmissionCounters::new()?,
            held: HeldCounter::new()?,
            websockets_closed: counter(
                "fleetgate_websockets_closed_total",
                "Websockets ended.",
                &["pool", "reason"],
            )?,
            connections: IntGauge::new("fleetgate_connections", "Client connections open now.")?,
            connections_accepted: IntCounter::new(
                "fleetgate_connections_total",
                "Client connections accepted.",
            )?,
            connections_max: IntGauge::new(
                "fleetgate_connections_max",
                "Client connections that are taken at once.",
            )?,
            connections_refused: counter(
                "fleetgate_connections_refused_total",
                "Client connections that were closed at once, because there were as many as there may be.",
                &["reason"],
            )?,
            accept_failures: IntCounter::new(
                "fleetgate_accept_failures_total",
                "Times that no connection could be accepted, as when open files are used up.",
            )?,
            passthrough: passthrough()?,
            cuts: counter(
                "fleetgate_connections_cut_total",
                "Client connections that were cut for what their clients did.",
                &["reason"],
            )?,
            reloads: counter("fleetgate_reloads_total", "Reloads of the config.", &["result"])?,
            reload_problems: IntGauge::new(
                "fleetgate_config_problems",
                "Problems in the config's files; the files concerned serve their last good revision.",
            )?,
        };
        for collector in metrics.collectors() {
            metrics.registry.register(collector)?;
        }
        metrics.registry.register(Box::new(SnapshotCollector::new(store, spool, certificates, lines)?))?;
        Ok(metrics)
    }

    /// Shows what tenants use, too.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn show_usage(&self, usage: Arc<Usage>) -> prometheus::Result<()> {
        self.registry.register(Box::new(UsageCollector::new(usage)?))
    }

    /// Shows how this node does among others; alone, zeros.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn show_cluster(&self, cluster: Option<Arc<Cluster>>) -> prometheus::Result<()> {
        self.registry.register(Box::new(ClusterCollector::new(cluster)?))
    }

    /// Registers what is counted of orders for certificates; of nobody, zeros.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn watch_orders(&self, keeper: Option<Arc<AcmeKeeper>>) -> prometheus::Result<()> {
        self.registry.register(Box::new(AcmeCollector::new(keeper)?))
    }

    /// Shows what another room collects, too.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn show(&self, collector: impl Collector + 'static) -> prometheus::Result<()> {
        self.registry.register(Box::new(collector))
    }

    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let mut collectors: Vec<Box<dyn Collector>> = vec![
            Box::new(self.requests.clone()),
            Box::new(self.request_seconds.clone()),
            Box::new(self.rejections.clone()),
            Box::new(self.guard_refusals.clone()),
            Box::new(self.limit_refusals.clone()),
            Box::new(self.websockets_closed.clone()),
            Box::new(self.connections.clone()),
            Box::new(self.connections_accepted.clone()),
            Box::new(self.connections_max.clone()),
            Box::new(self.connections_refused.clone()),
            Box::new(self.accept_failures.clone()),
            Box::new(self.passthrough.clone()),
            Box::new(self.cuts.clone()),
            Box::new(self.reloads.clone()),
            Box::new(self.reload_problems.clone()),
        ];
        collectors.extend(self.admission.collectors());
        collectors.push(self.held.collector());
        collectors
    }

    /// Counts an answered request.
    pub fn count_request(&self, pool: &str, class: TrafficClass, status: u16, duration: Duration) {
        self.requests.with_label_values(&[pool, class.as_str(), status_class(status)]).inc();
        if class != TrafficClass::Websocket {
            self.request_seconds.with_label_values(&[pool, class.as_str()]).observe(duration.as_secs_f64());
        }
    }

    /// Counts an answer of our own.
    pub fn count_rejection(&self, rejection: Rejection) {
        self.rejections.with_label_values(&[rejection.code()]).inc();
        if let Rejection::GuardDenied(guard) | Rejection::GuardHidden(guard) = rejection {
            self.guard_refusals.with_label_values(&[guard.as_str()]).inc();
        }
        if let Some(limit) = rejection.limit() {
            self.limit_refusals.with_label_values(&[limit.as_str()]).inc();
        }
    }

    /// Counts a request that got a permit for a worker.
    pub fn count_permit(&self, pool: &str, class: TrafficClass, waited: Duration) {
        self.admission.count_permit(pool, class, waited);
    }

    /// Counts a request that got none.
    pub fn count_shed(&self, pool: &str, class: TrafficClass, shortage: Shortage) {
        self.admission.count_shed(pool, class, shortage);
    }

    /// Counts a request that waited for its pool to have a region.
    pub fn count_held(&self, pool: &str, held: Held) {
        self.held.count(pool, held);
    }

    /// Counts a websocket that ended.
    pub fn count_websocket_end(&self, pool: &str, reason: &'static str) {
        self.websockets_closed.with_label_values(&[pool, reason]).inc();
    }

    /// Counts a connection that is passed on, or should have been.
    pub fn count_passthrough(&self, result: PassthroughResult) {
        self.passthrough.with_label_values(&[result.as_str()]).inc();
    }

    /// Counts a client connection until the guard is dropped.
    #[must_use]
    pub fn count_connection(&self) -> ConnectionGuard {
        self.connections.inc();
        self.connections_accepted.inc();
        ConnectionGuard(self.connections.clone())
    }

    /// Says how many connections are taken at once.
    pub fn set_connections_max(&self, max: u32) {
        self.connections_max.set(i64::from(max));
    }

    /// Client connections that are taken at once.
    #[must_use]
    pub fn connections_max(&self) -> i64 {
        self.connections_max.get()
    }

    /// Counts a connection that there was no room for.
    pub fn count_refused_connection(&self, reason: &'static str) {
        self.connections_refused.with_label_values(&[reason]).inc();
    }

    /// Counts a connection that was cut.
    pub fn count_cut(&self, why: Cut) {
        self.cuts.with_label_values(&[why.as_str()]).inc();
    }

    /// Counts a connection that could not be accepted.
    pub fn count_accept_failure(&self) {
        self.accept_failures.inc();
    }

    /// Client connections open now.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.connections.get()
    }

    /// Counts a reload and the problems it left.
    pub fn count_reload(&self, result: ReloadResult, problems: usize) {
        self.reloads.with_label_values(&[result.as_str()]).inc();
        self.reload_problems.set(i64::try_from(problems).unwrap_or(i64::MAX));
    }

    /// The text that Prometheus scrapes.
    ///
    /// # Errors
    /// A metric that cannot be encoded.
    pub fn encode(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn request_seconds() -> prometheus::Result<HistogramVec> {
    let help = "Time from a request's head to the end of its answer, without websockets.";
    let options = HistogramOpts::new("fleetgate_request_seconds", help);
    HistogramVec::new(options.buckets(SECONDS_BUCKETS.to_vec()), &["pool", "class"])
}

/// Why a client's connection was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The client reads slower than the floor.
    SlowReader,
    /// A head over HTTP/2 did not come in time.
    SlowHead,
    /// Frames over HTTP/2 that carry nothing.
    Flood,
}

impl Cut {
    /// Label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SlowReader => "slow_reader",
            Self::SlowHead => "slow_head",
            Self::Flood => "flood",
        }
    }
}

/// How a reload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// A new snapshot serves.
    Applied,
    /// Nothing had changed.
    Unchanged,
    /// The old snapshot goes on.
    Refused,
}

impl ReloadResult {
    /// Label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// An open client connection.
#[derive(Debug)]
pub struct ConnectionGuard(IntGauge);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

const fn status_class(status: u16) -> &'static str {
    match status {
        0 => "none",
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// Reads what the snapshot counts when a scrape asks for it.
#[derive(Debug)]
struct SnapshotCollector {
    store: Arc<SnapshotStore>,
    spool: Arc<SpoolStore>,
    certificates: Vec<Arc<CertificateStore>>,
    lines: Lines,
    collecting: Mutex<()>,
    generation: IntGauge,
    tenants: IntGauge,
    accounts: IntGauge,
    accounts_overflowed: IntCounter,
    spool_bytes: IntGauge,
    spool_memory: IntGauge,
    spool_memory_full: IntCounter,
    certificate_problems: IntGauge,
    certificate_ends: IntGaugeVec,
    panics: IntCounter,
    dropped: IntCounter,
    admission: AdmissionGauges,
    name_problems: IntGauge,
    in_flight: IntGaugeVec,
    connect_failures: IntCounterVec,
    tenant_requests: IntCounterVec,
    tenant_websockets: IntGaugeVec,
}

impl SnapshotCollector {
    fn new(
        store: Arc<SnapshotStore>,
        spool: Arc<SpoolStore>,
        certificates: Vec<Arc<CertificateStore>>,
        lines: Lines,
    ) -> prometheus::Result<Self> {
        let gauges =
            |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        Ok(Self {
            store,
            spool,
            certificates,
            lines,
            collecting: Mutex::default(),
            generation: IntGauge::new(
                "fleetgate_config_generation",
                "Snapshot that serves, counted from 1.",
            )?,
            tenants: IntGauge::new("fleetgate_tenants", "Tenant entries of the snapshot.")?,
            accounts: IntGauge::new(
                "fleetgate_tenant_accounts",
                "Tenants and tenant entries that something is counted for now.",
            )?,
            accounts_overflowed: IntCounter::new(
                "fleetgate_tenant_accounts_overflowed_total",
                "Requests counted for the entry, as too many tenants of `*.suffix` hosts were asked for.",
            )?,
            spool_bytes: IntGauge::new("fleetgate_spool_bytes", "Bytes of bodies on disk now.")?,
            spool_memory: IntGauge::new("fleetgate_spool_memory_bytes", "Bytes of bodies in memory now.")?,
            spool_memory_full: IntCounter::new(
                "fleetgate_spool_memory_full_total",
                "Pieces of bodies that went to disk because bodies had used up the memory for them.",
            )?,
            certificate_problems: IntGauge::new(
                "fleetgate_certificate_problems",
                "Certificates whose files cannot be used; what was good before serves on.",
            )?,
            certificate_ends: gauges(
                "fleetgate_certificate_not_after_seconds",
                "When a certificate ends, in seconds since 1970.",
                &["certificate"],
            )?,
            panics: IntCounter::new("fleetgate_panics_total", "Panics; each failed one request.")?,
            dropped: IntCounter::new(
                "fleetgate_access_log_dropped_total",
                "Access log lines that were dropped.",
            )?,
            admission: AdmissionGauges::new()?,
            in_flight: gauges(
                "fleetgate_backend_in_flight",
                "Requests, or websockets, that a backend serves now.",
                &["pool", "backend", "port"],
            )?,
            connect_failures: counters(
                "fleetgate_backend_connect_failures_total",
                "Connections that a backend refused or let time out.",
                &["pool", "backend", "port"],
            )?,
            name_problems: IntGauge::new(
                "fleetgate_backend_name_problems",
                "Names of backends whose last answer is not used, or not wholly.",
            )?,
            tenant_requests: counters(
                "fleetgate_tenant_requests_total",
                "Requests of a tenant entry; tenants without requests are left out.",
                &["tenant"],
            )?,
            tenant_websockets: gauges(
                "fleetgate_tenant_websockets",
                "Websockets open now of a tenant entry; tenants without requests are left out.",
                &["tenant"],
            )?,
        })
    }

    fn read(&self, snapshot: &Snapshot) {
        self.generation.set(gauge(snapshot.generation));
        self.tenants.set(gauge(u64::try_from(snapshot.fleet.tenants.len()).unwrap_or(u64::MAX)));
        self.accounts.set(gauge(u64::try_from(snapshot.accounts().len()).unwrap_or(u64::MAX)));
        self.accounts_overflowed.reset();
        self.accounts_overflowed.inc_by(snapshot.accounts().overflowed());
        self.spool_bytes.set(gauge(self.spool.on_disk()));
        self.spool_memory.set(gauge(self.spool.in_memory()));
        self.spool_memory_full.reset();
        self.spool_memory_full.inc_by(self.spool.memory_refusals());
        self.read_certificates();
        self.panics.reset();
        self.panics.inc_by(panic::count());
        self.dropped.reset();
        self.dropped.inc_by(self.lines.dropped());
        self.admission.read(snapshot);
        self.in_flight.reset();
        self.connect_failures.reset();
        self.tenant_requests.reset();
        self.tenant_websockets.reset();
        let names = snapshot.fleet.pools.iter().flat_map(|pool| pool.names());
        let problems = names.filter(|name| snapshot.addresses().facts(name).problem.is_some()).count();
        self.name_problems.set(i64::try_from(problems).unwrap_or(i64::MAX));
        for (pool, _, regions) in snapshot.pools() {
            for backend in regions.iter().flatten() {
                for port in [BackendPort::Http, BackendPort::Gevent] {
                    let state = backend.port(port);
                    let address = state.address.to_string();
                    let labels = [&*pool.name, &address, port.as_str()];
                    self.in_flight.with_label_values(&labels).set(i64::from(state.in_flight()));
                    self.connect_failures.with_label_values(&labels).inc_by(state.connect_failures());
                }
            }
        }
        for (index, tenant) in snapshot.fleet.tenants.iter() {
            let Some(account) = snapshot.entry_account(index).filter(|account| account.seen()) else {
                continue;
            };
            let label = [tenant.id.as_written()];
            self.tenant_requests.with_label_values(&label).inc_by(account.requests());
            self.tenant_websockets.with_label_values(&label).set(i64::from(account.websockets()));
        }
    }

    fn read_certificates(&self) {
        self.certificate_ends.reset();
        let mut problems = 0_i64;
        for facts in self.certificates.iter().flat_map(|store| store.facts()) {
            problems = problems.saturating_add(i64::from(facts.problem.is_some()));
            if let Some(not_after) = facts.not_after {
                self.certificate_ends.with_label_values(&[facts.name.as_str()]).set(not_after.as_second());
            }
        }
        self.certificate_problems.set(problems);
    }

    fn parts(&self) -> [&dyn Collector; 16] {
        [
            &self.generation,
            &self.tenants,
            &self.accounts,
            &self.accounts_overflowed,
            &self.spool_bytes,
            &self.spool_memory,
            &self.spool_memory_full,
            &self.certificate_problems,
            &self.certificate_ends,
            &self.panics,
            &self.dropped,
            &self.name_problems,
            &self.in_flight,
            &self.connect_failures,
            &self.tenant_requests,
            &self.tenant_websockets,
        ]
    }
}

impl Collector for SnapshotCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().chain(self.admission.parts()).flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Two scrapes at once would both add to the same counters.
        let _alone = self.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(&self.store.load());
        self.parts().into_iter().chain(self.admission.parts()).flat_map(Collector::collect).collect()
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
