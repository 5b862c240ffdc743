//! A server that comes back is warmed before it serves.

use crate::fleet::{self, DATABASES};
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{DEADLINE, Gateway, Request, backend, free_address, wait_for};

const TENANTS: &str = "\
- { id: acme, hosts: [acme.test, shop.acme.test] }
- { id: globex, hosts: [globex.test] }
- { id: \"{1}\", hosts: [\"*.shops.test\"], database: \"{1}\" }
- { id: never, hosts: [never.test], database: acme }
";

/// Warm-up asks each worker: they take one request at a time.
#[tokio::test(flavor = "multi_thread")]
async fn each_worker_of_a_server_that_comes_back_is_asked_for_the_page_of_a_tenant() {
    let (http, gevent) = (free_address(), free_address());
    let options = || StubOptions { workers: Some(3), http, gevent, ..StubOptions::new("eu-2", DATABASES) };
    let (one, two) = (fleet::prefork("eu-1").await, StubOdoo::start(options()).await.unwrap());
    let with_workers = |stub: &StubOdoo| backend(stub).replace('}', ", workers: 3 }");
    let config = fleet::config(
        &[with_workers(&one), with_workers(&two)],
        "health: { interval: 200ms, fall: 1, slow_start: 0s }",
    );
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).start().await;
    assert_eq!(Request::get("acme.test", "/stub/echo").send(gateway.address()).await.status, 200);
    drop(two);
    wait_for("it is down", DEADLINE, async || verdict(&gateway, 1).await == "down").await;
    let two = StubOdoo::start(options()).await.unwrap();
    gateway.operational_log().wait_for_text("was asked for a page of its tenants", DEADLINE).await;
    let pages = two.received().iter().filter(|request| request.target == "/web/login").count();
    assert_eq!(pages, 3);
}

async fn verdict(gateway: &Gateway, place: usize) -> String {
    let report = gateway.admin("/v1/regions").await;
    let verdict = &report["pools"][0]["regions"][0]["backends"][place]["verdict"];
    verdict.as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_asked_for_a_page_of_each_tenant_that_was_served_before_it_serves() {
    let (http, gevent) = (free_address(), free_address());
    let options = || StubOptions { http, gevent, ..StubOptions::new("eu-2", DATABASES) };
    let (one, two) = (fleet::prefork("eu-1").await, StubOdoo::start(options()).await.unwrap());
    let config = fleet::config(
        &[backend(&one), backend(&two)],
        "health: { interval: 200ms, fall: 1, slow_start: 0s }",
    );
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).start().await;
    for host in ["acme.test", "globex.test", "initech.shops.test"] {
        let answer = Request::get(host, "/stub/echo").send(gateway.address()).await;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
    }
    drop(two);
    wait_for("it is down", DEADLINE, async || verdict(&gateway, 1).await == "down").await;

    let two = StubOdoo::start(options()).await.unwrap();
    let asked = || {
        let mut received = two.received();
        received.retain(|request| !request.target.ends_with("/health"));
        received
    };
    gateway.operational_log().wait_for_text("was asked for a page of its tenants", DEADLINE).await;
    let mut warmed: Vec<_> =
        asked().into_iter().map(|request| (request.target.clone(), request.database.clone())).collect();
    warmed.sort_unstable();
    let expected =
        ["acme", "globex", "initech"].map(|database| ("/web/login".to_owned(), Some(database.to_owned())));
    assert_eq!(warmed, expected, "each tenant that was served, once, and nobody else");

    // Some tenants of many prefer it to the other server.
    wait_for("it serves", DEADLINE, async || {
        for shop in 0..20 {
            let request = Request::get(&format!("shop{shop}.shops.test"), "/stub/echo");
            if request.send(gateway.address()).await.server() == Some("eu-2") {
                return true;
            }
        }
        false
    })
    .await;
}
