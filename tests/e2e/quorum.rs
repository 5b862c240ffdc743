//! Three gateways that decide together which region serves, over a real Redis, and are cut off from each other and from real
//! databases.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::fleet;
use crate::regions::{database_is, pool, post, refused, served_by};
use fleetgate_stub::StubOdoo;
use fleetgate_tests::{DEADLINE, FaultProxy, Gateway, Link, Postgres, Redis, backend, wait_for};
use futures_util::future::join_all;

/// For what takes the end of a lease, and the pause before the next grant.
pub(crate) const AGREED: Duration = Duration::from_secs(60);

/// A gateway, and what is between it and the others.
struct Node {
    gateway: Gateway,
    redis: FaultProxy,
    paris: FaultProxy,
    dublin: FaultProxy,
}

struct Site {
    primary: Postgres,
    standby: Postgres,
    _redis: Redis,
    _odoo: [StubOdoo; 2],
    nodes: Vec<Node>,
}

impl Site {
    async fn new() -> Self {
        let primary = Postgres::primary();
        let standby = primary.standby();
        let redis = Redis::start(&[]).await;
        let odoo = [fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await];
        let nodes = (0..3).map(|at| node(at, [&primary, &standby], &redis, &odoo));
        let nodes = join_all(nodes).await;
        Self { primary, standby, _redis: redis, _odoo: odoo, nodes }
    }
}

async fn node(at: u64, [primary, standby]: [&Postgres; 2], redis: &Redis, odoo: &[StubOdoo; 2]) -> Node {
    let proxy = async |port: u16| FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), at).await;
    let (paris, dublin) = (proxy(primary.port()).await, proxy(standby.port()).await);
    let redis = proxy(redis.port()).await;
    let region = |stub: &StubOdoo, postgres: &FaultProxy| {
        let url = format!("postgres://probe@{}/postgres", postgres.address());
        format!("{{ backends: [ {} ], postgres: \"{url}\" }}", backend(stub))
    };
    let config = format!(
        "threads: 1\nredis: {{ servers: [ \"redis://{}\" ], node: n{at} }}\n\
         regions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
         odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
         health: {{ interval: 200ms, timeout: 500ms }}\n    failover: {{ quorum: 3, hold: 0s }}\n    \
         regions:\n      paris: {}\n      dublin: {}\n",
        redis.address(),
        region(&odoo[0], &paris),
        region(&odoo[1], &dublin)
    );
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    Node { gateway, redis, paris, dublin }
}

pub(crate) async fn route_is(gateway: &Gateway, route: &str) {
    wait_for(&format!("the route is {route}"), AGREED, async || pool(gateway).await["route"] == route).await;
}

/// Waits until all but one gateway write to dublin. At no moment may that one write to paris while another one does.
pub(crate) async fn until_moved<'a>(alone: &Gateway, majority: impl Iterator<Item = &'a Gateway> + Clone) {
    wait_for("the majority writes to dublin", AGREED, async || {
        let mut moved = 0;
        for gateway in majority.clone() {
            let answer = post(gateway).await;
            moved += usize::from(answer.status == 200 && answer.server() == Some("dublin-1"));
        }
        let answer = post(alone).await;
        let old = answer.status == 200 && answer.server() == Some("paris-1");
        assert!(moved == 0 || !old, "two regions were written to");
        moved == majority.clone().count()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_believe_who_sees_a_database_and_move_together() {
    let site = Site::new().await;
    for node in &site.nodes {
        served_by(&node.gateway, "paris-1").await;
    }
    // One that does not see what the others see believes them.
    let blind = &site.nodes[2];
    blind.paris.set(Link::BlackHole);
    wait_for("its probe gets no answer", DEADLINE, async || {
        pool(&blind.gateway).await["regions"][0]["database"]["saw"].to_string().contains("no answer")
    })
    .await;
    for _ in 0..20 {
        assert_eq!(post(&blind.gateway).await.server(), Some("paris-1"));
    }
    database_is(&blind.gateway, 0, "writable").await;
    blind.paris.set(Link::Clear);

    // Without the others nobody serves, and with them everybody does again.
    for node in &site.nodes {
        node.redis.set(Link::BlackHole);
    }
    for node in &site.nodes {
        route_is(&node.gateway, "isolated").await;
        assert_eq!(post(&node.gateway).await.status, 503);
    }
    for node in &site.nodes {
        node.redis.set(Link::Clear);
    }
    for node in &site.nodes {
        served_by(&node.gateway, "paris-1").await;
    }

    site.primary.kill();
    for node in &site.nodes {
        refused(&node.gateway, "region_unwritable").await;
    }
    site.standby.promote();
    for node in &site.nodes {
        route_is(&node.gateway, "serve").await;
        served_by(&node.gateway, "dublin-1").await;
    }
    wait_for("both others are for dublin", DEADLINE, async || {
        let told = site.nodes[0].gateway.cli(&["regions", "explain", "main", "--socket", "admin.sock"]).await;
        String::from_utf8_lossy(&told.stdout).matches("is for dublin").count() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_cut_off_serves_nobody_when_the_others_have_moved() {
    let site = Site::new().await;
    let [alone, majority @ ..] = &site.nodes[..] else { panic!("there are three") };
    for node in &site.nodes {
        served_by(&node.gateway, "paris-1").await;
    }
    // The old primary lives, and takes writes for all that the one that is cut off with it can see.
    alone.redis.set(Link::BlackHole);
    alone.dublin.set(Link::BlackHole);
    for node in majority {
        node.paris.set(Link::BlackHole);
    }
    site.standby.promote();
    until_moved(&alone.gateway, majority.iter().map(|node| &node.gateway)).await;
    for _ in 0..20 {
        assert_eq!(post(&alone.gateway).await.status, 503);
    }
    assert_eq!(pool(&alone.gateway).await["route"], "isolated");
}
