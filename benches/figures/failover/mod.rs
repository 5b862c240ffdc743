//! What becomes of clients when a backend, a database or a region goes away, and what watching costs.
//!
//! Stand-ins of Odoo are behind the real gateway with its default probes; databases are real PostgreSQL servers, one of
//! which streams from the other.

mod backend_kill;
mod clients;
mod detection;
mod outage;
mod probes;
mod reconnects;
mod simulated;
#[path = "../../../gateway/core/src/region/simulation/mod.rs"]
#[allow(
    clippy::indexing_slicing,
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "core's tests run it too, and more of it"
)]
mod simulation;

pub(crate) use backend_kill::beside_peers;
pub(crate) use detection::detection;
pub(crate) use outage::outage;
pub(crate) use probes::thousand_backends;
pub(crate) use reconnects::of_websockets;
pub(crate) use simulated::{lost_packets, split_brain};

use crate::Failure;
use crate::fleet::{host, name};
use crate::report::{Figure, Unit};
use fleetgate_stub::{StubOdoo, StubOptions};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Tenants of every fleet here.
const TENANTS: u32 = 20;
/// Requests that a stand-in remembers.
const RECEIVED_MAX: usize = 1_000_000;
/// For something to be known, or to be over.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

fn milliseconds(name: &'static str, taken: Duration) -> Figure {
    Figure { name, value: taken.as_secs_f64() * 1_000.0, unit: Unit::Milliseconds }
}

fn count(name: &'static str, value: u64) -> Result<Figure, Failure> {
    Ok(Figure { name, value: f64::from(u32::try_from(value)?), unit: Unit::Count })
}

/// One entry per tenant.
fn tenants() -> String {
    (0..TENANTS).map(|tenant| format!("- {{ id: {}, hosts: [{}] }}\n", name(tenant), host(tenant))).collect()
}

/// A stand-in at any addresses, or at those that another one had.
async fn stand_in(label: &str, at: Option<(SocketAddr, SocketAddr)>) -> Result<StubOdoo, Failure> {
    let options =
        StubOptions { received_max: RECEIVED_MAX, ..StubOptions::new(label, (0..TENANTS).map(name)) };
    let (http, gevent) = at.unwrap_or((options.http, options.gevent));
    Ok(StubOdoo::start(StubOptions { http, gevent, ..options }.threaded()).await?)
}

/// One backend in a config.
fn backend(http: SocketAddr, gevent: SocketAddr) -> String {
    format!("{{ http: \"{http}\", websocket: \"{gevent}\" }}")
}

/// The part of a main file with one pool, by the lines of its regions.
fn pool(regions: &str, names: &str) -> String {
    format!(
        "connections: {{ max_per_client: 20000 }}\nregions: [ {names} ]\npools:\n  main:\n    \
         odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    regions:\n{regions}"
    )
}

/// Waits until something holds; how long that took. A gateway that begins may have no admin socket yet.
async fn until(
    what: &str,
    mut holds: impl AsyncFnMut() -> Result<bool, Failure>,
) -> Result<Duration, Failure> {
    let begun = Instant::now();
    loop {
        match holds().await {
            Ok(true) => return Ok(begun.elapsed()),
            Ok(false) | Err(_) if begun.elapsed() < PATIENCE => sleep(PAUSE).await,
            Ok(false) => return Err(format!("not within {PATIENCE:?}: {what}").into()),
            Err(failure) => return Err(format!("not within {PATIENCE:?}: {what}: {failure}").into()),
        }
    }
}

/// What is said of a backend of the first region.
fn verdict_of(pool: &Value, backend: usize) -> Option<&str> {
    pool.pointer(&format!("/regions/0/backends/{backend}/verdict"))?.as_str()
}

/// Whether a backend of the first region is up, was asked on both ports, and has no failure left to be forgiven.
fn is_well(pool: &Value, backend: usize) -> bool {
    let signals = pool.pointer(&format!("/regions/0/backends/{backend}/signals")).and_then(Value::as_array);
    let well = |signal: &Value| signal["standing"] == "passing" && signal["failures"] == 0;
    verdict_of(pool, backend) == Some("up")
        && signals.is_some_and(|signals| signals.len() >= 2 && signals.iter().all(well))
}
