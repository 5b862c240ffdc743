//! What slow clients take from a real Odoo with two workers, behind the gateway and behind peers.
//!
//! Twenty clients of one tenant begin at once. They upload a byte a second, or they download 24 MiB at 100 KB/s. For
//! eight seconds it is seen how many connections are in the hands of Odoo's workers; the sum
//! over time is in seconds of a worker's time, of which two workers have 16 to give. The same downloads are made by
//! clients that read as fast as they can, too. The figure is what the slow clients take more than the fast ones: the
//! time that workers wait for them. No upload ends in these eight seconds, so no worker has anything to do for one, and
//! all of its time counts.
//!
//! A connection is in the hands of a worker from its `accept` to its `close`: it is in `/proc/net/tcp` with an inode.
//! In the queue of the listening socket it has none (Linux, `net/ipv4/tcp_ipv4.c`, `get_tcp4_sock`).
//!
//! Then, with the slow clients still there, a third person of the other tenant loads pages; that is told, and no figure.

mod clients;
mod third_person;
mod watch;

use crate::Failure;
use crate::fleet::Workers;
use crate::front::Front;
use crate::peers::{nginx, traefik};
use crate::real_odoo::RealOdoo;
use crate::report::{Figure, Unit, median};
use clients::{Pace, Work, begin};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use watch::{Watch, accepted};

/// For which the workers are watched.
const WINDOW: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(20);
/// For fast clients to be done, and for workers to be free again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Times that the gateway and nginx are measured, in turn; the median counts.
const ROUNDS: usize = 3;
/// More than the kernel keeps of one answer, on both of its connections.
const DOWNLOAD_BYTES: u32 = 24 << 20;

/// Uploads, behind each front end.
pub(crate) async fn uploads() -> Result<Vec<Figure>, Failure> {
    let odoo = RealOdoo::start()?;
    let [ours, nginx, traefik] = behind_each(&odoo, &Work::Upload).await?;
    Ok(vec![
        seconds("slow_upload_worker_seconds", ours),
        seconds("slow_upload_worker_seconds_nginx", nginx),
        seconds("slow_upload_worker_seconds_traefik", traefik),
    ])
}

/// Downloads, behind each front end.
pub(crate) async fn downloads() -> Result<Vec<Figure>, Failure> {
    let odoo = RealOdoo::start()?;
    let work = Work::Download { path: odoo.attachment(DOWNLOAD_BYTES)? };
    let [ours, nginx, traefik] = behind_each(&odoo, &work).await?;
    Ok(vec![
        seconds("slow_download_worker_seconds", ours),
        seconds("slow_download_worker_seconds_nginx", nginx),
        seconds("slow_download_worker_seconds_traefik", traefik),
    ])
}

const fn seconds(name: &'static str, value: f64) -> Figure {
    Figure { name, value, unit: Unit::Seconds }
}

async fn behind_each(odoo: &RealOdoo, work: &Work) -> Result<[f64; 3], Failure> {
    let gateway = gateway(odoo).await?;
    let nginx = nginx::before(&RealOdoo::routes(), odoo.http, Workers::Prefork).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(behind("fleetgate", gateway.address, odoo, work).await?);
        theirs.push(behind("nginx", nginx.address(), odoo, work).await?);
    }
    let traefik = traefik::before(&RealOdoo::routes(), odoo.http).await?;
    let traefik = behind("Traefik", traefik.address(), odoo, work).await?;
    let middle = |values| median(values).ok_or("no round was measured");
    Ok([middle(ours)?, middle(theirs)?, traefik])
}

async fn gateway(odoo: &RealOdoo) -> Result<Front, Failure> {
    let main_file = format!(
        "regions: [ {{ name: here }} ]\npools:\n  shared:\n    odoo_version: \"19.0\"\n    \
         database_selection: dbfilter_header\n    \
         regions: {{ here: {{ backends: [ {{ http: \"{}\", websocket: \"{}\" }} ] }} }}\n",
        odoo.http, odoo.gevent
    );
    let tenant =
        |route: crate::peers::Route| format!("- {{ id: {}, hosts: [{}] }}\n", route.database, route.host);
    Front::start(&main_file, &RealOdoo::routes().map(tenant).concat()).await
}

/// Seconds of workers' time that clients take through one front end by being slow.
async fn behind(name: &str, front: SocketAddr, odoo: &RealOdoo, work: &Work) -> Result<f64, Failure> {
    third_person::wait(front).await?;
    let port = odoo.http.port();
    let fast_held = match work {
        Work::Upload => 0.0,
        Work::Download { .. } => {
            let watch = Watch::start(port);
            let mut fast = begin(front, work, Pace::Fast);
            if !soon(|| fast.left() == 0).await {
                let left = fast.left();
                return Err(format!("{left} fast clients of {name} were not done within {PATIENCE:?}").into());
            }
            watch.end()?
        }
    };
    let watch = Watch::start(port);
    let mut slow = begin(front, work, Pace::Slow);
    sleep(WINDOW).await;
    let slow_held = watch.end()?;
    let left = slow.left();
    let pages = third_person::pages(front).await;
    drop(slow);
    eprintln!(
        "   {name}: {slow_held:.2} s of workers for slow clients ({left} still at it), {fast_held:.2} s for fast ones; \
         pages beside the slow: {pages}"
    );
    if !soon(|| accepted(port).is_ok_and(|count| count == 0)).await {
        return Err(format!("the workers behind {name} were not free within {PATIENCE:?}").into());
    }
    Ok((slow_held - fast_held).max(0.0))
}

/// Waits for a condition; false when it does not come.
async fn soon(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(PAUSE).await;
    }
    true
}
