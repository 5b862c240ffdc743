//! What would happen to a request, and why: the gateway's own decision, run for show.

use super::routes::AdminState;
use super::tenants::state_name;
use crate::snapshot::Snapshot;
use crate::upstream::{RetryRule, preference};
use fleetgate_core::admission::{WorkClass, wait_max};
use fleetgate_core::client_certificate::Proof;
use fleetgate_core::forwarded::Scheme;
use fleetgate_core::guard::BodyLength;
use fleetgate_core::host::HostKey;
use fleetgate_core::limit::Limits;
use fleetgate_core::outbound::Outbound;
use fleetgate_core::pool::Pool;
use fleetgate_core::region::region_of;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::request::{Target, judge_parsed};
use fleetgate_core::rpc::RpcRoute;
use fleetgate_core::tenant::TenantMatch;
use fleetgate_core::traffic::TrafficClass;
use fleetgate_core::verdict::{RequestView, Route, Verdict, admit};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Query of `GET /v1/explain`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExplainQuery {
    /// Absolute URL, `http` or `https`.
    pub url: String,
    /// Method; GET by default.
    #[serde(default = "get")]
    pub method: String,
    /// Client address; an address nobody has by default (192.0.2.1, RFC 5737).
    #[serde(default = "nobody")]
    pub from: IpAddr,
}

fn get() -> String {
    "GET".to_owned()
}

const fn nobody() -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))
}

/// Answer of `GET /v1/explain`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Explanation {
    /// `forward`, `redirect` or `reject`.
    pub verdict: String,
    /// Each step of the decision, in order.
    pub why: Vec<String>,
    /// Canonical host.
    pub host: Option<String>,
    /// Tenant id.
    pub tenant: Option<String>,
    /// Database.
    pub database: Option<String>,
    /// State of the tenant.
    pub state: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Traffic class.
    pub class: Option<String>,
    /// Port of Odoo: `http` or `gevent`.
    pub port: Option<String>,
    /// Backends in the order in which they would be asked now.
    pub backends: Vec<String>,
    /// Headers that Odoo gets from the gateway, and from nobody else.
    pub headers: Vec<(String, String)>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// Status of a rejection.
    pub status: Option<u16>,
    /// Code of a rejection.
    pub rejection: Option<String>,
    /// Guard that refused.
    pub reason: Option<String>,
    /// Snapshot that decided.
    pub generation: u64,
}

/// Runs the decision.
///
/// # Errors
/// A sentence about what is wrong with the query.
pub(super) fn explain(state: &AdminState, query: &ExplainQuery) -> Result<Explanation, String> {
    let snapshot = state.store.load();
    let uri: http::Uri =
        query.url.parse().map_err(|error| format!("`{}` is not a URL: {error}", query.url))?;
    let scheme = match uri.scheme_str() {
        Some("http" | "ws") => Scheme::Http,
        Some("https" | "wss") => Scheme::Https,
        _ => return Err(format!("`{}` must start with http:// or https://", query.url)),
    };
    let method: http::Method =
        query.method.parse().map_err(|_| format!("`{}` is not an HTTP method", query.method))?;
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let mut told = Explanation { generation: snapshot.generation, ..Explanation::default() };
    let (host, port) = match HostKey::parse(authority.as_bytes()) {
        Ok(parsed) => parsed,
        Err(error) => {
            told.why.push(format!("the host `{authority}` is refused: {error}"));
            reject(&mut told, Rejection::BadHost(error));
            return Ok(told);
        }
    };
    told.host = Some(host.as_str().to_owned());
    let raw = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let target = match read_head(&method, raw) {
        Ok(target) => target,
        Err(rejection) => {
            let reason = rejection.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
            told.why.push(format!("`{method} {raw}` is refused before anybody is asked for{reason}"));
            reject(&mut told, rejection);
            return Ok(told);
        }
    };
    let asked =
        Asked { scheme, port, retry: RetryRule::of(&method), from: query.from, target: &target, host: &host };
    let view = RequestView {
        server_name: None,
        proof: Proof::NotNeeded,
        host: &host,
        path: &target.path,
        query: target.query.unwrap_or_default(),
        safe_method: crate::upstream::is_safe(&method),
        body: BodyLength::None,
        client: query.from,
    };
    match admit(&snapshot.fleet, &view) {
        Verdict::Forward(route) => {
            tell_tenant(&mut told, &snapshot, route.found);
            tell_route(&mut told, &snapshot, &route, &asked);
        }
        Verdict::Redirect { host, found } => {
            tell_tenant(&mut told, &snapshot, found);
            told.verdict = "redirect".to_owned();
            told.why.push(format!("pages of this tenant live on its canonical host {host}"));
            let path = String::from_utf8_lossy(&target.to_bytes()).into_owned();
            let port = port.filter(|port| *port != scheme.default_port());
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            told.location = Some(format!("{}://{host}{port}{path}", scheme.as_str()));
        }
        Verdict::Reject { rejection, found } => {
            match found {
                Some(found) => tell_tenant(&mut told, &snapshot, found),
                None => told.why.push("no tenant answers to this host, exactly or as *.suffix".to_owned()),
            }
            reject(&mut told, rejection);
        }
    }
    Ok(told)
}

