//! A backend that came back has no registry in memory: the first request of each tenant to each of its processes takes
//! seconds. So before it is asked like the others, a page of each tenant is asked for, one tenant after the other, and as
//! often at once as it has workers: each worker takes one request at a time, so each of them gets one.

use super::http::exchange;
use super::pool::PoolWatch;
use crate::snapshot::{BackendState, Snapshot, SnapshotStore};
use fleetgate_core::backend::{own_subset, stable_hash};
use fleetgate_core::forwarded::Scheme;
use fleetgate_core::health::BackendVerdict;
use fleetgate_core::host::HostKey;
use fleetgate_core::outbound::Outbound;
use fleetgate_core::path::NormalPath;
use fleetgate_core::region::RegionIndex;
use fleetgate_core::tenant::TenantState;
use fleetgate_core::traffic::BackendPort;
use futures_util::future::join_all;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::time::timeout;

/// Tenants that are asked for at most, those with the most requests first.
const TENANTS_MAX: usize = 1_000;
/// Workers that are asked at once at most: each of them reads a whole registry from the database.
const WORKERS_MAX: u32 = 32;
/// A page that every database has, without a session.
const PAGE: &str = "/web/login";

/// A tenant to ask for.
struct Guest {
    requests: u64,
    host: Box<str>,
    database: Box<str>,
}

/// Ends the warming of a backend, however that ends.
struct Warming(Arc<BackendState>);

impl Drop for Warming {
    fn drop(&mut self) {
        self.0.end_warming();
    }
}

/// Warms the backends of a pool that came back.
pub(super) fn begin(store: &SnapshotStore, pool: &Arc<PoolWatch>) {
    for (region, backends) in pool.backends.iter().enumerate() {
        for (place, backend) in backends.iter().enumerate() {
            if !backend.begin_warming() {
                continue;
            }
            let warming = Warming(Arc::clone(backend));
            let others = backends.iter().enumerate().filter(|(other, _)| *other != place);
            let mut others = others.map(|(_, other)| other.verdict());
            // Where nobody else serves, clients wait for it: it has other work. Gateways warm their servers themselves.
            if pool.pool.is_far(region) || others.all(|verdict| verdict == BackendVerdict::Down) {
                continue;
            }
            let (pool, snapshot) = (Arc::clone(pool), store.load());
            tokio::spawn(async move {
                let guests = guests(&snapshot, &pool, region, place);
                drop(snapshot);
                let asked = ask_for_each(&pool, region, &warming.0, &guests);
                let all = timeout(pool.probes.warm_up, asked).await.is_ok();
                tracing::info!(
                    pool = &*pool.pool.name,
                    backend = %warming.0.http.address,
                    tenants = guests.len(),
                    all,
                    "a backend that came back was asked for a page of its tenants"
                );
            });
        }
    }
}

/// Tenants that were served since the process started and belong to a backend.
fn guests(snapshot: &Snapshot, pool: &PoolWatch, region: RegionIndex, place: usize) -> Vec<Guest> {
    let backends = pool.backends.get(region).map_or(&[][..], Vec::as_slice);
    let load = |index: usize| {
        let unknown = fleetgate_core::backend::BackendLoad {
            hash: 0,
            in_flight: 0,
            failing: true,
            draining: false,
            full: true,
        };
        backends.get(index).map_or(unknown, |backend| backend.load(BackendPort::Http))
    };
    let mut guests = Vec::new();
    snapshot.accounts().for_each(|account| {
        let Some((host, _)) = account.host().and_then(|host| HostKey::parse(host.as_bytes()).ok()) else {
            return;
        };
        let Some(found) = snapshot.fleet.tenants.resolve(&host) else { return };
        let own = snapshot.fleet.pools.get(usize::from(found.pool().0));
        let own = own.filter(|own| own.name == pool.pool.name && *found.state() == TenantState::Active);
        let Some(own) = own else { return };
        let tenant = stable_hash(account.id().as_bytes());
        if own_subset(tenant, own.backends_per_tenant, backends.len(), &load).contains(place) {
            let database = found.tenant.database.resolve(found.label).into();
            guests.push(Guest { requests: account.requests(), host: host.as_str().into(), database });
        }
    });
    guests.sort_by_key(|guest| std::cmp::Reverse(guest.requests));
    guests.truncate(TENANTS_MAX);
    guests
}

async fn ask_for_each(pool: &PoolWatch, region: RegionIndex, backend: &BackendState, guests: &[Guest]) {
    let tls = pool.tls_of(region).map(|tls| &**tls);
    for guest in guests {
        let asked = (0..idle_workers(backend)).filter_map(|_| page_of(pool, guest)).map(async |request| {
            if let Err(reason) = exchange(backend.http.address, request, tls).await {
                tracing::debug!(backend = %backend.http.address, host = %guest.host, reason, "a page was not answered");
            }
        });
        join_all(asked).await;
    }
}

/// Workers that have nothing to do, as far as is known: those that serve clients meanwhile are left alone.
fn idle_workers(backend: &BackendState) -> u32 {
    let workers = backend.http.workers();
    if workers == u32::MAX {
        return 1;
    }
    workers.saturating_sub(backend.http.in_flight()).clamp(1, WORKERS_MAX)
}

fn page_of(pool: &PoolWatch, guest: &Guest) -> Option<Request<Empty<Bytes>>> {
    let mut request = Request::get(PAGE).body(Empty::new()).ok()?;
    let headers = request.headers_mut();
    let outbound = Outbound {
        pool: &pool.pool,
        database: &guest.database,
        authority: &guest.host,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        scheme: Scheme::Https,
        path: &NormalPath::new(PAGE.as_bytes()).ok()?,
        has_session: false,
        client_certificate: None,
        client_certificate_chain: None,
        far: false,
    };
    let set = outbound.try_for_each(|name, value| {
        headers.insert(http::HeaderName::from_static(name), http::HeaderValue::from_str(value)?);
        Ok::<_, http::header::InvalidHeaderValue>(())
    });
    set.ok().map(|()| request)
}
