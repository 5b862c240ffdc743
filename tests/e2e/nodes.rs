//! Several gateways and the Redis that they share: limits that hold over all of them, whatever happens to Redis.

use std::time::{Duration, Instant};

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Authority, DEADLINE, Gateway, Redis, Request, backend, wait_for};
use serde_json::Value;

use crate::fleet;
use crate::visitors::Visitors;

/// Requests a second, and at once, that all nodes together let through.
const RATE: u32 = 40;

/// Gateways in front of one server, with the Redis of these URLs. They know nothing of each other but for Redis.
async fn nodes(count: usize, redis: &str) -> (StubOdoo, Vec<Gateway>) {
    let stub = fleet::prefork("eu-1").await;
    let mut nodes = Vec::new();
    for node in 0..count {
        let config = fleet::config(&[backend(&stub)], "")
            + &format!("plans: {{ small: {{ requests_per_second: {RATE}, burst: {RATE} }} }}\n")
            + &format!("redis: {{ {redis}, node: n{node}, usual_nodes: {count} }}\n");
        let tenants = "- { id: acme, hosts: [acme.test], plan: small }\n- { id: free, hosts: [free.test] }\n";
        nodes.push(Gateway::builder(&config).tenants("t.yaml", tenants).start().await);
    }
    for node in &nodes {
        wait_for("all nodes know each other", DEADLINE, async || {
            cluster(node).await["nodes"].as_array().is_some_and(|nodes| nodes.len() == count)
        })
        .await;
    }
    (stub, nodes)
}

fn at(redis: &Redis) -> String {
    format!("servers: [\"{}\"]", redis.url())
}

async fn cluster(node: &Gateway) -> Value {
    node.admin("/v1/status").await["cluster"].clone()
}

async fn state_is(node: &Gateway, state: &str) {
    wait_for(&format!("the node says that Redis is {state}"), DEADLINE, async || {
        cluster(node).await["redis"] == state
    })
    .await;
}

/// What is let through of requests that never end, by some clients a node, until a condition holds or for long enough.
#[derive(Debug)]
struct Flood {
    began: Instant,
    served: u32,
    refused: u32,
}

impl Flood {
    /// Asks all nodes as fast as they answer. Anything but an answer of Odoo or the refusal of a limit fails the test.
    async fn of(nodes: &[&Gateway], time: Duration) -> Self {
        let began = Instant::now();
        let mut clients = Vec::new();
        for node in nodes {
            let address = node.address();
            clients.push(tokio::spawn(async move {
                let (mut served, mut refused) = (0, 0);
                while began.elapsed() < time {
                    let answer = Request::get("acme.test", "/web/health").send(address).await;
                    match answer.status {
                        200 => served += 1,
                        429 => refused += 1,
                        other => panic!("{other}: {}", answer.text()),
                    }
                }
                (served, refused)
            }));
        }
        let mut flood = Self { began, served: 0, refused: 0 };
        for client in clients {
            let (served, refused) = client.await.unwrap();
            flood.served += served;
            flood.refused += refused;
        }
        flood
    }

    /// The most that one limit lets through in the time, if it has a burst to begin with.
    fn most(&self) -> u32 {
        RATE + u32::try_from(self.began.elapsed().as_millis()).unwrap() * RATE / 1_000 + 1
    }

    fn assert_within_the_limit(&self) {
        assert!(self.refused > 0, "the limit was never reached: {self:?}");
        assert!(self.served <= self.most(), "{} of {}: {self:?}", self.served, self.most());
    }
}

