//! A pool that moves from one region to another: what is in flight, what waits, and what nobody gets twice.

use crate::fleet::{self, DATABASES};
use fleetgate_stub::{Received, StubOdoo, StubOptions};
use fleetgate_tests::{
    Answer, DEADLINE, FaultProxy, Gateway, Link, Postgres, Request, backend, http_get, wait_for,
};
use serde_json::Value;
use std::time::Duration;
use tokio::task::JoinSet;

/// Address of the listener for metrics.
const OBSERVE: &str = "127.0.0.2:0";

/// Two stand-ins, in paris and in dublin.
async fn stubs() -> [StubOdoo; 2] {
    let stub = |name| StubOdoo::start(StubOptions::new(name, DATABASES));
    [stub("paris-1").await.unwrap(), stub("dublin-1").await.unwrap()]
}

/// A gateway before two regions, each with a database; `hold` as in the config.
async fn gateway(stubs: &[StubOdoo; 2], databases: [&Postgres; 2], hold: &str) -> Gateway {
    asking(stubs, databases, hold, "200ms").await
}

/// The same, with the time between two probes.
async fn asking(stubs: &[StubOdoo; 2], databases: [&Postgres; 2], hold: &str, every: &str) -> Gateway {
    let region = |place: usize| {
        let (stub, database) = (&stubs[place], databases[place]);
        format!("{{ backends: [ {} ], postgres: \"{}\" }}", backend(stub), database.url())
    };
    let config = format!(
        "threads: 2\nobserve: {{ address: \"{OBSERVE}\" }}\nregions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
         odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
         health: {{ interval: {every}, timeout: 2s }}\n    failover: {{ hold: {hold} }}\n    \
         regions:\n      paris: {}\n      dublin: {}\n",
        region(0),
        region(1)
    );
    // What is in use is shown beside a limit.
    let limited = "globex.test], limits: { concurrent_requests: 100 }";
    let tenants = fleet::TENANTS.replace("globex.test]", limited);
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", &tenants).start().await;
    wait_for("both databases are seen", DEADLINE, async || {
        let pool = pool(&gateway).await;
        [0, 1].iter().all(|region| pool["regions"][region]["database"]["verdict"] != "unwatched")
    })
    .await;
    gateway
}

async fn pool(gateway: &Gateway) -> Value {
    gateway.admin("/v1/regions").await["pools"][0].clone()
}

async fn until_route(gateway: &Gateway, route: &str) {
    wait_for(&format!("the route is {route}"), DEADLINE, async || pool(gateway).await["route"] == route)
        .await;
}

async fn until_held(gateway: &Gateway, held: u64) {
    wait_for(&format!("{held} requests wait"), DEADLINE, async || pool(gateway).await["held"] == held).await;
}

async fn pin(gateway: &Gateway, region: &str) {
    let arguments = ["regions", "pin", "main", region, "--reason", "a test", "--socket", "admin.sock"];
    let pinned = gateway.cli(&arguments).await;
    assert!(pinned.status.success(), "{}", String::from_utf8_lossy(&pinned.stderr));
}

/// Requests of clients that a server got; probes are none.
fn asked(stub: &StubOdoo) -> Vec<Received> {
    let mut received = stub.received();
    received.retain(|request| !request.target.ends_with("/health"));
    received
}

