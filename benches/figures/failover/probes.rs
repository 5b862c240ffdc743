//! What it costs to watch a thousand backends, on both of their ports.

use super::{TENANTS, tenants};
use crate::Failure;
use crate::fleet::name;
use crate::front::Front;
use crate::report::{Figure, Unit};
use fleetgate_stub::{StubOdoo, StubOptions};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::time::sleep;

const POOLS: u8 = 20;
const BACKENDS_PER_POOL: u8 = 50;
/// Before it counts.
const WARM_UP: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(20);
/// Probes that are due in the window: one a second and port.
const DUE: u64 = 2 * 1_000 * 20;

/// CPU time of a gateway that has nothing else to do, of one core. Backends are a thousand addresses of one stand-in.
pub(crate) async fn thousand_backends() -> Result<Vec<Figure>, Failure> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let options =
        StubOptions { http: any, gevent: any, received_max: 0, ..StubOptions::new("stub", [name(0)]) };
    let stub = StubOdoo::start(options).await?;
    let mut pools = String::from("regions: [ { name: here } ]\npools:\n");
    for pool in 0..POOLS {
        let backends = (0..BACKENDS_PER_POOL).map(|backend| {
            let address = Ipv4Addr::new(127, 1, pool, backend + 1);
            let (http, gevent) = (stub.http_addr().port(), stub.gevent_addr().port());
            format!("{{ http: \"{address}:{http}\", websocket: \"{address}:{gevent}\" }}")
        });
        let backends = backends.collect::<Vec<_>>().join(", ");
        // Writing to a string does not fail.
        let _infallible = writeln!(
            pools,
            "  p{pool}:\n    odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
             regions: {{ here: {{ backends: [ {backends} ] }} }}"
        );
    }
    let tenants = tenants().replace(" }", ", pool: p0 }");
    let front = Front::start(&pools, &tenants).await?;
    sleep(WARM_UP).await;
    let (before, asked) = (front.process.cpu_time()?, stub.counts().requests);
    sleep(WINDOW).await;
    let spent = front.process.cpu_time()?.saturating_sub(before);
    let asked = stub.counts().requests.saturating_sub(asked);
    eprintln!("   {asked} of {DUE} probes in {WINDOW:?} for {TENANTS} tenants, {spent:?} of CPU time");
    if asked < DUE / 10 * 9 {
        return Err(format!("only {asked} of {DUE} probes were run").into());
    }
    let value = 100.0 * spent.as_secs_f64() / WINDOW.as_secs_f64();
    Ok(vec![Figure { name: "probe_cpu_percent_1000_backends", value, unit: Unit::Percent }])
}
