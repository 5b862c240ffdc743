//! One of two backends is killed under load, behind the gateway and behind peers: reads that failed, and writes that
//! reached backends twice.
//!
//! All ask for `/web/health` each second and take a backend out after three failures. Peers do what a careful user has them
//! do: HAProxy asks the other backend, for GET also after a broken connection; Traefik has its `retry`.

use super::clients::Traffic;
use super::{TENANTS, backend, count, is_well, pool, stand_in, tenants, until};
use crate::Failure;
use crate::fleet::{host, name};
use crate::front::Front;
use crate::peers::{Route, haproxy, traefik};
use crate::report::Figure;
use fleetgate_stub::{Received, StubOdoo};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::sleep;

const READERS: u32 = 16;
const WRITERS: u32 = 8;
/// Kills, of either backend in turn.
const KILLS: usize = 4;
/// Reads of each side at least.
const READS_MIN: u64 = 10_000;
/// Load before the first kill.
const WARM_UP: Duration = Duration::from_secs(2);
/// A backend is dead, and then back, for so long: long enough to be found out, and to be trusted again.
const DEAD: Duration = Duration::from_secs(5);
const BACK: Duration = Duration::from_secs(5);

pub(crate) async fn beside_peers() -> Result<Vec<Figure>, Failure> {
    let routes: Vec<Route> =
        (0..TENANTS).map(|tenant| Route { host: host(tenant), database: name(tenant) }).collect();
    let mut figures = Vec::new();
    {
        let backends = Backends::start().await?;
        let listed = backends.addresses.map(|(http, gevent)| backend(http, gevent)).join(", ");
        let regions = format!("      here: {{ backends: [ {listed} ] }}\n");
        let front = Front::start(&pool(&regions, "{ name: here }"), &tenants()).await?;
        until("both backends are well", async || {
            let pool = front.admin.pool().await?;
            Ok(is_well(&pool, 0) && is_well(&pool, 1))
        })
        .await?;
        let (failed, twice) = backends.under_load("fleetgate", front.address).await?;
        figures.push(count("failed_reads_backend_kill", failed)?);
        figures.push(count("writes_sent_twice", twice)?);
    }
    {
        let backends = Backends::start().await?;
        let peer = haproxy::redundant(&routes, backends.addresses.map(|(http, _)| http)).await?;
        let (failed, twice) = backends.under_load("haproxy", peer.address()).await?;
        figures.push(count("failed_reads_backend_kill_haproxy", failed)?);
        figures.push(count("writes_sent_twice_haproxy", twice)?);
    }
    {
        let backends = Backends::start().await?;
        let peer = traefik::redundant(&routes, backends.addresses.map(|(http, _)| http)).await?;
        let (failed, twice) = backends.under_load("traefik", peer.address()).await?;
        figures.push(count("failed_reads_backend_kill_traefik", failed)?);
        figures.push(count("writes_sent_twice_traefik", twice)?);
    }
    Ok(figures)
}

/// Two stand-ins, and what those of them received that are dead.
struct Backends {
    alive: [Option<StubOdoo>; 2],
    addresses: [(SocketAddr, SocketAddr); 2],
    received: Vec<Received>,
}

impl Backends {
    async fn start() -> Result<Self, Failure> {
        let alive = [stand_in("one", None).await?, stand_in("two", None).await?];
        let addresses = [&alive[0], &alive[1]].map(|stub| (stub.http_addr(), stub.gevent_addr()));
        Ok(Self { alive: alive.map(Some), addresses, received: Vec::new() })
    }

    /// Reads that failed and writes that arrived twice, of a front end whose backends are killed in turn.
    async fn under_load(mut self, name: &str, front: SocketAddr) -> Result<(u64, u64), Failure> {
        until("the front end has read its routes", async || {
            Ok(super::clients::Client::new(front, TENANTS - 1).ask("GET", "/stub/echo").await.ok()
                == Some(200))
        })
        .await?;
        let traffic = Traffic::start(front, READERS, WRITERS, TENANTS);
        sleep(WARM_UP).await;
        for kill in 0..KILLS {
            self.kill(kill % 2).await;
            sleep(DEAD).await;
            self.restart(kill % 2).await?;
            sleep(BACK).await;
        }
        until("there were enough reads", async || Ok(traffic.reads() >= READS_MIN)).await?;
        let tally = traffic.end().await;
        for place in 0..2 {
            self.kill(place).await;
        }
        let twice = twice(&self.received);
        eprintln!(
            "   {name}: {KILLS} kills, {} of {} reads failed; {} of {} writes were refused or broken, {twice} arrived twice",
            tally.failed_reads, tally.reads, tally.refused_writes, tally.writes
        );
        Ok((tally.failed_reads, twice))
    }

    async fn kill(&mut self, place: usize) {
        if let Some(stub) = self.alive.get_mut(place).and_then(Option::take) {
            self.received.extend(stub.crash().await);
        }
    }

    async fn restart(&mut self, place: usize) -> Result<(), Failure> {
        let address = self.addresses.get(place).copied();
        if let Some(slot) = self.alive.get_mut(place) {
            *slot = Some(stand_in("again", address).await?);
        }
        Ok(())
    }
}

/// Writes that arrived whole more than once.
fn twice(received: &[Received]) -> u64 {
    let mut arrived: BTreeMap<&str, u64> = BTreeMap::new();
    for request in received.iter().filter(|request| request.method == "POST" && request.complete) {
        *arrived.entry(&request.target).or_default() += 1;
    }
    arrived.values().map(|times| times - 1).sum()
}
