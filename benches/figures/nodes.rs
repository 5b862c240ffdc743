//! Several gateways that share a Redis: how near they come to one limit together, and what it costs when Redis dies.
//!
//! Three times the limit is asked for, unevenly, and in the middle of the time the clients move to other nodes. Clocks of
//! nodes are 200 ms apart, which nothing should notice. Counted is what nodes let through after the burst is used up.

use crate::Failure;
use crate::fleet::{Workers, backend};
use crate::gateway::Gateway;
use crate::reload::status;
use crate::report::{Figure, Unit};
use fleetgate_stub::StubOdoo;
use fleetgate_tests::Redis;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout_at};

/// Requests a second that all nodes together let through, and the burst.
const RATE: u32 = 100;
/// Requests a second that are asked for.
const OFFERED: u32 = 3 * RATE;
/// Before it counts: nodes know each other, the burst is used up.
const WARM_UP: Duration = Duration::from_secs(8);
/// For which it counts; the clients move in the middle.
const WATCHED: Duration = Duration::from_secs(30);
/// Clients of each node. More than one, so that one slow answer holds up nothing.
const CLIENTS: u32 = 4;

/// What came of the requests of some time.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    served: u32,
    refused: u32,
    failed: u32,
}

/// Two nodes.
pub(crate) async fn two() -> Result<Vec<Figure>, Failure> {
    let names =
        ["rate_error_percent_2_nodes", "rate_error_percent_2_nodes_over", "rate_error_percent_2_nodes_under"];
    error_of(&[70, 30], names).await
}

/// Four nodes.
pub(crate) async fn four() -> Result<Vec<Figure>, Failure> {
    let names =
        ["rate_error_percent_4_nodes", "rate_error_percent_4_nodes_over", "rate_error_percent_4_nodes_under"];
    error_of(&[55, 25, 15, 5], names).await
}

/// Three nodes whose Redis is killed while they are watched, and started again, empty, before the end.
pub(crate) async fn outage() -> Result<Vec<Figure>, Failure> {
    let mut redis = Redis::start(&[]).await;
    let (_odoo, nodes) = start(&redis, 3).await?;
    ask(&nodes, &[60, 30, 10], WARM_UP).await?;
    let began = Instant::now();
    let part = WATCHED / 3;
    let before = ask(&nodes, &[60, 30, 10], part).await?;
    redis.kill();
    let without = ask(&nodes, &[60, 30, 10], part).await?;
    redis.start_again().await;
    let after = ask(&nodes, &[60, 30, 10], part).await?;
    eprintln!("   before {before:?}, without Redis {without:?}, after {after:?}");
    let all = [before, without, after];
    let served: u32 = all.iter().map(|tally| tally.served).sum();
    let failed: u32 = all.iter().map(|tally| tally.failed).sum();
    Ok(vec![
        Figure { name: "redis_outage_failed_requests", value: f64::from(failed), unit: Unit::Count },
        Figure {
            name: "redis_outage_over_admission_percent",
            value: off_percent(served, began.elapsed()).max(0.0),
            unit: Unit::Percent,
        },
    ])
}

async fn error_of(weights: &[u32], names: [&'static str; 3]) -> Result<Vec<Figure>, Failure> {
    let redis = Redis::start(&[]).await;
    let (_odoo, nodes) = start(&redis, weights.len()).await?;
    ask(&nodes, weights, WARM_UP).await?;
    let moved: Vec<u32> = weights.iter().rev().copied().collect();
    let began = Instant::now();
    let first = ask(&nodes, weights, WATCHED / 2).await?;
    let second = ask(&nodes, &moved, WATCHED / 2).await?;
    let off = off_percent(first.served + second.served, began.elapsed());
    eprintln!("   at first {first:?}, moved {second:?}: {off:+.2} %");
    if first.failed + second.failed > 0 {
        return Err("requests failed".into());
    }
    let [both, over, under] = names;
    Ok([(both, off.abs()), (over, off.max(0.0)), (under, (-off).max(0.0))]
        .map(|(name, value)| Figure { name, value, unit: Unit::Percent })
        .to_vec())
}

/// How much more, or less, was served than the limit lets through in a time.
fn off_percent(served: u32, time: Duration) -> f64 {
    (f64::from(served) / (f64::from(RATE) * time.as_secs_f64()) - 1.0) * 100.0
}

/// Nodes of one fleet, whose clocks are apart.
async fn start(redis: &Redis, count: usize) -> Result<(StubOdoo, Vec<Gateway>), Failure> {
    let odoo = backend(1, Workers::Threaded).await?;
    let mut nodes = Vec::new();
    for node in 0..count {
        let shared =
            format!("redis: {{ servers: [\"{}\"], node: n{node}, usual_nodes: {count} }}\n", redis.url());
        let limits = format!("{{ requests_per_second: {RATE}, burst: {RATE} }}");
        let skew = if node.is_multiple_of(2) { "+0.1s" } else { "-0.1s" };
        nodes.push(Gateway::start_node(&odoo, &limits, &shared, skew).await?);
    }
    Ok((odoo, nodes))
}

/// Asks the nodes for a time, each for its hundredths of what is offered.
async fn ask(nodes: &[Gateway], weights: &[u32], time: Duration) -> Result<Tally, Failure> {
    let mut clients = JoinSet::new();
    // All end at once: nothing counts in a time in which only some still ask.
    let end = tokio::time::Instant::now() + time;
    for (node, weight) in nodes.iter().zip(weights) {
        let every = Duration::from_secs(100) * CLIENTS / (OFFERED * weight);
        for client in 0..CLIENTS {
            let address = node.address;
            clients.spawn(async move {
                sleep(every / CLIENTS * client).await;
                visit(address, every, end).await
            });
        }
    }
    let mut all = Tally::default();
    while let Some(client) = clients.join_next().await {
        let Tally { served, refused, failed } = client?;
        all.served += served;
        all.refused += refused;
        all.failed += failed;
    }
    Ok(all)
}

/// One client of a node. A request that it is late with is sent at once.
async fn visit(address: SocketAddr, every: Duration, end: tokio::time::Instant) -> Tally {
    let mut tally = Tally::default();
    let mut turns = interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while timeout_at(end, turns.tick()).await.is_ok() {
        match status(address, 0).await {
            Ok(200) => tally.served += 1,
            Ok(429) => tally.refused += 1,
            Ok(_) | Err(_) => tally.failed += 1,
        }
    }
    tally
}