/// The strict check, as far as a method and a URL go.
fn read_head<'a>(method: &http::Method, raw: &'a str) -> Result<Target<'a>, Rejection> {
    judge_parsed(method.as_str().as_bytes(), raw.as_bytes(), std::iter::empty())?;
    Ok(Target::parse(raw.as_bytes())?)
}

/// The question, taken apart.
struct Asked<'a> {
    scheme: Scheme,
    port: Option<u16>,
    retry: RetryRule,
    from: IpAddr,
    target: &'a Target<'a>,
    host: &'a HostKey,
}

fn reject(told: &mut Explanation, rejection: Rejection) {
    told.verdict = "reject".to_owned();
    told.status = Some(rejection.status());
    told.rejection = Some(rejection.code().to_owned());
    told.reason = rejection.reason().map(str::to_owned);
    if let Rejection::GuardDenied(guard) | Rejection::GuardHidden(guard) = rejection {
        told.why.push(format!("the guard {} refuses it: {}", guard.as_str(), guard.why()));
    }
    told.why.push(format!("answered by the gateway: {} {}", rejection.status(), rejection.title()));
}

fn tell_tenant(told: &mut Explanation, snapshot: &Snapshot, found: TenantMatch<'_, '_>) {
    let tenant = found.tenant;
    told.tenant = Some(tenant.id.resolve(found.label).into_owned());
    told.database = Some(tenant.database.resolve(found.label).into_owned());
    told.state = Some(state_name(&tenant.state).to_owned());
    if let Some(asked) = snapshot.fleet.client_certificates_of(&found) {
        let unless = if asked.required { "and serves nobody without" } else { "and serves everybody" };
        told.why.push(format!("the tenant asks for client certificates {unless}"));
    }
    told.pool = snapshot.fleet.pools.get(usize::from(tenant.pool.0)).map(|pool| pool.name.to_string());
    let place = snapshot.fleet.place_of(tenant);
    told.why.push(match found.label {
        Some(label) => {
            format!("a *.suffix host of entry `{}` at {place} matches, label `{label}`", tenant.id)
        }
        None => format!("an exact host of entry `{}` at {place} matches", tenant.id),
    });
}

