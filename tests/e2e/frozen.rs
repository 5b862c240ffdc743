//! Servers that freeze: their kernel takes connections and requests, and nobody there reads them. Who waits there for an
//! answer goes on elsewhere as soon as probes know, if that is no second write, and nobody else waits for them. No clock of
//! the pool ends anything here.

use crate::fleet::{self, one_port};
use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Answer, DEADLINE, FaultProxy, Gateway, Link, Request, wait_for, ws_connect};
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::task::JoinSet;

/// Probes in quick succession, and an hour for every answer.
const POOL: &str = "health: { interval: 200ms, timeout: 500ms, slow_start: 0s, warm_up: 0s }\n\
    http: { read_timeout: 3600s }\nwebsocket: { handshake_timeout: 600s }";

/// Two threaded servers, each behind a link that a test can freeze.
struct Pair {
    stubs: [StubOdoo; 2],
    links: [FaultProxy; 2],
    gateway: Gateway,
}

impl Pair {
    async fn new(workers: Option<u8>) -> Self {
        let stubs = [fleet::threaded("eu-1").await, fleet::threaded("eu-2").await];
        let links = [
            FaultProxy::start(stubs[0].http_addr(), 1).await,
            FaultProxy::start(stubs[1].http_addr(), 2).await,
        ];
        let workers = workers.map(|workers| format!(", workers: {workers} }}")).unwrap_or(" }".to_owned());
        let backends = [0, 1].map(|place: usize| one_port(links[place].address()).replace(" }", &workers));
        let config = fleet::config(&backends, POOL);
        let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
        let pair = Self { stubs, links, gateway };
        pair.until([Some("up"), Some("up")]).await;
        // Reads may go over connections that are kept.
        pair.send(8, 0).join_all().await;
        pair.stubs.iter().for_each(StubOdoo::forget_received);
        pair
    }

    async fn until(&self, verdicts: [Option<&str>; 2]) {
        wait_for(&format!("backends are {verdicts:?}"), DEADLINE, async || {
            let report = self.gateway.admin("/v1/regions").await;
            let backends = &report["pools"][0]["regions"][0]["backends"];
            let seen = [0, 1].map(|place: usize| backends[place]["verdict"].clone());
            verdicts.iter().zip(&seen).all(|(wanted, seen)| wanted.is_none_or(|wanted| seen == wanted))
        })
        .await;
    }

    /// So many reads and writes at once, each with a number of its own.
    fn send(&self, reads: usize, writes: usize) -> JoinSet<Answer> {
        let (mut sent, address) = (JoinSet::new(), self.gateway.address());
        let reads = (0..reads).map(|number| Request::get("acme.test", &format!("/stub/echo?read={number}")));
        let writes =
            (0..writes).map(|number| Request::post("acme.test", &format!("/stub/echo?write={number}"), "x"));
        for request in reads.chain(writes) {
            sent.spawn(async move { request.send(address).await });
        }
        sent
    }

    /// Writes that a server got.
    fn written(&self, place: usize) -> Vec<String> {
        let received = self.stubs[place].received().into_iter().map(|request| request.target);
        received.filter(|target| target.contains("write=")).collect()
    }

    async fn held(&self) -> Value {
        self.gateway.admin("/v1/status").await["pools"][0]["admission"]["held"].clone()
    }
}

fn all_from(answers: &[Answer], server: &str) {
    for answer in answers {
        assert_eq!((answer.status, answer.server()), (200, Some(server)), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_leave_a_frozen_server_and_each_write_waits_for_it_and_is_done_once() {
    let pair = Pair::new(None).await;
    pair.links[1].set(Link::BlackHole);
    let (reads, writes) = (pair.send(20, 0), pair.send(0, 20));
    all_from(&reads.join_all().await, "eu-1");
    pair.until([Some("up"), Some("down")]).await;
    assert!(pair.written(1).is_empty(), "it is still frozen");
    pair.links[1].set(Link::Clear);
    for answer in writes.join_all().await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let (one, other) = (pair.written(0), pair.written(1));
    assert!(!other.is_empty(), "no write was at the server that froze");
    let each: BTreeSet<_> = one.iter().chain(&other).collect();
    assert_eq!((each.len(), one.len() + other.len()), (20, 20), "{one:?} {other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_cut_off_while_all_servers_are_frozen_and_reads_go_to_the_first_that_goes_on() {
    let pair = Pair::new(None).await;
    pair.links.iter().for_each(|link| link.set(Link::BlackHole));
    let mut reads = pair.send(20, 0);
    pair.until([Some("down"), Some("down")]).await;
    let asked = pair.links[0].accepted();
    wait_for("they are asked for a while", DEADLINE, async || pair.links[0].accepted() >= asked + 4).await;
    assert!(reads.try_join_next().is_none(), "a request was ended while nobody else could serve it");
    pair.links[0].set(Link::Clear);
    all_from(&reads.join_all().await, "eu-1");
    pair.until([Some("up"), Some("down")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_a_frozen_server_hold_up_nobody_else() {
    for (reads, writes) in [(8, 0), (0, 8)] {
        let pair = Pair::new(Some(2)).await;
        pair.links[1].set(Link::BlackHole);
        let mut first = pair.send(reads, writes);
        pair.until([Some("up"), Some("down")]).await;
        // Of the same tenant and route, whose requests at the frozen server take longer than any before.
        all_from(&pair.send(20, 20).join_all().await, "eu-1");
        wait_for("permits are those of workers that serve", DEADLINE, async || pair.held().await == 0).await;
        if writes == 0 {
            all_from(&first.join_all().await, "eu-1");
        } else {
            let done = std::iter::from_fn(|| first.try_join_next()).count();
            assert_eq!((done, first.len()), (6, 2), "a write was given up");
            pair.links[1].set(Link::Clear);
            all_from(&first.join_all().await, "eu-2");
        }
        pair.links[1].set(Link::Clear);
        pair.until([Some("up"), Some("up")]).await;
        wait_for("all workers serve", DEADLINE, async || {
            let admission = pair.gateway.admin("/v1/status").await["pools"][0]["admission"].clone();
            admission["workers"] == 4 && admission["held"] == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_are_opened_elsewhere_when_a_server_freezes() {
    let pair = Pair::new(None).await;
    pair.links[1].set(Link::BlackHole);
    let address = pair.gateway.address();
    let mut opened = JoinSet::new();
    for _ in 0..8 {
        opened.spawn(async move { ws_connect(address, "acme.test", "/websocket", &[]).await.json().await });
    }
    for greeting in opened.join_all().await {
        assert_eq!(greeting["server"], "eu-1", "{greeting}");
    }
    pair.until([Some("up"), Some("down")]).await;
}
