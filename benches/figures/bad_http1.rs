//! Requests that no honest client writes: who refuses them, on the same bytes.

use crate::Failure;
use crate::fleet::{host, name};
use crate::gateway::Gateway;
use crate::peers::{haproxy, nginx};
use crate::report::{Figure, Unit};
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{Http1Outcome, Http1Vector, bad_http1, odd_http1};
use std::net::SocketAddr;
use std::time::Duration;

/// For an answer. Who waits longer has taken the bytes for the start of a request that it may serve.
const PATIENCE: Duration = Duration::from_secs(1);

/// The gateway, nginx and HAProxy in turn on each vector.
pub(crate) async fn beside_peers() -> Result<Vec<Figure>, Failure> {
    let odoo = StubOdoo::start(StubOptions::new("stub", [name(0)])).await?;
    let gateway = Gateway::start(1, &odoo).await?;
    let nginx = nginx::start(1, &odoo, crate::fleet::Workers::Prefork).await?;
    let haproxy = haproxy::start(1, &odoo).await?;
    for vector in odd_http1(&host(0)) {
        let outcome = vector.send(gateway.address, PATIENCE).await?;
        if !matches!(outcome, Http1Outcome::Answered { status: 200, .. }) {
            return Err(format!("`{}` is legal, and came to {outcome:?}", vector.name).into());
        }
    }
    odoo.forget_received();
    let vectors = bad_http1(&host(0));
    let (mut ours, mut of_nginx, mut of_haproxy, mut laxer) = (0, 0, 0, 0);
    for vector in &vectors {
        let refused = refuses(gateway.address, vector, &odoo).await?;
        let refused_by_nginx = refuses(nginx.address(), vector, &odoo).await?;
        let refused_by_haproxy = refuses(haproxy.address(), vector, &odoo).await?;
        ours += u32::from(refused);
        of_nginx += u32::from(refused_by_nginx);
        of_haproxy += u32::from(refused_by_haproxy);
        if !refused {
            eprintln!("   NOT REFUSED: {}", vector.name);
        }
        if refused_by_nginx && !refused {
            eprintln!("   LAXER THAN NGINX: {}", vector.name);
            laxer += 1;
        }
    }
    let all = u32::try_from(vectors.len())?;
    for (who, refused) in [("Fleetgate", ours), ("nginx", of_nginx), ("HAProxy", of_haproxy)] {
        eprintln!("   {who} refused {refused} of {all}");
    }
    Ok(vec![
        count("bad_http1_vectors", all),
        count("bad_http1_refused", ours),
        count("bad_http1_refused_nginx", of_nginx),
        count("bad_http1_refused_haproxy", of_haproxy),
        count("bad_http1_laxer_than_nginx", laxer),
    ])
}

/// Whether a server refuses a vector, and lets no whole request of it reach the backend.
async fn refuses(server: SocketAddr, vector: &Http1Vector, odoo: &StubOdoo) -> Result<bool, Failure> {
    let outcome = vector.send(server, PATIENCE).await?;
    let arrived = odoo.received().iter().any(|received| received.complete);
    odoo.forget_received();
    Ok(outcome.is_refusal() && !arrived)
}

fn count(name: &'static str, number: u32) -> Figure {
    Figure { name, value: f64::from(number), unit: Unit::Count }
}