fn tell_route(told: &mut Explanation, snapshot: &Snapshot, route: &Route<'_>, asked: &Asked<'_>) {
    let (pool, class) = (route.pool, route.class);
    told.verdict = "forward".to_owned();
    let serving = snapshot.route(route.found.tenant.pool).ok_or(Rejection::Internal);
    let region =
        match serving.and_then(|serving| region_of(serving.get(), asked.retry.may_reuse_connection())) {
            Ok(region) => region,
            Err(rejection) => return reject(told, rejection),
        };
    told.region = pool.regions.get(region).map(|region| region.name.to_string());
    told.class = Some(class.as_str().to_owned());
    told.port = Some(class.port().as_str().to_owned());
    told.why.push(format!(
        "Odoo {} serves this path as {} on its {} port",
        pool.odoo_version,
        class.as_str(),
        class.port().as_str()
    ));
    let rule = match RpcRoute::of(pool.odoo_version, asked.target.path.as_bytes()) {
        Some(RpcRoute::Json2 { .. }) => Some("a client that sends X-Odoo-Database must name the tenant's"),
        Some(RpcRoute::Xml { .. } | RpcRoute::Json | RpcRoute::Authenticate) => {
            Some("its body is read and must name the tenant's database, see docs/rpc.md")
        }
        Some(RpcRoute::DatabaseManager | RpcRoute::Elsewhere) | None => None,
    };
    told.why.extend(rule.map(str::to_owned));
    tell_limits(told, snapshot, route);
    let tenant = told.tenant.clone().unwrap_or_default();
    let order = preference(
        snapshot.backends(route.found.tenant.pool, region),
        class.port(),
        &tenant,
        pool.backends_per_tenant,
    );
    told.backends = order.into_iter().map(|address| address.to_string()).collect();
    told.why.push(format!(
        "the tenant is spread over {} of {} backends, least busy first; {}",
        usize::from(pool.backends_per_tenant).min(told.backends.len()),
        told.backends.len(),
        if asked.retry.may_reuse_connection() {
            "asked again elsewhere while the client has seen nothing"
        } else {
            "asked again elsewhere only when nothing was sent"
        }
    ));
    told.why.extend(admission(snapshot, route));
    tell_headers(told, pool, asked);
    tell_timeouts(told, pool, class);
}

/// How a request comes to a worker.
fn admission(snapshot: &Snapshot, route: &Route<'_>) -> Option<String> {
    let work = WorkClass::of(route.class, false)?;
    let Some(admission) = snapshot.admission(route.found.tenant.pool) else {
        return Some("workers of the pool are not known: requests wait in Odoo's own queue".to_owned());
    };
    let load = admission.load();
    Some(format!(
        "{} work for one of {} workers, {} of them busy; it waits for {:?} at most",
        work.as_str(),
        load.workers,
        load.in_service,
        wait_max(route.class, false)
    ))
}

fn tell_limits(told: &mut Explanation, snapshot: &Snapshot, route: &Route<'_>) {
    let limits = Limits::at(&snapshot.fleet.limits, route.found.tenant.limits);
    let Some(allowed) = super::limits::allowed(limits) else { return };
    let plan = limits.plan.as_ref().map(|plan| format!(" of plan `{plan}`")).unwrap_or_default();
    told.why.push(format!("the limits{plan} are {allowed}"));
    // Only who was asked for has used anything.
    let account = told.tenant.as_deref().and_then(|tenant| snapshot.accounts().get(tenant));
    let used =
        account.and_then(|account| super::limits::used(snapshot.accounts().shares(), limits, &account));
    told.why.extend(used);
}

fn tell_headers(told: &mut Explanation, pool: &Pool, asked: &Asked<'_>) {
    let port = asked.port.filter(|port| *port != asked.scheme.default_port());
    let host = asked.host.as_str();
    let authority = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let database = told.database.clone().unwrap_or_default();
    let region = pool.regions.iter().position(|region| Some(&*region.name) == told.region.as_deref());
    let outbound = Outbound {
        pool,
        database: &database,
        authority: &authority,
        client: asked.from,
        scheme: asked.scheme,
        path: &asked.target.path,
        has_session: false,
        client_certificate: None,
        client_certificate_chain: None,
        far: region.is_some_and(|region| pool.is_far(region)),
    };
    let told_all: Result<(), std::convert::Infallible> = outbound.try_for_each(|name, value| {
        told.headers.push((name.to_owned(), value.to_owned()));
        Ok(())
    });
    debug_assert!(told_all.is_ok());
    told.why.push(format!("the pool selects databases by {}", pool.database_selection.as_str()));
}

fn tell_timeouts(told: &mut Explanation, pool: &Pool, class: TrafficClass) {
    told.why.push(match class {
        TrafficClass::Websocket => {
            format!("the websocket ends after {:?} without a byte", pool.websocket.idle)
        }
        TrafficClass::Longpolling => format!("Odoo may be silent for {:?}", pool.longpolling.read),
        TrafficClass::Page
        | TrafficClass::Rpc
        | TrafficClass::Static
        | TrafficClass::Report
        | TrafficClass::Integration => format!("Odoo may be silent for {:?}", pool.http.read),
    });
}
