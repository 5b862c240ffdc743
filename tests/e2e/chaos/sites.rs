//! Two sites, their gateways, and a link between each two that speak with each other.

use std::net::SocketAddr;

use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{Authority, Builder, DEADLINE, FaultProxy, Gateway, Postgres, Redis, free_address};
use rustix::process::Signal;

use crate::fleet::{self, DATABASES};
use crate::sites::{far_region, identified};

const SITES: [&str; 2] = ["paris", "dublin"];
const NAMES: [&str; 3] = ["gw-paris", "gw-dublin", "gw-witness"];

/// What is between the gateways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Between {
    /// A Redis; both reach the servers of both sites.
    Redis,
    /// Each reaches the servers of its own site, and the other gateway.
    Sites,
    /// Three decide together, each asks the two others, and all reach the servers of both sites, each by its own ways.
    Nodes,
}

impl Between {
    const fn gateways(self) -> usize {
        if matches!(self, Self::Nodes) { 3 } else { 2 }
    }

    /// So many links are broken at once, at most.
    pub(super) const fn broken_max(self) -> u64 {
        if matches!(self, Self::Nodes) { 6 } else { 2 }
    }
}

/// Two sites and their gateways.
pub(super) struct Fleet {
    pub(super) between: Between,
    pub(super) stubs: [StubOdoo; 2],
    pub(super) primary: Postgres,
    pub(super) standby: Postgres,
    _redis: Redis,
    pub(super) links: Vec<(String, FaultProxy)>,
    builders: Vec<Builder>,
    pub(super) gateways: Vec<Gateway>,
}

/// Links by what they lead to. Those of one gateway are used by it alone, where it has its own.
struct Ways {
    seed: u64,
    links: Vec<(String, FaultProxy)>,
}

impl Ways {
    async fn to(&mut self, name: String, server: SocketAddr) -> SocketAddr {
        let seed = self.seed.wrapping_add(u64::try_from(self.links.len()).unwrap());
        let proxy = FaultProxy::start(server, seed).await;
        let address = proxy.address();
        self.links.push((name, proxy));
        address
    }

    /// To the servers of both sites: HTTP, bus and database of each.
    async fn lead_to_servers(&mut self, whose: &str, servers: [[SocketAddr; 3]; 2]) -> [[SocketAddr; 3]; 2] {
        let mut ways = servers;
        for (site, ways) in SITES.into_iter().zip(&mut ways) {
            for (what, way) in ["odoo", "bus", "database"].into_iter().zip(ways) {
                *way = self.to(format!("{what} of {site}{whose}"), *way).await;
            }
        }
        ways
    }
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

fn near_region([http, bus, database]: [SocketAddr; 3]) -> String {
    format!(
        "{{ backends: [ {{ http: \"{http}\", websocket: \"{bus}\", workers: 8 }} ], \
         postgres: \"postgres://probe@{database}/postgres\" }}"
    )
}

impl Fleet {
    pub(super) async fn start(seed: u64, between: Between) -> Self {
        let stub = |name: &str| {
            let options = StubOptions { received_max: 1_000_000, ..StubOptions::new(name, DATABASES) };
            StubOdoo::start(options)
        };
        let stubs = [stub("paris-1").await.unwrap(), stub("dublin-1").await.unwrap()];
        let (primary, redis) = (Postgres::primary(), Redis::start(&[]).await);
        let standby = primary.standby();
        let [paris, dublin] = &stubs;
        let servers = [
            [paris.http_addr(), paris.gevent_addr(), local(primary.port())],
            [dublin.http_addr(), dublin.gevent_addr(), local(standby.port())],
        ];
        let mut ways = Ways { seed, links: Vec::new() };
        let authority = Authority::new("gateways");
        let own: Vec<SocketAddr> = NAMES.iter().map(|_| free_address()).collect();
        let shared = match between {
            Between::Nodes => servers,
            Between::Redis | Between::Sites => ways.lead_to_servers("", servers).await,
        };
        let mut far = Vec::new();
        if between == Between::Sites {
            for site in 0..2 {
                far.push(ways.to(format!("the way to the gateway of {}", SITES[site]), own[site]).await);
            }
        }
        let mut builders = Vec::new();
        for node in 0..between.gateways() {
            let mut regions = shared.map(near_region);
            let hears = match between {
                Between::Redis => {
                    let way = ways.to(format!("redis of {node}"), local(redis.port())).await;
                    format!("redis: {{ servers: [ \"redis://{way}\" ], node: n{node}, usual_nodes: 2 }}\n")
                }
                Between::Sites => {
                    let other = 1 - node;
                    regions[other] = far_region(SITES[other], far[other]);
                    String::new()
                }
                Between::Nodes => {
                    let whose = format!(" for {}", NAMES[node]);
                    regions = ways.lead_to_servers(&whose, servers).await.map(near_region);
                    let mut places = own.clone();
                    for (other, place) in places.iter_mut().enumerate().filter(|(other, _)| *other != node) {
                        *place = ways.to(format!("{}{whose}", NAMES[other]), *place).await;
                    }
                    nodes(node, own[node], &places)
                }
            };
            let builder = Gateway::builder(&config(between, &hears, own[node], &regions));
            let builder = builder.tenants("tenants.yaml", fleet::TENANTS);
            let shown = authority.sign(NAMES[node]);
            let builder = builder.file("node.crt", &shown.chain).file("node.key", &shown.key);
            builders.push(identified(builder, &authority, SITES.get(node).unwrap_or(&"witness")));
        }
        let gateways = futures_util::future::join_all(builders.iter().cloned().map(Builder::start)).await;
        let (links, redis) = (ways.links, redis);
        Self { between, stubs, primary, standby, _redis: redis, links, builders, gateways }
    }

