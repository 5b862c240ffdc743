//! What one tenant that asks for too much costs the others, behind the gateway and behind peers, in front of few workers.
//!
//! Stand-in workers serve one request at a time and sleep for as long as the request says, so time is what is scarce, and
//! no CPU. Peers do what they can: HAProxy lets as many through as there are workers and queues the rest; Traefik refuses
//! more than a number of requests at once per host. Each is compared with itself without the flood.

mod clients;

use crate::Failure;
use crate::fleet::{host, name};
use crate::front::Front;
use crate::peers::{Route, haproxy, traefik};
use crate::real_odoo::RealOdoo;
use crate::report::{Figure, Unit, p99};
use clients::{Flood, browse, page, visit};
use fleetgate_stub::{StubOdoo, StubOptions};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;
use tokio::time::sleep;

/// Workers of the stand-in.
const WORKERS: u16 = 8;
/// Quiet tenants.
const VICTIMS: u32 = 20;
/// The one that is not: the tenant after them.
const AGGRESSOR: u32 = VICTIMS;
/// Seconds that each side is watched.
const WATCHED_SECONDS: u32 = 20;
/// Before it counts: costs are learnt, queues are full.
const WARM_UP: Duration = Duration::from_secs(4);
/// For a front end to read its routes, and Odoo its registry.
const READY: Duration = Duration::from_secs(60);

/// The flood asks for what the others ask for: 100 clients at once, 120 ms each.
pub(crate) async fn equal_cost() -> Result<Vec<Figure>, Failure> {
    let ratios = of_stand_in("/stub/slow?ms=120", 100).await?;
    Ok(named(
        [
            "victim_p99_ratio_equal_cost",
            "victim_p99_ratio_equal_cost_haproxy",
            "victim_p99_ratio_equal_cost_traefik",
        ],
        ratios,
    ))
}

/// The flood asks for long work: 16 clients at once, 5 s each.
pub(crate) async fn long_jobs() -> Result<Vec<Figure>, Failure> {
    let ratios = of_stand_in("/stub/slow?ms=5000", 16).await?;
    Ok(named(
        [
            "victim_p99_ratio_long_jobs",
            "victim_p99_ratio_long_jobs_haproxy",
            "victim_p99_ratio_long_jobs_traefik",
        ],
        ratios,
    ))
}

/// 32 clients at once load pages of one database of an Odoo 19 with two workers, while somebody of another loads some.
pub(crate) async fn real_odoo() -> Result<Vec<Figure>, Failure> {
    let odoo = RealOdoo::start()?;
    let routes = RealOdoo::routes();
    let backend = format!("{{ http: \"{}\", websocket: \"{}\", workers: 2 }}", odoo.http, odoo.gevent);
    let gateway = gateway(&backend, &routes).await?;
    let haproxy = haproxy::limited(&routes, odoo.http, 2).await?;
    let traefik = traefik::limited(&routes, odoo.http, 8).await?;
    let mut ratios = Vec::new();
    for (name, front) in
        [("fleetgate", gateway.address), ("haproxy", haproxy.address()), ("traefik", traefik.address())]
    {
        ratios.push(LocalSet::new().run_until(of_pages(name, front)).await?);
    }
    let ratios = <[f64; 3]>::try_from(ratios).map_err(|_| "a side is missing")?;
    Ok(named(
        [
            "victim_p99_ratio_real_odoo",
            "victim_p99_ratio_real_odoo_haproxy",
            "victim_p99_ratio_real_odoo_traefik",
        ],
        ratios,
    ))
}

/// Twenty tenants that always want more, with different work: how equal the time of workers is that each gets (Jain's
/// index), and what one tenant alone leaves unused.
pub(crate) async fn shares() -> Result<Vec<Figure>, Failure> {
    let stub = stand_in().await?;
    let routes = routes();
    let gateway = gateway(&stub_backend(&stub), &routes).await?;
    let figures = async {
        let work = |tenant: u32| 60 + 20 * (tenant % 8);
        let floods: Vec<Flood> = (0..VICTIMS)
            .map(|tenant| {
                Flood::start(gateway.address, &host(tenant), &format!("/stub/slow?ms={}", work(tenant)), 4)
            })
            .collect();
        sleep(WARM_UP).await;
        let before: Vec<u32> = floods.iter().map(Flood::served).collect();
        sleep(Duration::from_secs(u64::from(WATCHED_SECONDS))).await;
        let served = floods.iter().zip(before).map(|(flood, before)| f64::from(flood.served() - before));
        let time: Vec<f64> =
            served.zip(0..).map(|(served, tenant)| served * f64::from(work(tenant))).collect();
        drop(floods);
        sleep(WARM_UP).await;
        let (sum, squares) = time.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
        let jain = sum * sum / (f64::from(VICTIMS) * squares);
        let alone = Flood::start(gateway.address, &host(0), "/stub/slow?ms=100", 24);
        sleep(WARM_UP).await;
        let (before, begun) = (alone.served(), Instant::now());
        sleep(Duration::from_secs(10)).await;
        let used =
            f64::from(alone.served() - before) * 0.1 / (f64::from(WORKERS) * begun.elapsed().as_secs_f64());
        vec![
            Figure { name: "jain_index", value: jain, unit: Unit::Ratio },
            Figure { name: "utilisation_lost_percent", value: 100.0 * (1.0 - used), unit: Unit::Percent },
        ]
    };
    Ok(LocalSet::new().run_until(figures).await)
}

