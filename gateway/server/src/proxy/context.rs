//! What the gateway knows about one request, from its first phase to its log line.

use crate::admission::{Permit, PoolAdmission};
use crate::limits::PlaceLease;
use crate::snapshot::{
    BackendLease, BackendTlsClient, OpenWebsocket, Snapshot, SnapshotStore, Suspension, TenantAccount,
};
use crate::telemetry::trace::RequestId;
use crate::upstream::{Attempts, RetryRule};
use crate::usage::Charge;
use fleetgate_core::forwarded::Scheme;
use fleetgate_core::host::HostKey;
use fleetgate_core::limit::{LimitReport, Login};
use fleetgate_core::pool::{Pool, PoolIndex};
use fleetgate_core::region::{RegionIndex, Route};
use fleetgate_core::rejection::Rejection;
use fleetgate_core::tenant::{Tenant, TenantIndex};
use fleetgate_core::traffic::{BackendPort, TrafficClass};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::certificate::Shown;
use super::tunnel::Tunnel;
use tokio_util::sync::CancellationToken;

/// State of one request.
pub struct RequestContext {
    /// The one snapshot that this request sees.
    pub(super) snapshot: Arc<Snapshot>,
    /// When the head of the request had arrived.
    pub(super) started: Instant,
    /// Name of the request.
    pub(super) request_id: RequestId,
    /// Who asks.
    pub(super) client: Client,
    /// The certificate that the tenant asked the client for.
    pub(super) certificate: Option<Shown>,
    /// Host, once read.
    pub(super) host: Option<HostKey>,
    /// Port that the client wrote, if any.
    pub(super) port: Option<u16>,
    /// Where the request goes, once decided.
    pub(super) target: Option<Target>,
    /// What is counted and held for the tenant, once it is known.
    pub(super) account: Option<Arc<TenantAccount>>,
    /// The tenant's place for a request in flight.
    pub(super) place: Option<PlaceLease<TenantAccount>>,
    /// The place among those of the class.
    pub(super) class_place: Option<PlaceLease<TenantAccount>>,
    /// A login that the answer will tell about.
    pub(super) login: Option<Login>,
    /// The tenant's place for a websocket.
    pub(super) websocket: Option<OpenWebsocket>,
    /// Limits that the client should hear of.
    pub(super) limit_report: LimitReport,
    /// What the request uses of the tenant's quotas.
    pub(super) charge: Option<Charge>,
    /// Why the gateway answers itself, if it does.
    pub(super) rejection: Option<Rejection>,
    /// Whether the head was refused before it was parsed: what Pingora shows is not what the client sent.
    pub(super) refused_unread: bool,
    /// Backends asked.
    pub(super) attempts: Attempts,
    /// Rule about asking again.
    pub(super) retry: RetryRule,
    /// Permit for the worker that has the request.
    pub(super) permit: Option<Permit>,
    /// How long the request waited for a worker.
    pub(super) queued: Option<Duration>,
    /// How long the request waited for its pool to have a region.
    pub(super) held: Option<Duration>,
    /// Place at the backend that is being asked.
    pub(super) lease: Option<BackendLease>,
    /// From the start to the first byte of the backend's answer.
    pub(super) first_byte: Option<Duration>,
    /// Why an exchange may not go on, where that is no failure of the backend.
    pub(super) refused: Option<Rejection>,
    /// Whether the next attempt must not use a kept connection.
    pub(super) fresh_connection: bool,
    /// A websocket to run on the connection after this request. Pingora takes it from behind a shared reference.
    tunnel: Mutex<Option<Box<Tunnel>>>,
}

/// Who asks, and over what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// Address behind any trusted proxies.
    pub(super) address: IpAddr,
    /// Scheme that the client used.
    pub(super) scheme: Scheme,
    /// Whether the connection's peer is a trusted proxy.
    pub(super) through_trusted_proxy: bool,
    /// Whether the connection's peer is a gateway of another site.
    pub(super) through_gateway: bool,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// Tenant entry.
    pub(super) tenant: TenantIndex,
    /// Whether the host matched a `*.suffix`.
    pub(super) by_suffix: bool,
    /// Pool.
    pub(super) pool: PoolIndex,
    /// Region that serves the request, to its end.
    pub(super) region: RegionIndex,
    /// Class; `None` while the request is not admitted.
    pub(super) class: Option<TrafficClass>,
    /// Longest body in bytes.
    pub(super) body_bytes_max: u64,
    /// Whether bodies are passed on as they come.
    pub(super) streamed: bool,
}