#[tokio::test]
async fn nodes_together_admit_the_limit_of_a_tenant_wherever_its_clients_are() {
    let redis = Redis::start(&[]).await;
    let (_stub, nodes) = nodes(3, &at(&redis)).await;
    let all: Vec<&Gateway> = nodes.iter().collect();
    let everywhere = Flood::of(&all, Duration::from_secs(3)).await;
    everywhere.assert_within_the_limit();
    // All clients come to one node now; it gets what the others do not need.
    let share = async || {
        let tenants = nodes[0].admin("/v1/tenants").await;
        let used =
            tenants["tenants"].as_array().unwrap().iter().find(|tenant| tenant["id"] == "acme").unwrap();
        let words: Vec<&str> = used["used"].as_str().unwrap().split_whitespace().collect();
        words[3].parse::<u32>().unwrap()
    };
    wait_for("the node with all clients has nearly the whole rate", DEADLINE, async || {
        Flood::of(&[&nodes[0]], Duration::from_millis(100)).await;
        share().await * 10 > RATE * 9
    })
    .await;
    let socket = nodes[0].directory().admin_socket();
    let output = nodes[0].cli(&["status", "--socket", socket.to_str().unwrap()]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("n0 of 3; Redis is ok since"), "{text}");
}

#[tokio::test]
async fn a_redis_that_dies_freezes_forgets_or_turns_into_a_replica_fails_no_request_and_raises_no_limit() {
    let mut redis = Redis::start(&[]).await;
    let other = Redis::start(&[]).await;
    let (_stub, nodes) = nodes(3, &at(&redis)).await;
    let all: Vec<&Gateway> = nodes.iter().collect();
    Flood::of(&all, Duration::from_secs(2)).await.assert_within_the_limit();
    let flooded = async |what: &str| {
        let flood = Flood::of(&all, Duration::from_secs(2)).await;
        eprintln!("{what}: {} of {}", flood.served, flood.most());
        flood.assert_within_the_limit();
    };

    redis.pause();
    for node in &nodes {
        state_is(node, "slow").await;
    }
    flooded("frozen").await;
    redis.resume();
    for node in &nodes {
        state_is(node, "ok").await;
    }
    flooded("back").await;

    redis.ask(&["FLUSHALL"]);
    flooded("forgot").await;

    redis.ask(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    for node in &nodes {
        state_is(node, "read_only").await;
    }
    flooded("replica").await;
    redis.ask(&["REPLICAOF", "NO", "ONE"]);
    for node in &nodes {
        state_is(node, "ok").await;
    }

    redis.kill();
    for node in &nodes {
        state_is(node, "gone").await;
    }
    flooded("gone").await;
    redis.start_again().await;
    for node in &nodes {
        state_is(node, "ok").await;
    }
    flooded("empty").await;
    for node in &nodes {
        assert_eq!(Request::get("free.test", "/web/health").send(node.address()).await.status, 200);
    }
}

#[tokio::test]
async fn a_redis_that_lies_is_not_believed() {
    let redis = Redis::start(&[]).await;
    let (_stub, nodes) = nodes(2, &at(&redis)).await;
    let both: Vec<&Gateway> = nodes.iter().collect();
    for lie in [
        // A claim of more than there is, one that is none, and keys of another kind.
        &["HSET", "{fleetgate}:rate:acme", "x/1", "99999999 1"][..],
        &["HSET", "{fleetgate}:rate:acme", "x/1", "all of it"],
        &["SET", "{fleetgate}:born", "tomorrow"],
        &["SET", "{fleetgate}:nodes", "none"],
    ] {
        if lie[1].ends_with("nodes") {
            redis.ask(&["DEL", lie[1]]);
        } else {
            redis.ask(&["ZADD", "{fleetgate}:nodes", "99999999999999", "x/1"]);
        }
        redis.ask(lie);
        Flood::of(&both, Duration::from_millis(1_500)).await.assert_within_the_limit();
        redis.ask(&["FLUSHALL"]);
        for node in &nodes {
            state_is(node, "ok").await;
        }
    }
}

#[tokio::test]
async fn nodes_follow_sentinels_to_a_new_primary() {
    let mut primary = Redis::start(&[]).await;
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &primary.port().to_string()]).await;
    let sentinel = Redis::sentinel(&primary).await;
    wait_for("the Sentinel knows the replica", DEADLINE, async || {
        sentinel.ask(&["SENTINEL", "REPLICAS", "fleet"]).contains(&replica.port().to_string())
    })
    .await;
    let (_stub, nodes) =
        nodes(2, &format!("servers: [\"{}\"], sentinel_service: fleet", sentinel.url())).await;
    let both: Vec<&Gateway> = nodes.iter().collect();
    Flood::of(&both, Duration::from_secs(1)).await.assert_within_the_limit();
    primary.kill();
    for node in &nodes {
        state_is(node, "gone").await;
    }
    Flood::of(&both, Duration::from_secs(1)).await.assert_within_the_limit();
    wait_for("the replica is the primary", DEADLINE, async || replica.ask(&["ROLE"]).starts_with("master"))
        .await;
    for node in &nodes {
        state_is(node, "ok").await;
    }
    Flood::of(&both, Duration::from_secs(2)).await.assert_within_the_limit();
}

