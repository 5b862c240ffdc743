//! The decision about a request: its time and its allocations.

use crate::Failure;
use crate::fleet::{DOMAIN, Dice, host, name};
use crate::report::{Figure, Unit, median};
use fleetgate_core::client_certificate::{ClientCertificatesIndex, Proof};
use fleetgate_core::config::Fleet;
use fleetgate_core::guard::{BodyLength, GuardsIndex};
use fleetgate_core::host::{HostKey, HostPattern};
use fleetgate_core::odoo::OdooVersion;
use fleetgate_core::pool::{DatabaseSelection, Pool, PoolIndex, SessionCookie, Timeouts, WebsocketTimeouts};
use fleetgate_core::region::FailoverPolicy;
use fleetgate_core::request::Target;
use fleetgate_core::tenant::{NameTemplate, Origin, Tenant, TenantState, TenantTable};
use fleetgate_core::verdict::{RequestView, Verdict, admit};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Requests a pass.
const REQUESTS: u32 = 100_000;
/// Passes; the median counts.
const PASSES: usize = 15;
/// One tenant entry in so many answers to a `*.suffix` of its own.
const WILDCARD_EVERY: u32 = 10;
/// What browsers, programs and monitoring ask Odoo for.
const TARGETS: [&str; 8] = [
    "/",
    "/web/login",
    "/odoo/action-123/45",
    "/web/dataset/call_kw/sale.order/web_search_read",
    "/web/assets/1/a1b2c3d/web.assets_web.min.js",
    "/websocket",
    "/jsonrpc",
    "/shop/customizable-desk-9?category=3",
];

/// Over random hosts of tables of two sizes.
pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let small = decisions(10_000)?;
    let large = decisions(100_000)?;
    Ok(vec![
        Figure { name: "admit_ns_10k_tenants", value: small.nanoseconds, unit: Unit::Nanoseconds },
        Figure { name: "admit_ns_100k_tenants", value: large.nanoseconds, unit: Unit::Nanoseconds },
        Figure {
            name: "admit_allocations",
            value: f64::from(u32::try_from(small.allocations + large.allocations)?),
            unit: Unit::Count,
        },
    ])
}

struct Decisions {
    nanoseconds: f64,
    allocations: u64,
}

struct Asked {
    authority: String,
    target: &'static str,
}

fn decisions(tenants: u32) -> Result<Decisions, Failure> {
    let fleet = fleet(tenants)?;
    let mut dice = Dice::new(u64::from(tenants));
    let asked: Vec<Asked> = (0..REQUESTS).map(|_| random_request(&mut dice, tenants)).collect();
    let forwarded = pass(&fleet, &asked);
    if forwarded != REQUESTS {
        return Err(format!("{forwarded} of {REQUESTS} requests found their tenant").into());
    }
    let mut times = Vec::with_capacity(PASSES);
    for _ in 0..PASSES {
        let started = clock_gettime(ClockId::ThreadCPUTime);
        black_box(pass(black_box(&fleet), black_box(&asked)));
        let taken = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime) - started)?;
        times.push(taken.as_secs_f64() * 1e9 / f64::from(REQUESTS));
    }
    let counted = allocation_counter::measure(|| {
        black_box(pass(black_box(&fleet), black_box(&asked)));
    });
    let nanoseconds = median(times).ok_or("no pass was measured")?;
    Ok(Decisions { nanoseconds, allocations: counted.count_total })
}

fn pass(fleet: &Fleet, asked: &[Asked]) -> u32 {
    let mut forwarded = 0;
    for request in asked {
        let Ok((host, _)) = HostKey::parse(request.authority.as_bytes()) else { continue };
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let Ok(Target { path, query, .. }) = Target::parse(request.target.as_bytes()) else { continue };
        let query = query.unwrap_or_default();
        let body = BodyLength::None;
        let view = RequestView {
            host: &host,
            path: &path,
            query,
            safe_method: true,
            body,
            client,
            server_name: None,
            proof: Proof::NotNeeded,
        };
        if matches!(black_box(admit(fleet, &view)), Verdict::Forward(_)) {
            forwarded += 1;
        }
    }
    forwarded
}

/// A host of the table as clients write it: some in capitals, some with a port.
fn random_request(dice: &mut Dice, tenants: u32) -> Asked {
    let tenant = dice.below(tenants);
    let host = if tenant.is_multiple_of(WILDCARD_EVERY) {
        format!("shop{}.{}", dice.below(1_000), host(tenant))
    } else {
        host(tenant)
    };
    let authority = match dice.below(10) {
        0 => host.to_uppercase(),
        1 => format!("{host}:8443"),
        _ => host,
    };
    let target = usize::try_from(dice.below(8)).ok().and_then(|at| TARGETS.get(at)).copied().unwrap_or("/");
    Asked { authority, target }
}

/// A table of tenants without limits, one in ten behind a star.
pub(crate) fn fleet(tenants: u32) -> Result<Fleet, Failure> {
    let mut builder = TenantTable::builder(usize::try_from(tenants)?);
    for number in 0..tenants {
        let wildcard = number.is_multiple_of(WILDCARD_EVERY);
        let id = if wildcard { format!("{}-{{1}}", name(number)) } else { name(number) };
        let tenant = Tenant {
            id: NameTemplate::tenant_id(&id)?,
            database: NameTemplate::database(&id)?,
            pool: PoolIndex::default(),
            canonical_host: None,
            state: TenantState::Active,
            guards: GuardsIndex::default(),
            limits: fleetgate_core::limit::LimitsIndex::default(),
            client_certificates: ClientCertificatesIndex::default(),
            origin: Origin::default(),
        };
        let index = builder.add_tenant(tenant).ok_or("the table is full")?;
        let pattern = format!("{}{}.{DOMAIN}", if wildcard { "*." } else { "" }, name(number));
        builder
            .add_host(&HostPattern::parse(&pattern)?, index)
            .map_err(|taken| format!("{pattern} belongs to {taken:?} already"))?;
    }
    Ok(Fleet { pools: vec![pool()], tenants: builder.build(), ..Fleet::default() })
}

fn pool() -> Pool {
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        read: Duration::from_secs(120),
        write: Duration::from_secs(30),
    };
    Pool {
        name: "shared".into(),
        odoo_version: OdooVersion::V19,
        database_selection: DatabaseSelection::DbfilterHeader,
        database_header: false,
        backends_per_tenant: 2,
        filestore: None,
        stream_paths: Box::default(),
        session_cookie: SessionCookie { secure: true, same_site: None },
        tls: None,
        health: None,
        agent: None,
        login: None,
        freezes: Box::default(),
        postgres_tls: None,
        failover: FailoverPolicy::default(),
        http: timeouts,
        longpolling: timeouts,
        websocket: WebsocketTimeouts {
            connect: timeouts.connect,
            handshake: timeouts.read,
            idle: timeouts.read,
        },
        regions: Vec::new(),
    }
}
