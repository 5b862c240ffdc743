//! Who is served by few workers, and who waits.

use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{Answer, DEADLINE, Gateway, RawConnection, Request, http_get, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::fleet;
use crate::script::Script;

/// Where metrics are.
const OBSERVE: &str = "observe: { address: \"127.0.0.2:0\" }\n";

async fn metrics(gateway: &Gateway) -> String {
    http_get(gateway.listener("127.0.0.2:0"), "observe", "/metrics").await.text()
}

/// A request that takes a worker for so long.
fn slow(host: &str, ms: u64) -> Request {
    Request::get(host, &format!("/stub/slow?ms={ms}"))
}

fn backend_with(stub: &StubOdoo, workers: u32) -> String {
    let (http, gevent) = (stub.http_addr(), stub.gevent_addr());
    format!("{{ http: \"{http}\", websocket: \"{gevent}\", workers: {workers} }}")
}

/// A server with so many workers at least, and a gateway that counts on `workers`.
async fn start(workers: u32, pool: &str) -> (StubOdoo, Gateway) {
    let stub = StubOdoo::start(StubOptions::new("eu-1", fleet::DATABASES)).await.unwrap();
    let config = fleet::config(&[backend_with(&stub, workers)], pool);
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    (stub, gateway)
}

async fn admission(gateway: &Gateway) -> Value {
    gateway.admin("/v1/status").await["pools"][0]["admission"].clone()
}

async fn waiting(gateway: &Gateway) -> u64 {
    let work = admission(gateway).await["work"].as_array().unwrap().clone();
    work.iter().map(|class| class["waiting"].as_u64().unwrap()).sum()
}

async fn held(gateway: &Gateway) -> u64 {
    admission(gateway).await["held"].as_u64().unwrap()
}

async fn until_waiting(gateway: &Gateway, requests: u64) {
    wait_for("requests wait", DEADLINE, async || waiting(gateway).await == requests).await;
}

async fn until_held(gateway: &Gateway, workers: u64) {
    wait_for("workers are held", DEADLINE, async || held(gateway).await == workers).await;
}

/// What a command says about the running gateway.
async fn told(gateway: &Gateway, command: &[&str]) -> String {
    let socket = gateway.directory().admin_socket().display().to_string();
    let output = gateway.cli(&[command, &["--socket", &socket]].concat()).await;
    String::from_utf8(output.stdout).unwrap()
}

fn send(gateway: &Gateway, request: Request) -> JoinHandle<Answer> {
    let address = gateway.address();
    tokio::spawn(async move { request.send(address).await })
}

/// Sends a request whose answer nobody reads.
async fn leave_behind(gateway: &Gateway, target: &str) -> RawConnection {
    let mut client = RawConnection::open(gateway.address()).await.unwrap();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: acme.test\r\n\r\n")).await.unwrap();
    client
}

#[tokio::test]
async fn a_flood_of_one_tenant_lets_the_others_pass() {
    let (stub, gateway) = start(2, "").await;
    let flood: Vec<_> = (0..24).map(|_| send(&gateway, slow("acme.test", 200))).collect();
    wait_for("the flood waits", DEADLINE, async || waiting(&gateway).await >= 16).await;
    let before = stub.received().len();
    let page = Request::get("globex.test", "/web/login").send(gateway.address()).await;
    assert_eq!((page.status, page.database()), (200, Some("globex")));
    let place = stub.received().iter().position(|request| request.target == "/web/login").unwrap();
    assert!(place <= before + 2, "{} requests of the flood went first", place - before);
    let event = fleet::event_of(&gateway, &page).await;
    assert!(event["queue_ms"].is_number(), "{event}");
    for answer in flood {
        assert_eq!(answer.await.unwrap().status, 200, "and the flood is served as well");
    }
    assert_eq!((held(&gateway).await, waiting(&gateway).await), (0, 0));
}

#[tokio::test]
async fn a_plan_with_three_times_the_weight_gets_three_times_the_workers() {
    let stub = fleet::prefork("eu-1").await;
    let plans = "plans: { small: {}, large: { worker_weight: 300 } }\n";
    let config = format!("{}{plans}", fleet::config(&[backend_with(&stub, 1)], ""));
    let tenants = "\
- { id: acme, hosts: [acme.test], plan: large }
- { id: globex, hosts: [globex.test], plan: small }
- { id: initech, hosts: [initech.test] }
";
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", tenants).start().await;
    for host in ["acme.test", "globex.test"] {
        assert_eq!(slow(host, 50).send(gateway.address()).await.status, 200, "what it takes is learnt");
    }
    let first = send(&gateway, slow("initech.test", 500));
    until_held(&gateway, 1).await;
    let mut queue = Vec::new();
    for (host, waiting) in [("globex.test", 16), ("acme.test", 32)] {
        queue.extend((0..16).map(|_| send(&gateway, slow(host, 50))));
        until_waiting(&gateway, waiting).await;
    }
    stub.forget_received();
    for request in queue.into_iter().chain([first]) {
        assert_eq!(request.await.unwrap().status, 200);
    }
    let served = stub.received();
    let of_acme = served.iter().take(16).filter(|request| request.database.as_deref() == Some("acme"));
    // 12 of 16, but for what was learnt of single requests.
    let of_acme = of_acme.count();
    assert!((10..=14).contains(&of_acme), "{of_acme} of the first 16");
}

#[tokio::test]
async fn no_more_requests_are_at_a_server_than_it_has_workers() {
    let (stub, gateway) = start(3, "").await;
    let hosts = ["acme.test", "globex.test"];
    let flood: Vec<_> = (0..40).map(|at| send(&gateway, slow(hosts[at % 2], 20))).collect();
    let mut most = 0;
    wait_for("all are served", DEADLINE, async || {
        most = most.max(stub.counts().requests_in_flight);
        stub.counts().requests == 40
    })
    .await;
    assert!((2..=3).contains(&most), "{most} at once");
    for answer in flood {
        assert_eq!(answer.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn long_work_never_takes_the_last_worker() {
    let (_stub, gateway) = start(2, "").await;
    let mut long = Vec::new();
    for _ in 0..4 {
        long.push(leave_behind(&gateway, "/stub/slow?ms=60000").await);
    }
    wait_for("long work waits", DEADLINE, async || waiting(&gateway).await == 3).await;
    assert_eq!(held(&gateway).await, 1);
    for _ in 0..3 {
        let page = Request::get("globex.test", "/web/login").send(gateway.address()).await;
        assert_eq!(page.status, 200, "{}", page.text());
    }
}

#[tokio::test]
async fn who_is_too_much_is_told_when_to_come_again() {
    let (stub, gateway) = start(1, "").await;
    let served = leave_behind(&gateway, "/stub/slow?ms=60000").await;
    until_held(&gateway, 1).await;
    let mut queue = Vec::new();
    for _ in 0..128 {
        queue.push(leave_behind(&gateway, "/stub/echo").await);
    }
    until_waiting(&gateway, 128).await;
    let refused = Request::get("acme.test", "/stub/echo").send(gateway.address()).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("overloaded"), "{}", refused.text());
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=330).contains(&seconds), "{seconds}");
    let event = fleet::event_of(&gateway, &refused).await;
    assert_eq!((&event["rejection"], &event["reason"]), (&json!("overloaded"), &json!("tenant_queue")));
    assert_eq!(event["backend"], json!(null));
    drop((served, queue));
    until_waiting(&gateway, 0).await;
    assert_eq!(stub.counts().requests, 1, "no worker hears of those who left");
}

#[tokio::test]
async fn a_crawler_is_sent_away_after_a_moment() {
    let stub = StubOdoo::start(StubOptions::new("eu-1", fleet::DATABASES)).await.unwrap();
    let config = fleet::config(&[backend_with(&stub, 1)], "") + OBSERVE;
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    let _served = leave_behind(&gateway, "/stub/slow?ms=60000").await;
    until_held(&gateway, 1).await;
    let crawler = Request::get("globex.test", "/shop").header("User-Agent", "Examplebot/1.0");
    let refused = crawler.send(gateway.address()).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    let event = fleet::event_of(&gateway, &refused).await;
    assert_eq!(event["reason"], "expired");
    let shed = "fleetgate_admission_shed_total{class=\"page\",pool=\"main\",reason=\"expired\"} 1";
    let metrics = metrics(&gateway).await;
    assert!(metrics.lines().any(|line| line == shed), "{metrics}");
}

#[tokio::test]
async fn a_client_that_leaves_gives_up_its_place_in_the_queue_and_not_the_worker_that_works_for_it() {
    let (stub, gateway) = start(1, "").await;
    let first = leave_behind(&gateway, "/stub/slow?ms=3000").await;
    until_held(&gateway, 1).await;
    let second = leave_behind(&gateway, "/stub/echo?second").await;
    until_waiting(&gateway, 1).await;
    drop(second);
    until_waiting(&gateway, 0).await;
    drop(first);
    let log = gateway.access_log();
    log.event("the client left", DEADLINE, |event| event["path"] == "/stub/slow").await;
    assert_eq!((held(&gateway).await, stub.counts().requests_in_flight), (1, 1), "the worker does not know");
    let third = send(&gateway, Request::get("globex.test", "/stub/echo?third"));
    assert_eq!(third.await.unwrap().status, 200);
    let targets: Vec<String> = stub.received().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/stub/slow?ms=3000", "/stub/echo?third"]);
    until_held(&gateway, 0).await;
}

#[tokio::test]
async fn a_silent_worker_is_counted_busy_and_not_for_ever() {
    let (stub, gateway) = start(1, "http: { read_timeout: 3s }").await;
    let answer = slow("acme.test", 60_000).send(gateway.address()).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!((held(&gateway).await, stub.counts().requests_in_flight), (1, 1), "the worker may be at it");
    until_held(&gateway, 0).await;
    assert_eq!(Request::get("acme.test", "/stub/echo").send(gateway.address()).await.status, 200);
}

#[tokio::test]
async fn permits_come_back_from_servers_that_break_off_or_are_away() {
    let breaks = Script::start(|stream: tokio::net::TcpStream, _| async move {
        drop(stream);
        Ok(())
    })
    .await;
    let backend = format!("{{ http: \"{}\", workers: 1 }}", breaks.address());
    let gateway =
        Gateway::builder(&fleet::config(&[backend], "")).tenants("t.yaml", fleet::TENANTS).start().await;
    for _ in 0..5 {
        let answer = Request::post("acme.test", "/stub/echo", "x").send(gateway.address()).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
    drop(breaks);
    for _ in 0..5 {
        let answer = Request::get("acme.test", "/stub/echo").send(gateway.address()).await;
        assert!([502, 503].contains(&answer.status), "{}", answer.text());
    }
    until_held(&gateway, 0).await;
}

#[tokio::test]
async fn workers_that_a_reload_adds_serve_those_who_wait() {
    let (stub, gateway) = start(1, "").await;
    let first = leave_behind(&gateway, "/stub/slow?ms=60000").await;
    until_held(&gateway, 1).await;
    let waits = send(&gateway, Request::get("globex.test", "/stub/echo"));
    until_waiting(&gateway, 1).await;
    gateway.directory().write_config(&fleet::config(&[backend_with(&stub, 2)], ""));
    assert_eq!(waits.await.unwrap().status, 200);
    assert_eq!(admission(&gateway).await["workers"], 2);
    // A pool that says nothing about workers any more has no queue, and what it served ends as it began.
    gateway.directory().write_config(&fleet::config(&[fleetgate_tests::backend(&stub)], ""));
    wait_for("the queue is gone", DEADLINE, async || admission(&gateway).await.is_null()).await;
    assert_eq!(Request::get("globex.test", "/stub/echo").send(gateway.address()).await.status, 200);
    drop(first);
}

#[tokio::test]
async fn a_server_that_is_away_has_no_workers() {
    let stub = StubOdoo::start(StubOptions::new("eu-1", fleet::DATABASES)).await.unwrap();
    let gone = StubOdoo::start(StubOptions::new("eu-2", fleet::DATABASES)).await.unwrap();
    let backends = [backend_with(&stub, 2), backend_with(&gone, 3)];
    // Tenants whose first choice is the one, and tenants whose first choice is the other.
    let tenants = "- { id: \"{1}\", hosts: [\"*.many.test\"], database: \"{1}\" }\n";
    let gateway = Gateway::builder(&fleet::config(&backends, "")).tenants("t.yaml", tenants).start().await;
    assert_eq!(admission(&gateway).await["workers"], 5);
    gone.stop().await;
    let mut tenant = 0;
    wait_for("its workers do not count", DEADLINE, async || {
        tenant += 1;
        let host = format!("t{tenant}.many.test");
        assert_eq!(Request::get(&host, "/stub/echo").send(gateway.address()).await.status, 200);
        admission(&gateway).await["workers"] == 2
    })
    .await;
}

#[tokio::test]
async fn what_wkhtmltopdf_asks_for_passes_beside_the_queue() {
    let (stub, gateway) = start(1, "").await;
    let _printing = leave_behind(&gateway, "/stub/slow?ms=60000").await;
    until_held(&gateway, 1).await;
    let style = Request::get("acme.test", "/web/static/style.css");
    let waits = send(&gateway, style.clone());
    until_waiting(&gateway, 1).await;
    // It comes from the address of a backend, as Odoo's own program does.
    let printer =
        style.header("User-Agent", "Mozilla/5.0 (X11) AppleWebKit/534.34 wkhtmltopdf Safari/534.34");
    assert_eq!(printer.send(gateway.address()).await.status, 200);
    assert_eq!((stub.counts().requests, waiting(&gateway).await), (2, 1));
    waits.abort();
}

#[tokio::test]
async fn a_drain_serves_what_waits() {
    let (_stub, mut gateway) = start(1, "").await;
    let first = send(&gateway, slow("acme.test", 1_000));
    until_held(&gateway, 1).await;
    let waits =
        [send(&gateway, slow("acme.test", 1)), send(&gateway, Request::get("globex.test", "/stub/echo"))];
    until_waiting(&gateway, 2).await;
    gateway.signal(Signal::TERM);
    assert_eq!(first.await.unwrap().status, 200);
    for answer in waits {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert!(gateway.wait_exit(DEADLINE).await.success());
}

#[tokio::test]
async fn the_bus_needs_no_worker() {
    let (_stub, gateway) = start(1, "").await;
    let _served = leave_behind(&gateway, "/stub/slow?ms=60000").await;
    until_held(&gateway, 1).await;
    assert_eq!(fleet::raw_handshake(&gateway, "globex.test", "X-Test: 1").await, Some(101));
}

#[tokio::test]
async fn streamed_requests_take_a_worker_too() {
    let (stub, gateway) = start(1, "stream_paths: [/stub/upload]").await;
    let served = leave_behind(&gateway, "/stub/slow?ms=60000").await;
    until_held(&gateway, 1).await;
    let upload = send(&gateway, Request::post("globex.test", "/stub/upload", "x"));
    until_waiting(&gateway, 1).await;
    assert_eq!(stub.counts().requests, 1);
    upload.abort();
    drop(served);
    until_waiting(&gateway, 0).await;
}

#[tokio::test]
async fn metrics_and_people_see_the_queue() {
    let stub = StubOdoo::start(StubOptions::new("eu-1", fleet::DATABASES)).await.unwrap();
    let config = fleet::config(&[backend_with(&stub, 1)], "") + OBSERVE;
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    assert_eq!(Request::get("acme.test", "/stub/echo").send(gateway.address()).await.status, 200);
    let _served = leave_behind(&gateway, "/stub/slow?ms=60000").await;
    until_held(&gateway, 1).await;
    let _waits = leave_behind(&gateway, "/web/login").await;
    until_waiting(&gateway, 1).await;
    let metrics = metrics(&gateway).await;
    for line in [
        "fleetgate_admission_workers{pool=\"main\"} 1",
        "fleetgate_admission_held{pool=\"main\",work=\"interactive\"} 1",
        "fleetgate_admission_waiting{pool=\"main\",work=\"interactive\"} 1",
        "fleetgate_admission_wait_seconds_count{class=\"page\",pool=\"main\"} 2",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}\n{metrics}");
    }
    let told = self::told(&gateway, &["status"]).await;
    assert!(told.contains("1 of 1 workers busy, waiting: 1 interactive"), "{told}");
    let told = self::told(&gateway, &["explain", "http://acme.test/web"]).await;
    assert!(told.contains("interactive work for one of 1 workers, 1 of them busy"), "{told}");
}

#[tokio::test]
async fn some_backends_with_workers_and_some_without_are_a_mistake() {
    let stub = fleet::prefork("eu-1").await;
    let backends = [backend_with(&stub, 2), "{ http: \"127.0.0.1:1\" }".to_owned()];
    let builder = Gateway::builder(&fleet::config(&backends, "")).tenants("tenants.yaml", fleet::TENANTS);
    let checked = builder.cli(&["check", "--config", "fleetgate.yaml"]).await;
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(!checked.status.success() && said.contains("workers"), "{said}");
}