fn named(names: [&'static str; 3], ratios: [f64; 3]) -> Vec<Figure> {
    names.into_iter().zip(ratios).map(|(name, value)| Figure { name, value, unit: Unit::Ratio }).collect()
}

async fn of_stand_in(flood: &str, clients: u32) -> Result<[f64; 3], Failure> {
    let stub = stand_in().await?;
    let routes = routes();
    let gateway = gateway(&stub_backend(&stub), &routes).await?;
    let haproxy = haproxy::limited(&routes, stub.http_addr(), WORKERS).await?;
    let traefik = traefik::limited(&routes, stub.http_addr(), WORKERS).await?;
    let mut ratios = Vec::new();
    for (name, front) in
        [("fleetgate", gateway.address), ("haproxy", haproxy.address()), ("traefik", traefik.address())]
    {
        ratios.push(LocalSet::new().run_until(of_visits(name, front, flood, clients)).await?);
    }
    Ok(<[f64; 3]>::try_from(ratios).map_err(|_| "a side is missing")?)
}

/// What a flood does to the slowest of the others' pages.
async fn of_visits(name: &str, front: SocketAddr, target: &str, clients: u32) -> Result<f64, Failure> {
    let hosts: Vec<String> = (0..VICTIMS).map(host).collect();
    until_ready(front, &hosts, "/stub/slow?ms=1").await?;
    drop(visit(front, &hosts, 3, 1).await?);
    let quiet = p99(visit(front, &hosts, WATCHED_SECONDS, 2).await?);
    let flood = Flood::start(front, &host(AGGRESSOR), target, clients);
    sleep(WARM_UP).await;
    let before = flood.served();
    let flooded = p99(visit(front, &hosts, WATCHED_SECONDS, 2).await?);
    let served = flood.served() - before;
    drop(flood);
    eprintln!("   {name}: p99 {quiet:?} alone, {flooded:?} beside the flood, of which {served} were served");
    // What the flood has at the workers ends before the next side begins.
    sleep(Duration::from_secs(6)).await;
    Ok(flooded.as_secs_f64() / quiet.as_secs_f64())
}

async fn of_pages(name: &str, front: SocketAddr) -> Result<f64, Failure> {
    let [aggressor, victim] = RealOdoo::routes().map(|route| route.host);
    until_ready(front, &[aggressor.clone(), victim.clone()], "/web/login").await?;
    drop(browse(front, &victim, "/web/login", WARM_UP).await?);
    let window = Duration::from_secs(u64::from(WATCHED_SECONDS));
    let quiet = p99(browse(front, &victim, "/web/login", window).await?);
    let flood = Flood::start(front, &aggressor, "/web/login", 32);
    sleep(WARM_UP).await;
    let flooded = p99(browse(front, &victim, "/web/login", window).await?);
    let served = flood.served();
    drop(flood);
    eprintln!("   {name}: p99 {quiet:?} alone, {flooded:?} beside the flood, of which {served} were served");
    sleep(Duration::from_secs(6)).await;
    Ok(flooded.as_secs_f64() / quiet.as_secs_f64())
}

/// Waits until each host is served.
async fn until_ready(front: SocketAddr, hosts: &[String], target: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + READY;
    for host in hosts {
        while !page(front, host, target).await.unwrap_or(false) {
            if Instant::now() > deadline {
                return Err(format!("{host} is not served within {READY:?}").into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

async fn stand_in() -> Result<StubOdoo, Failure> {
    let databases = (0..=AGGRESSOR).map(name);
    let options = StubOptions {
        received_max: 0,
        workers: Some(usize::from(WORKERS)),
        ..StubOptions::new("stub", databases)
    };
    Ok(StubOdoo::start(options).await?)
}

fn stub_backend(stub: &StubOdoo) -> String {
    let (http, gevent) = (stub.http_addr(), stub.gevent_addr());
    format!("{{ http: \"{http}\", websocket: \"{gevent}\", workers: {WORKERS} }}")
}

fn routes() -> Vec<Route> {
    (0..=AGGRESSOR).map(|tenant| Route { host: host(tenant), database: name(tenant) }).collect()
}

async fn gateway(backend: &str, routes: &[Route]) -> Result<Front, Failure> {
    let main_file = format!(
        "regions: [ {{ name: here }} ]\npools:\n  shared:\n    odoo_version: \"19.0\"\n    \
         database_selection: dbfilter_header\n    regions: {{ here: {{ backends: [ {backend} ] }} }}\n"
    );
    let tenants =
        routes.iter().map(|route| format!("- {{ id: {}, hosts: [{}] }}\n", route.database, route.host));
    Front::start(&main_file, &tenants.collect::<String>()).await
}