impl RequestContext {
    /// Starts with the snapshot that serves now.
    #[must_use]
    pub(super) fn new(snapshot: Arc<Snapshot>) -> Self {
        let client = Client {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            scheme: Scheme::Http,
            through_trusted_proxy: false,
            through_gateway: false,
        };
        Self {
            snapshot,
            started: Instant::now(),
            request_id: RequestId::default(),
            client,
            certificate: None,
            host: None,
            port: None,
            target: None,
            account: None,
            place: None,
            class_place: None,
            login: None,
            websocket: None,
            limit_report: LimitReport::default(),
            charge: None,
            rejection: None,
            refused_unread: false,
            attempts: Attempts::default(),
            retry: RetryRule::of(&http::Method::POST),
            permit: None,
            queued: None,
            held: None,
            lease: None,
            first_byte: None,
            refused: None,
            fresh_connection: false,
            tunnel: Mutex::new(None),
        }
    }

    /// The tenant entry of the request.
    #[must_use]
    pub(super) fn tenant(&self) -> Option<&Tenant> {
        self.snapshot.fleet.tenants.get(self.target?.tenant)
    }

    /// The pool of the request's tenant.
    #[must_use]
    pub(super) fn pool(&self) -> Option<&Pool> {
        self.snapshot.fleet.pools.get(usize::from(self.target?.pool.0))
    }

    /// How TLS is made with the backends of the pool.
    #[must_use]
    pub(super) fn backend_tls(&self) -> Option<&Arc<BackendTlsClient>> {
        let target = self.target?;
        self.snapshot.backend_tls(target.pool, target.region)
    }

    /// Whether the region of the request is reached through the gateways there.
    #[must_use]
    pub(super) fn goes_far(&self) -> bool {
        self.target.zip(self.pool()).is_some_and(|(target, pool)| pool.is_far(target.region))
    }

    /// Who is served by the workers of the request's pool; `None` where their number is not known.
    #[must_use]
    pub(super) fn admission(&self) -> Option<&Arc<PoolAdmission>> {
        self.snapshot.admission(self.target?.pool)
    }

    /// The class of an admitted request.
    #[must_use]
    pub(super) fn class(&self) -> Option<TrafficClass> {
        self.target?.class
    }

    /// The label that a `*.suffix` matched.
    #[must_use]
    pub(super) fn label(&self) -> Option<&str> {
        let by_suffix = self.target.is_some_and(|target| target.by_suffix);
        let label = self.host.as_ref()?.as_str().split('.').next();
        label.filter(|_| by_suffix)
    }

