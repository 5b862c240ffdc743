//! What requests of clients meet says something about a server that answers its probes: it is asked last, and tried again.

use crate::fleet;
use fleetgate_stub::StubOdoo;
use fleetgate_tests::{DEADLINE, Gateway, Request, backend, wait_for};
use futures_util::future::join_all;
use serde_json::Value;

/// As many tenants as there are labels, all with one database.
const ANYBODY: &str = "- { id: \"{1}\", hosts: [\"*.odoo.test\"], database: acme }\n";

/// Two servers, and hosts of tenants that are at home on each of them.
struct Fleet {
    _stubs: [StubOdoo; 2],
    gateway: Gateway,
    hosts: [Vec<String>; 2],
}

impl Fleet {
    async fn start(health: &str) -> Self {
        let stubs = [fleet::prefork("one").await, fleet::prefork("two").await];
        let pool = format!("backends_per_tenant: 1\nhealth: {health}");
        let config = fleet::config(&stubs.each_ref().map(backend), &pool);
        let gateway = Gateway::builder(&config).tenants("t.yaml", ANYBODY).start().await;
        let mut hosts = [Vec::new(), Vec::new()];
        for label in 0..200 {
            let host = format!("t{label}.odoo.test");
            let told = gateway.admin(&format!("/v1/explain?url=http://{host}/")).await;
            let first = stubs.iter().position(|stub| told["backends"][0] == stub.http_addr().to_string());
            hosts[first.unwrap()].push(host);
        }
        assert!(hosts.iter().all(|hosts| hosts.len() >= 20), "tenants are spread");
        Self { _stubs: stubs, gateway, hosts }
    }

    /// A request of each of so many tenants of a server, at once.
    async fn ask(&self, home: usize, tenants: usize, target: &str) {
        let asked = async |host: &String| Request::get(host, target).send(self.gateway.address()).await;
        join_all(self.hosts[home].iter().take(tenants).map(asked)).await;
    }

    async fn backend(&self, place: usize) -> Value {
        let report = self.gateway.admin("/v1/regions").await;
        report["pools"][0]["regions"][0]["backends"][place].clone()
    }

    async fn signal(&self, place: usize, signal: &str) -> Value {
        let signals = self.backend(place).await["signals"].clone();
        let found = signals.as_array().unwrap().iter().find(|known| known["signal"] == signal).cloned();
        found.unwrap_or_default()
    }

    async fn is(&self, place: usize, verdict: &str) -> bool {
        self.backend(place).await["verdict"] == verdict
    }

    /// Which server answers a tenant of the first one.
    async fn server(&self) -> Option<String> {
        let answer = Request::get(&self.hosts[0][0], "/stub/echo").send(self.gateway.address()).await;
        answer.server().map(str::to_owned)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_gives_several_tenants_errors_is_asked_last_and_tried_again() {
    let fleet = Fleet::start("{ interval: 200ms, fast_interval: 100ms }").await;
    wait_for("others are asked first", DEADLINE, async || {
        fleet.ask(0, 10, "/stub/status?code=500").await;
        fleet.ask(1, 10, "/stub/echo").await;
        fleet.is(0, "degraded").await
    })
    .await;
    let saw = fleet.signal(0, "traffic").await["saw"].as_str().unwrap().to_owned();
    assert!(saw.contains("errors of the server") && saw.contains("tenants"), "{saw}");
    assert!(fleet.is(1, "up").await);
    assert_eq!(fleet.server().await.as_deref(), Some("two"));
    // Nobody is sent there, and so no request would ever speak for it.
    wait_for("it is tried again", DEADLINE, async || fleet.server().await.as_deref() == Some("one")).await;
    assert!(fleet.is(0, "up").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_one_tenant_say_nothing_about_its_server() {
    let fleet = Fleet::start("{ interval: 200ms, fast_interval: 100ms }").await;
    for _ in 0..40 {
        fleet.ask(0, 1, "/stub/status?code=500").await;
        fleet.ask(0, 1, "/stub/status?code=503").await;
    }
    wait_for("its errors are seen", DEADLINE, async || {
        fleet.ask(0, 1, "/stub/status?code=500").await;
        let traffic = fleet.signal(0, "traffic").await;
        traffic["saw"].as_str().is_some_and(|saw| saw.contains("errors of the server"))
    })
    .await;
    let traffic = fleet.signal(0, "traffic").await;
    assert_eq!((&traffic["standing"], &traffic["failures"]), (&"passing".into(), &0.into()), "{traffic}");
    assert!(fleet.is(0, "up").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_far_slower_than_its_equal_is_asked_last() {
    let fleet = Fleet::start("{ interval: 200ms, latency: { interval: 1s, fall: 2 } }").await;
    wait_for("others are asked first", DEADLINE, async || {
        let both = [fleet.ask(0, 20, "/stub/slow?ms=400"), fleet.ask(0, 20, "/stub/slow?ms=400")];
        join_all(both).await;
        for _ in 0..3 {
            fleet.ask(1, 20, "/stub/echo").await;
        }
        fleet.is(0, "degraded").await
    })
    .await;
    let latency = fleet.signal(0, "latency").await;
    assert_eq!(latency["standing"], "failing", "{latency}");
    assert!(latency["saw"].as_str().unwrap().contains("half of"), "{latency}");
    assert_eq!(fleet.signal(1, "latency").await["standing"], "passing");
    assert!(fleet.is(1, "up").await);
    assert_eq!(fleet.server().await.as_deref(), Some("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_become_slow_together_are_asked_as_ever() {
    let fleet = Fleet::start("{ interval: 200ms, latency: { interval: 1s, fall: 1 } }").await;
    wait_for("both are known", DEADLINE, async || {
        join_all([0, 1].map(|home| fleet.ask(home, 25, "/stub/slow?ms=400"))).await;
        let [one, two] = [fleet.signal(0, "latency").await, fleet.signal(1, "latency").await];
        one["standing"] == "passing" && two["standing"] == "passing"
    })
    .await;
    assert!(fleet.is(0, "up").await && fleet.is(1, "up").await);
}