#[tokio::test]
async fn what_a_node_held_is_shared_out_after_it_was_killed() {
    let redis = Redis::start(&[]).await;
    let (_stub, mut nodes) = nodes(2, &at(&redis)).await;
    drop(nodes.pop());
    wait_for("the other is alone", DEADLINE, async || {
        cluster(&nodes[0]).await["nodes"].as_array().is_some_and(|nodes| nodes.len() == 1)
    })
    .await;
}

#[tokio::test]
async fn redis_is_reached_over_tls_as_a_user_with_a_password() {
    let (authority, other) = (Authority::new("redis"), Authority::new("somebody else"));
    let folder = tempfile::tempdir().unwrap();
    authority.sign("localhost").write(folder.path(), "redis");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(folder.path().join("ca.crt"), &authority.pem).unwrap();
    std::fs::write(folder.path().join("other.crt"), &other.pem).unwrap();
    let tls = fleetgate_tests::free_port().to_string();
    let (certificate, key, ca) = (path("redis.crt"), path("redis.key"), path("ca.crt"));
    let redis = Redis::start(&[
        "--tls-port",
        &tls,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
        "--user",
        "fleet",
        "on",
        ">secret",
        "~{fleetgate}:*",
        "+@all",
    ])
    .await;
    let servers = format!("servers: [\"rediss://localhost:{tls}\"], user: fleet, password: secret");
    let (_stub, nodes) = nodes(1, &format!("{servers}, authority: \"{ca}\"")).await;
    assert!(redis.ask(&["CLIENT", "LIST"]).contains("user=fleet"));
    drop(nodes);
    // A server that is not who it should be is not spoken to.
    let stub = fleet::prefork("eu-2").await;
    let config = fleet::config(&[backend(&stub)], "")
        + &format!("redis: {{ {servers}, node: n, authority: \"{}\" }}\n", path("other.crt"));
    let stranger =
        Gateway::builder(&config).tenants("t.yaml", "- { id: acme, hosts: [acme.test] }\n").start().await;
    state_is(&stranger, "gone").await;
    fleet::still_serves(&stranger).await;
}

/// Workers of the one server behind all nodes.
const WORKERS: u32 = 4;