    /// Id of the tenant.
    #[must_use]
    pub(super) fn tenant_id(&self) -> Option<Cow<'_, str>> {
        Some(self.tenant()?.id.resolve(self.label()))
    }

    /// Database of the tenant.
    #[must_use]
    pub(super) fn database(&self) -> Option<Cow<'_, str>> {
        Some(self.tenant()?.database.resolve(self.label()))
    }

    /// The account of the tenant's entry, where that is another than the tenant's own.
    #[must_use]
    pub(super) fn entry_account(&self) -> Option<&Arc<TenantAccount>> {
        let entry = self.snapshot.entry_account(self.target?.tenant)?;
        let shared = self.account.as_ref().is_none_or(|account| Arc::ptr_eq(account, entry));
        Some(entry).filter(|_| !shared)
    }

    /// Cancelled when requests of the pool no longer go to the region of this one.
    #[must_use]
    pub(super) fn left(&self) -> CancellationToken {
        let route = self.target.and_then(|target| Some((self.snapshot.route(target.pool)?, target.region)));
        let Some((route, region)) = route else { return CancellationToken::new() };
        // Taken before the look at the route: a change between the two is seen here or cancels what was taken.
        let left = route.left();
        if route.get() == Route::Serve(region) {
            return left;
        }
        let gone = CancellationToken::new();
        gone.cancel();
        gone
    }

    /// When the tenant of the request is suspended.
    #[must_use]
    pub(super) fn suspension(&self, store: &SnapshotStore) -> Suspension {
        let tenant = self.host.as_ref().zip(self.account.as_deref());
        tenant
            .map(|(host, account)| store.suspension(host, account, self.entry_account()))
            .unwrap_or_default()
    }

    /// `host[:port]` as Odoo should see it: canonical, with the port unless it is the scheme's own.
    #[must_use]
    pub(super) fn authority(&self) -> Option<Cow<'_, str>> {
        let host = self.host.as_ref()?.as_str();
        let port = self.port.filter(|port| *port != self.client.scheme.default_port());
        Some(port.map_or(Cow::Borrowed(host), |port| Cow::Owned(format!("{host}:{port}"))))
    }

    /// Takes a place at the next backend, giving back the last one.
    pub(super) fn next_backend(&mut self) -> Option<&BackendLease> {
        self.lease = None;
        let target = self.target?;
        let backends_per_tenant = self.pool()?.backends_per_tenant;
        let snapshot = Arc::clone(&self.snapshot);
        let tenant = self.tenant_id()?.into_owned();
        let backends = snapshot.backends(target.pool, target.region);
        self.lease = self.attempts.next(backends, target.class?.port(), &tenant, backends_per_tenant);
        self.lease.as_ref()
    }

    /// Whether the next attempt may use a connection that served another request.
    #[must_use]
    pub(super) fn may_reuse_connection(&self) -> bool {
        self.retry.may_reuse_connection() && !self.fresh_connection
    }

    /// Longest body that the request may have, in bytes.
    #[must_use]
    pub(super) fn body_bytes_max(&self) -> u64 {
        self.target.map_or(0, |target| target.body_bytes_max)
    }

    /// Whether the bodies of the request are passed on as they come.
    #[must_use]
    pub(super) fn is_streamed(&self) -> bool {
        self.target.is_some_and(|target| target.streamed)
    }

    /// Leaves a websocket for whoever runs the connection.
    pub(super) fn hand_over(&self, tunnel: Tunnel) {
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(tunnel));
    }

    /// Whether a websocket takes over.
    #[must_use]
    pub(super) fn becomes_websocket(&self) -> bool {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Takes the websocket that was handed over.
    #[must_use]
    pub(super) fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A connection to a backend was made, and it gets the request.
    pub(super) fn backend_begins(&mut self) {
        let port = self.lease.as_ref().map(BackendLease::port);
        match (&mut self.charge, port) {
            (Some(charge), Some(BackendPort::Http)) => charge.worker_begins(),
            (Some(charge), _) => charge.reaches_backend(),
            (None, _) => {}
        }
    }

    /// The backend is done with the request.
    pub(super) fn backend_ends(&mut self) {
        if let Some(charge) = &mut self.charge {
            charge.worker_ends();
        }
    }

    /// Bytes of the answer's body are about to leave; the first time, that it begins. What was charged is written down
    /// before the client hears of it.
    pub(super) fn answer_leaves(&mut self, bytes: usize) {
        if let Some(charge) = &mut self.charge {
            charge.leaves(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    /// Whether a further backend could be asked.
    #[must_use]
    pub(super) fn may_try_another(&self) -> bool {
        self.target.is_some_and(|target| {
            self.attempts.may_try_another(self.snapshot.backends(target.pool, target.region).len())
        })
    }

    /// Whether a further backend could be asked that is well, after some attempts.
    #[must_use]
    pub(super) fn may_try_better(&self, after: Attempts) -> bool {
        let asked = self.target.and_then(|target| Some((target, target.class?.port())));
        asked.is_some_and(|(target, port)| {
            after.may_try_better(self.snapshot.backends(target.pool, target.region), port)
        })
    }
}
