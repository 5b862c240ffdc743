//! What an operator does about quotas on one of several nodes.

use fleetgate_tests::{Builder, DEADLINE, Gateway, Redis, backend, wait_for};
use serde_json::Value;

use crate::fleet;

const TENANTS: &str = "- { id: acme, hosts: [acme.test], plan: small }\n";
const GRANT: [&str; 9] =
    ["quota", "grant", "acme", "requests_per_day", "50", "--reason", "a fair", "--author", "eve"];

fn node(config: &str, redis: &Redis, node: usize) -> Builder {
    let hears = format!("redis: {{ servers: [ \"{}\" ], node: n{node}, usual_nodes: 2 }}\n", redis.url());
    Gateway::builder(&format!("{config}{hears}")).tenants("tenants.yaml", TENANTS)
}

async fn cli(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.cli(&[arguments, &["--socket", "admin.sock"]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn quota(gateway: &Gateway) -> Value {
    gateway.admin("/v1/quota?tenant=acme").await["quotas"][0].clone()
}

async fn is(gateway: &Gateway, what: &str, limit: u64, used: u64) {
    wait_for(what, DEADLINE, async || {
        let quota = quota(gateway).await;
        quota["limit"] == limit && quota["used"] == used
    })
    .await;
}

async fn ask(gateway: &Gateway) {
    let answer = fleetgate_tests::http_get(gateway.address(), "acme.test", "/web/login").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn what_is_granted_or_reset_on_one_node_holds_on_all_once_and_over_restarts() {
    let redis = Redis::start(&[]).await;
    let stub = fleet::prefork("eu-1").await;
    let config =
        fleet::config(&[backend(&stub)], "") + "plans: { small: { quotas: { requests_per_day: 100 } } }\n";
    let builders = [node(&config, &redis, 0), node(&config, &redis, 1)];
    let [one, other] = builders.clone().map(Builder::start);
    let (mut one, other) = tokio::join!(one, other);
    for gateway in [&one, &other] {
        ask(gateway).await;
    }
    is(&other, "both have counted", 100, 2).await;

    let done = cli(&one, &[&GRANT[..], &["--id", "fair"]].concat()).await;
    assert!(done.contains("with id fair") && done.contains("n1"), "{done}");
    is(&other, "the grant came to the other node", 150, 2).await;
    let again = cli(&other, &[&GRANT[..], &["--id", "fair"]].concat()).await;
    assert!(again.contains("done before"), "{again}");
    let acts = cli(&other, &["quota", "acts"]).await;
    assert!(acts.contains("eve") && acts.contains("a fair"), "{acts}");

    let reset = ["quota", "reset", "acme", "requests_per_day", "--reason", "a mistake", "--author", "bob"];
    cli(&other, &reset).await;
    for gateway in [&one, &other] {
        is(gateway, "all begin anew", 150, 0).await;
    }
    // It knows what was done when it starts again, and a new one is told of it.
    drop(one);
    one = builders[0].clone().start().await;
    let new = node(&config, &redis, 2).start().await;
    for gateway in [&one, &other, &new] {
        wait_for("each has done both", DEADLINE, async || {
            gateway.admin("/v1/quota/acts").await.as_array().unwrap().len() == 2
        })
        .await;
    }
    ask(&new).await;
    for gateway in [&one, &other, &new] {
        is(gateway, "each has one grant, and what was used since", 150, 1).await;
        let acts = gateway.admin("/v1/quota/acts").await;
        assert_eq!(acts.as_array().unwrap().len(), 2, "{acts}");
    }
}

#[tokio::test]
async fn a_gateway_that_is_alone_says_that_a_grant_holds_on_it_alone() {
    let stub = fleet::prefork("eu-1").await;
    let config =
        fleet::config(&[backend(&stub)], "") + "plans: { small: { quotas: { requests_per_day: 100 } } }\n";
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).start().await;
    let done = cli(&gateway, &GRANT).await;
    assert!(done.contains("on this gateway alone; where others serve"), "{done}");
}