/// Sends requests of 50 ms through nodes in turn, and returns how many were at the server at once, at most. All are answered.
async fn work(stub: &StubOdoo, nodes: &[&Gateway], requests: usize) -> u32 {
    let before = stub.counts().requests;
    let hosts = ["acme.test", "globex.test"];
    let flood: Vec<_> = (0..requests)
        .map(|at| {
            let address = nodes[at % nodes.len()].address();
            let request = Request::get(hosts[at / nodes.len() % 2], "/stub/slow?ms=50");
            tokio::spawn(async move { request.send(address).await })
        })
        .collect();
    let mut most = 0;
    wait_for("all are served", DEADLINE, async || {
        most = most.max(stub.counts().requests_in_flight);
        stub.counts().requests - before == u64::try_from(requests).unwrap()
    })
    .await;
    for answer in flood {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    u32::try_from(most).unwrap()
}

#[tokio::test]
async fn nodes_together_use_the_workers_of_a_pool_and_no_more_and_an_idle_one_lends_its() {
    let mut redis = Redis::start(&[]).await;
    let stub = fleet::prefork("eu-1").await;
    let (http, gevent) = (stub.http_addr(), stub.gevent_addr());
    let server = format!("{{ http: \"{http}\", websocket: \"{gevent}\", workers: {WORKERS} }}");
    let mut nodes = Vec::new();
    for node in 0..3 {
        let config = fleet::config(std::slice::from_ref(&server), "")
            + &format!("redis: {{ {}, node: n{node}, usual_nodes: 3 }}\n", at(&redis));
        nodes.push(Gateway::builder(&config).tenants("t.yaml", fleet::TENANTS).start().await);
    }
    let workers = async |node: &Gateway| {
        node.admin("/v1/status").await["pools"][0]["admission"]["workers"].as_u64().unwrap()
    };
    let all: Vec<&Gateway> = nodes.iter().collect();
    for _ in 0..3 {
        let most = work(&stub, &all, 60).await;
        assert!((2..=WORKERS).contains(&most), "{most}");
    }
    // Only one is asked: it gets what the others do not need.
    wait_for("one node has all workers", DEADLINE, async || {
        assert!(work(&stub, &all[..1], 20).await <= WORKERS);
        workers(&nodes[0]).await == u64::from(WORKERS)
    })
    .await;
    let most = work(&stub, &all[..1], 60).await;
    assert!((3..=WORKERS).contains(&most), "{most}");
    // An idle node is asked, and gets its part back.
    assert_eq!(Request::get("acme.test", "/web/health").send(nodes[2].address()).await.status, 200);

    // What a killed node held is nobody's until its lease has ended.
    let long = Request::get("globex.test", "/stub/slow?ms=1500");
    let address = nodes[0].address();
    let lost = tokio::spawn(async move { long.try_send(address).await });
    wait_for("it is at the server", DEADLINE, async || stub.counts().requests_in_flight == 1).await;
    drop(nodes.remove(0));
    let all: Vec<&Gateway> = nodes.iter().collect();
    for _ in 0..3 {
        assert!(work(&stub, &all, 40).await <= WORKERS);
    }
    lost.abort();
    redis.kill();
    for node in &nodes {
        state_is(node, "gone").await;
    }
    for _ in 0..2 {
        assert!(work(&stub, &all, 40).await <= WORKERS);
    }
    redis.start_again().await;
    for node in &nodes {
        state_is(node, "ok").await;
    }
    assert!(work(&stub, &all, 40).await <= WORKERS);
}

#[tokio::test]
async fn an_upgrade_of_a_node_fails_no_request_and_the_old_process_leaves() {
    let redis = Redis::start(&[]).await;
    let stub = fleet::prefork("eu-1").await;
    let (http, gevent) = (stub.http_addr(), stub.gevent_addr());
    let server = format!("{{ http: \"{http}\", websocket: \"{gevent}\", workers: {WORKERS} }}");
    let config = fleet::config(&[server], "")
        + &format!("drain: {{ timeout: 1h }}\nredis: {{ {}, node: n0, usual_nodes: 1 }}\n", at(&redis));
    let mut gateway = Gateway::builder(&config).tenants("t.yaml", fleet::TENANTS).start().await;
    let visitors = Visitors::come(gateway.address(), &[("acme.test", "acme"), ("globex.test", "globex")]);
    visitors.served(50).await;
    let before = cluster(&gateway).await["nodes"].clone();
    gateway.replace(DEADLINE).await;
    visitors.served(50).await;
    assert!(gateway.wait_exit(DEADLINE).await.success());
    wait_for("the new process is the only node", DEADLINE, async || {
        let nodes = cluster(&gateway).await["nodes"].clone();
        nodes != before && nodes.as_array().is_some_and(|nodes| nodes.len() == 1)
    })
    .await;
    visitors.served(50).await;
    let (_answered, failures) = visitors.leave().await;
    assert!(failures.is_empty(), "{failures:#?}");
}