/// So many writes and as many reads, each with a number of its own.
fn send(gateway: &Gateway, count: usize) -> JoinSet<Answer> {
    let mut sent = JoinSet::new();
    let address = gateway.address();
    for number in 0..count {
        let write = Request::post("acme.test", &format!("/stub/echo?write={number}"), vec![b'x'; 100_000]);
        let read = Request::get("globex.test", &format!("/stub/echo?read={number}"));
        sent.spawn(async move { write.send(address).await });
        sent.spawn(async move { read.send(address).await });
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_for_a_promotion_and_each_reaches_the_promoted_region_once() {
    let (primary, stubs) = (Postgres::primary(), stubs().await);
    let standby = primary.standby();
    let gateway = gateway(&stubs, [&primary, &standby], "60s").await;
    primary.kill();
    until_route(&gateway, "unwritable").await;
    let sent = send(&gateway, 50);
    until_held(&gateway, 100).await;
    assert_eq!((asked(&stubs[0]).len(), asked(&stubs[1]).len()), (0, 0), "nothing is sent while it waits");

    standby.promote();
    for answer in sent.join_all().await {
        assert_eq!((answer.status, answer.server()), (200, Some("dublin-1")), "{}", answer.text());
    }
    let mut targets: Vec<_> = asked(&stubs[1]).into_iter().map(|request| request.target).collect();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!((targets.len(), asked(&stubs[1]).len(), asked(&stubs[0]).len()), (100, 100, 0));
    let metrics = http_get(gateway.listener(OBSERVE), "observe", "/metrics").await.text();
    assert!(
        metrics.contains("fleetgate_region_held_total{outcome=\"served\",pool=\"main\"} 100"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_waited_for_nothing_are_refused_when_the_time_is_over_and_never_sent() {
    let (primary, stubs) = (Postgres::primary(), stubs().await);
    let standby = primary.standby();
    let gateway = gateway(&stubs, [&primary, &standby], "3s").await;
    primary.kill();
    until_route(&gateway, "unwritable").await;
    let sent = send(&gateway, 10);
    until_held(&gateway, 20).await;
    for answer in sent.join_all().await {
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some() && answer.text().contains("region_unwritable"));
    }
    // The time counts from the end of service: whoever comes now does not wait.
    let late = Request::post("acme.test", "/stub/echo?late", "x").send(gateway.address()).await;
    assert_eq!(late.status, 503);
    assert_eq!(pool(&gateway).await["held"], 0);
    standby.promote();
    until_route(&gateway, "serve").await;
    assert_eq!(
        (asked(&stubs[0]).len(), asked(&stubs[1]).len()),
        (0, 0),
        "what was refused is not sent later"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_it_waits_gives_its_place_back_and_nothing_is_done_for_it() {
    let (primary, stubs) = (Postgres::primary(), stubs().await);
    let standby = primary.standby();
    let gateway = gateway(&stubs, [&primary, &standby], "60s").await;
    primary.kill();
    until_route(&gateway, "unwritable").await;
    let mut sent = send(&gateway, 5);
    until_held(&gateway, 10).await;
    sent.shutdown().await;
    until_held(&gateway, 0).await;
    standby.promote();
    until_route(&gateway, "serve").await;
    assert_eq!(asked(&stubs[1]).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_ends_where_it_began_and_what_is_still_uploaded_goes_to_the_new_region() {
    let (database, stubs) = (Postgres::primary(), stubs().await);
    let gateway = gateway(&stubs, [&database, &database], "5s").await;
    let address = gateway.address();
    let slow = tokio::spawn(async move {
        Request::post("acme.test", "/stub/slow?ms=3000&write=slow", "x").send(address).await
    });
    wait_for("the slow write is at work", DEADLINE, async || asked(&stubs[0]).len() == 1).await;
    let parts = vec![vec![b'x'; 1000].into(), vec![b'y'; 1000].into()];
    let upload = Request::post("globex.test", "/stub/echo?write=upload", "");
    let upload = upload.body_in_parts(parts, Duration::from_secs(2));
    let uploading = tokio::spawn(async move { upload.send(address).await });
    wait_for("the upload has begun", DEADLINE, async || {
        let tenants = gateway.admin("/v1/tenants?filter=globex").await;
        let used = tenants["tenants"][0]["used"].as_str().unwrap_or_default();
        used.contains("concurrent_requests 1 of 100")
    })
    .await;

    pin(&gateway, "dublin").await;
    let (slow, upload) = (slow.await.unwrap(), uploading.await.unwrap());
    assert_eq!((slow.status, slow.header("x-stub-server")), (200, Some("paris-1")));
    assert_eq!((upload.status, upload.server()), (200, Some("dublin-1")));
    assert_eq!((asked(&stubs[0]).len(), asked(&stubs[1]).len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_ends_is_known_to_be_gone_before_its_next_probe() {
    let (primary, stubs) = (Postgres::primary(), stubs().await);
    let standby = primary.standby();
    // Three silent probes would take minutes. Until it is known, Odoo would take users for strangers.
    let gateway = asking(&stubs, [&primary, &standby], "0s", "60s").await;
    primary.stop();
    until_route(&gateway, "unwritable").await;
    let refused = Request::post("acme.test", "/stub/echo", "x").send(gateway.address()).await;
    assert_eq!(refused.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_answered_after_another_database_was_promoted_is_not_acknowledged() {
    let (primary, stubs) = (Postgres::primary(), stubs().await);
    let standby = primary.standby();
    let link = FaultProxy::start(stubs[0].http_addr(), 1).await;
    let gateway = through(&link, &stubs, [&primary, &standby]).await;
    link.set(Link::HalfOpen);
    let address = gateway.address();
    let sent = [
        Request::post("acme.test", "/stub/echo?write", "x"),
        Request::get("acme.test", "/stub/echo?read"),
        Request::call(
            "acme.test",
            "/web/dataset/call_kw",
            &serde_json::json!({"model": "m", "method": "create"}),
        ),
    ];
    let sent = sent.map(|request| tokio::spawn(async move { request.send(address).await }));
    wait_for("all are at work in paris", DEADLINE, async || asked(&stubs[0]).len() == 3).await;
    primary.kill();
    standby.promote();
    wait_for("dublin serves", DEADLINE, async || pool(&gateway).await["serving"] == "dublin").await;
    link.set(Link::Clear);
    let [write, read, call] = sent;
    let (write, call) = (write.await.unwrap(), call.await.unwrap());
    assert_eq!(write.status, 502);
    assert!(write.text().contains("region_left"), "{}", write.text());
    assert!(call.status == 502 && call.text().contains("region_left"), "{} {}", call.status, call.text());
    assert_eq!(read.await.unwrap().status, 200);
    assert_eq!(asked(&stubs[1]).iter().filter(|request| request.method == "POST").count(), 0);
}

/// A gateway that reaches the server of paris over a link. Probes there are silent before they are lost.
async fn through(link: &FaultProxy, stubs: &[StubOdoo; 2], databases: [&Postgres; 2]) -> Gateway {
    let direct = stubs[0].http_addr().to_string();
    let gateway = asking(stubs, databases, "20s", "200ms").await;
    let config = std::fs::read_to_string(gateway.directory().config()).unwrap();
    let generation = gateway.admin("/v1/status").await["config"]["generation"].clone();
    let config =
        config.replace(&direct, &link.address().to_string()).replace("timeout: 2s", "timeout: 2s, fall: 100");
    gateway.directory().write("fleetgate.yaml", config.as_bytes());
    wait_for("the config is reloaded", DEADLINE, async || {
        gateway.admin("/v1/status").await["config"]["generation"] != generation
    })
    .await;
    gateway
}