    /// Kills a gateway, and starts it again where it was.
    pub(super) async fn kill_and_start(&mut self, node: usize) {
        eprintln!("{} is killed", NAMES[node]);
        let mut killed = self.gateways.remove(node);
        killed.signal(Signal::KILL);
        killed.wait_exit(DEADLINE).await;
        let again = self.builders[node].clone().start().await;
        self.gateways.insert(node, again);
    }

    /// What each server got of what clients sent, in its order.
    pub(super) fn received(&self, site: usize) -> Vec<String> {
        let received = self.stubs[site].received().into_iter().map(|request| request.target);
        received.filter(|target| target.starts_with("/stub/echo?")).collect()
    }
}

fn nodes(node: usize, own: SocketAddr, places: &[SocketAddr]) -> String {
    let places = NAMES.iter().zip(places).map(|(name, place)| format!("{name}: \"{place}\""));
    format!(
        "nodes: {{ name: {}, address: \"{own}\", certificate: node.crt, key: node.key, ca: ca.pem, gateways: {{ {} }} }}\n",
        NAMES[node],
        places.collect::<Vec<_>>().join(", ")
    )
}

fn config(between: Between, hears: &str, own: SocketAddr, regions: &[String; 2]) -> String {
    let listeners = match between {
        Between::Redis => String::from("  - { address: \"127.0.0.1:0\" }\n"),
        Between::Sites => format!(
            "  - {{ address: \"127.0.0.1:0\" }}\n  \
             - {{ address: \"{own}\", tls: {{ certificates: certs }}, gateways: {{ ca: ca.pem }} }}\n"
        ),
        // Clients find it again when it was killed.
        Between::Nodes => format!("  - {{ address: \"{}\" }}\n", free_address()),
    };
    let quorum = if between == Between::Nodes { "quorum: 3, " } else { "" };
    let [paris, dublin] = regions;
    format!(
        "threads: 2\ndrain: {{ websocket_spread: 0s }}\n{hears}listeners:\n{listeners}\
         regions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
         odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
         health: {{ interval: 200ms, timeout: 1s, slow_start: 0s, warm_up: 0s }}\n    failover: {{ {quorum}hold: 3s }}\n    \
         http: {{ connect_timeout: 1s, read_timeout: 3s, write_timeout: 3s }}\n    \
         websocket: {{ connect_timeout: 1s, handshake_timeout: 3s }}\n    \
         regions:\n      paris: {paris}\n      dublin: {dublin}\n"
    )
}
