//! What becomes of a request when a backend is away, slow, or lies.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fleetgate_stub::StubOdoo;
use fleetgate_stub::fault::{DeadPort, Fault, FaultyBackend, FullBacklog};
use fleetgate_tests::{
    Answer, Connection, DEADLINE, Gateway, RawConnection, Request, backend, raw_exchange, wait_for,
};
use futures_util::future::join_all;

use crate::fleet::{self, one_port};

/// As many tenants as there are labels, all with one database.
const ANYBODY: &str = "- { id: \"{1}\", hosts: [\"*.odoo.test\"], database: acme }\n";

/// The order in which backends would be asked for a host now.
async fn order(gateway: &Gateway, host: &str) -> Vec<SocketAddr> {
    let told = gateway.admin(&format!("/v1/explain?url=http://{host}/")).await;
    told["backends"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().parse().unwrap()).collect()
}

/// A host of a tenant that is served by one backend before all others.
async fn host_of(gateway: &Gateway, first: SocketAddr) -> String {
    for label in 0..200 {
        let host = format!("t{label}.odoo.test");
        if order(gateway, &host).await[0] == first {
            return host;
        }
    }
    panic!("no tenant of 200 has {first} as its first backend");
}

/// A gateway with two backends, a bad one and a good one, and a host whose tenant is on the bad one first.
async fn bad_first(bad: SocketAddr, pool: &str) -> (StubOdoo, Gateway, String) {
    let good = fleet::prefork("good").await;
    // One backend a tenant: else the other of a pair is first while this one still gives back its last place.
    let pool = format!("backends_per_tenant: 1\n{pool}");
    let config = fleet::config(&[one_port(bad), one_port(good.http_addr())], &pool);
    let gateway = Gateway::builder(&config).tenants("t.yaml", ANYBODY).start().await;
    let host = host_of(&gateway, bad).await;
    (good, gateway, host)
}

/// A gateway with a pool of one faulty backend for `bad.test` and a healthy pool for `acme.test`.
async fn beside_a_good_one(fault: Fault) -> (StubOdoo, FaultyBackend, Gateway) {
    let faulty = FaultyBackend::start(fault).await.unwrap();
    let good = fleet::threaded("good").await;
    let pool = |name: &str, backend: String| {
        format!(
            "  {name}:\n    odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    health: {{ enabled: false }}\n    \
             http: {{ read_timeout: 1s }}\n    websocket: {{ handshake_timeout: 1s }}\n    \
             regions: {{ eu: {{ backends: [ {backend} ] }} }}\n"
        )
    };
    let pools = pool("good", backend(&good)) + &pool("bad", one_port(faulty.address()));
    let config = format!("threads: 2\nregions: [ {{ name: eu }} ]\npools:\n{pools}");
    let tenants = "- { id: acme, hosts: [acme.test], pool: good }\n\
                   - { id: bad, hosts: [bad.test, also.bad.test], pool: bad }\n";
    let gateway = Gateway::builder(&config).tenants("t.yaml", tenants).start().await;
    (good, faulty, gateway)
}

fn versions(request: Request) -> [Request; 2] {
    [request.clone(), request.http2()]
}

/// Asserts an answer of the gateway's own.
fn assert_rejected(answer: &Answer, status: u16, code: &str, what: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{what} was answered: {text}");
    assert!(text.contains(&format!("[{code} ")), "{what} was answered: {text}");
}

/// Waits until no backend of any pool has a request.
async fn wait_until_idle(gateway: &Gateway) {
    wait_for("every place at a backend is given back", DEADLINE, async || {
        let status = gateway.admin("/v1/status").await;
        let pools = status["pools"].as_array().unwrap();
        let mut backends = pools.iter().flat_map(|pool| pool["backends"].as_array().unwrap());
        backends.all(|backend| backend["http_in_flight"] == 0 && backend["websocket_in_flight"] == 0)
    })
    .await;
}

#[tokio::test]
async fn a_tenant_stays_on_its_few_backends() {
    let stubs = join_all((0..5).map(async |at| fleet::threaded(&format!("eu-{at}")).await)).await;
    let mut backends: Vec<_> = stubs.iter().map(backend).collect();
    let gateway = Gateway::builder(&fleet::config(&backends, "")).tenants("t.yaml", ANYBODY).start().await;
    backends.reverse();
    let other_node = Gateway::builder(&fleet::config(&backends, "")).tenants("t.yaml", ANYBODY).start().await;
    let mut homes = std::collections::BTreeSet::new();
    for label in 0..10 {
        let host = format!("t{label}.odoo.test");
        wait_until_idle(&gateway).await;
        let order = order(&gateway, &host).await;
        assert_eq!(order, self::order(&other_node, &host).await, "every node agrees about {host}");
        let home = stubs.iter().find(|stub| stub.http_addr() == order[0]).unwrap();
        for _ in 0..3 {
            wait_until_idle(&gateway).await;
            let answer = Request::post(&host, "/stub/echo", "x").send(gateway.address()).await;
            assert_eq!(answer.server(), Some(home.name()), "{host} without anything else to do");
        }
        homes.insert(order[0]);
        let busy = join_all((0..8).map(|_| async {
            let answer = Request::get(&host, "/stub/slow?ms=150").send(gateway.address()).await;
            answer.server().map(str::to_owned)
        }));
        let served: std::collections::BTreeSet<_> = busy.await.into_iter().flatten().collect();
        let pair = order[..2]
            .iter()
            .map(|address| stubs.iter().find(|stub| stub.http_addr() == *address).unwrap().name().to_owned());
        assert_eq!(served, pair.collect(), "{host} at work uses both of its backends and no other");
    }
    assert!(homes.len() > 1, "tenants are spread");
    wait_until_idle(&gateway).await;
}

#[tokio::test]
async fn a_backend_that_is_away_costs_nobody_a_request() {
    for request in [
        Request::get("", "/stub/echo"),
        Request::post("", "/stub/upload", vec![b'p'; 300_000]),
        Request::new("PUT", "", "/stub/upload")
            .body_in_parts(vec![Bytes::from("a"), Bytes::from("b")], Duration::from_millis(1)),
    ] {
        for http2 in [false, true] {
            let dead = DeadPort::reserve().unwrap();
            let (good, gateway, host) = bad_first(dead.address(), "").await;
            let request = request.clone().at(&host);
            let request = if http2 { request.http2() } else { request };
            for _ in 0..4 {
                let answer = request.send(gateway.address()).await;
                assert_eq!((answer.status, answer.server()), (200, Some("good")), "{}", answer.text());
            }
            assert_eq!(good.counts().requests, 4);
            assert!(good.received().iter().all(|received| received.complete));
            let bad = gateway.admin("/v1/status").await["pools"][0]["backends"][0].clone();
            let seen = (&bad["connect_failures"], &bad["failing"]);
            assert_eq!(seen, (&1.into(), &true.into()), "asked once, then last for some seconds");
        }
    }
}

#[tokio::test]
async fn a_websocket_finds_the_backend_that_is_there() {
    let dead = DeadPort::reserve().unwrap();
    let good = fleet::threaded("good").await;
    let config = fleet::config(&[one_port(dead.address()), one_port(good.http_addr())], "");
    let gateway = Gateway::builder(&config).tenants("t.yaml", ANYBODY).start().await;
    let host = host_of(&gateway, dead.address()).await;
    let mut socket = fleetgate_tests::ws_connect(gateway.address(), &host, "/websocket", &[]).await;
    assert_eq!(socket.json().await["server"], "good");
}

#[tokio::test]
async fn a_backend_that_accepts_nothing_is_given_up_in_time() {
    let full = FullBacklog::start().await.unwrap();
    let (good, gateway, host) = bad_first(full.address(), "http: { connect_timeout: 200ms }").await;
    for request in versions(Request::post(&host, "/stub/upload", vec![b'p'; 100_000])) {
        let answer = request.send(gateway.address()).await;
        assert_eq!((answer.status, answer.json()["body_bytes"].as_u64()), (200, Some(100_000)));
    }
    assert_eq!(good.counts().requests, 2);
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_never_sent_twice() {
    for fault in [Fault::ResetAfterRequest, Fault::Garbage] {
        let faulty = FaultyBackend::start(fault).await.unwrap();
        let (good, gateway, host) = bad_first(faulty.address(), "").await;
        let mut sent = 0;
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            for request in versions(Request::new(method, &host, "/web/dataset/call_kw").body("once")) {
                let answer = request.send(gateway.address()).await;
                assert_eq!(answer.status, 502, "{method} with {fault:?}: {}", answer.text());
                assert!(answer.text().contains("check whether it was saved"), "{}", answer.text());
                sent += 1;
            }
        }
        assert_eq!(faulty.counts().connections, sent, "{fault:?}");
        assert_eq!(good.counts().connections, 0, "{fault:?}");
        for method in ["GET", "HEAD"] {
            for request in versions(Request::new(method, &host, "/stub/echo")) {
                let answer = request.send(gateway.address()).await;
                assert_eq!((answer.status, answer.server()), (200, Some("good")), "{method} with {fault:?}");
                sent += 1;
            }
        }
        assert_eq!((faulty.counts().connections, good.counts().requests), (sent, 4), "{fault:?}");
        wait_until_idle(&gateway).await;
    }
}

#[tokio::test]
async fn a_get_with_a_body_is_asked_again_whole() {
    for bytes in [10, 60_000, 300_000, 3_000_000] {
        let faulty = FaultyBackend::start(Fault::ResetAfterRequest).await.unwrap();
        let (good, gateway, host) = bad_first(faulty.address(), "").await;
        let body = noise(bytes);
        for request in versions(Request::get(&host, "/stub/upload").body(body.clone())) {
            let answer = request.send(gateway.address()).await;
            assert_eq!((answer.status, &answer.json()["body_hash"]), (200, &hash(&body).into()), "{bytes}");
        }
        assert!(good.received().iter().all(|received| received.complete), "{bytes} bytes");
        wait_until_idle(&gateway).await;
    }
}

#[tokio::test]
async fn a_kept_connection_that_went_stale_costs_no_get_and_is_never_given_a_post() {
    let (_good, faulty, gateway) = beside_a_good_one(Fault::StaleKeepAlive).await;
    let mut client = Connection::http1(gateway.address()).await.unwrap();
    for turn in 0..4 {
        // The first GET leaves a kept connection, the POST must not take it, and the second GET finds it stale.
        for method in ["GET", "POST", "GET"] {
            let answer = client.ask(&Request::new(method, "bad.test", "/")).await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "fresh"), "{method} {turn}");
        }
    }
    assert!(faulty.counts().bytes_beyond > 0, "connections were kept and went stale: {:?}", faulty.counts());
    let posts = faulty.request_lines().iter().filter(|line| line.starts_with("POST ")).count();
    assert_eq!(posts, 4, "each POST was the first request of its own connection, once");
}

#[tokio::test]
async fn a_silent_backend_is_waited_for_once() {
    for fault in [Fault::BlackHole, Fault::SlowHeaders { interval: Duration::from_secs(30) }] {
        let faulty = FaultyBackend::start(fault).await.unwrap();
        let (good, gateway, host) = bad_first(faulty.address(), "http: { read_timeout: 1s }").await;
        let requests = [Request::get(&host, "/"), Request::post(&host, "/", "x")].map(versions);
        let asked = requests.iter().flatten().map(|request| request.send(gateway.address()));
        for answer in join_all(asked).await {
            assert_rejected(&answer, 504, "backend_timeout", "a silent backend");
        }
        let asked = faulty.counts().requests + good.counts().requests;
        assert_eq!(asked, 4, "{fault:?}: a second backend would do the work twice");
        wait_until_idle(&gateway).await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client_too() {
    for fault in [Fault::HangMidBody, Fault::ContentLengthLies, Fault::BrokenChunks] {
        let (_good, faulty, gateway) = beside_a_good_one(fault).await;
        let requests =
            ["GET", "POST"].map(|method| versions(Request::new(method, "bad.test", "/").body("x")));
        let answers = requests.iter().flatten().map(|request| request.try_send(gateway.address()));
        for answer in join_all(answers).await {
            assert!(answer.is_err(), "what {fault:?} answers looks whole: {answer:?}");
        }
        assert_eq!(faulty.counts().requests, 4, "{fault:?}: the client has seen a part of the answer");
        fleet::still_serves(&gateway).await;
        wait_until_idle(&gateway).await;
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_502_and_spoils_no_connection() {
    for fault in [Fault::Garbage, Fault::HugeHeaders, Fault::SwitchesProtocolsUnasked] {
        let (_good, faulty, gateway) = beside_a_good_one(fault).await;
        let mut http1 = Connection::http1(gateway.address()).await.unwrap();
        let mut http2 = Connection::http2(gateway.address()).await.unwrap();
        for method in ["GET", "POST"] {
            for client in [&mut http1, &mut http2] {
                if client.is_closed() {
                    *client = Connection::http1(gateway.address()).await.unwrap();
                }
                let answer = client.ask(&Request::new(method, "bad.test", "/")).await.unwrap();
                assert_eq!(answer.status, 502, "{method} of {fault:?}: {}", answer.text());
                assert!(answer.text().contains("[backend_"), "{}", answer.text());
                if client.is_closed() {
                    continue;
                }
                // An answer after an error may close its connection; a request that gets through is served right.
                if let Ok(next) = client.ask(&Request::get("acme.test", "/stub/echo")).await {
                    assert_eq!((next.status, next.database()), (200, Some("acme")), "after {fault:?}");
                }
            }
        }
        let upgrade = "Connection: Upgrade\r\nUpgrade: raw\r\n\r\nraw bytes";
        let answer = fleet::raw_get(&gateway, "bad.test", "/", upgrade).await;
        fleet::assert_status(&answer, 502, "an upgrade that was asked for by the client alone");
        let refused =
            fleetgate_tests::Websocket::try_open(gateway.address(), "bad.test", "/websocket", &[]).await;
        assert_eq!(refused.unwrap().unwrap_err().status, 502, "{fault:?}");
        assert_eq!(faulty.counts().bytes_beyond, 0, "nothing of a client is taken for another protocol");
        fleet::still_serves(&gateway).await;
        wait_until_idle(&gateway).await;
    }
}

#[tokio::test]
async fn a_second_answer_reaches_nobody() {
    let (_good, faulty, gateway) = beside_a_good_one(Fault::TwoResponses).await;
    let mut first = Connection::http1(gateway.address()).await.unwrap();
    let mut second = Connection::http2(gateway.address()).await.unwrap();
    for turn in 0..12 {
        for (client, host) in [(&mut first, "bad.test"), (&mut second, "also.bad.test")] {
            let method = if turn % 3 == 0 { "POST" } else { "GET" };
            let answer = client.ask(&Request::new(method, host, "/")).await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "first"), "{turn}: {method} of {host}");
            let other = client.ask(&Request::get("acme.test", "/stub/echo")).await.unwrap();
            assert_eq!((other.status, other.database()), (200, Some("acme")), "{turn}");
        }
    }
    assert_eq!(faulty.counts().requests, 24);
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_arrives() {
    let (_good, faulty, gateway) = beside_a_good_one(Fault::AnswersBeforeBody).await;
    for turn in 0..4 {
        for request in versions(Request::post("bad.test", "/", vec![b'u'; 3 << 20])) {
            let answer = request.send(gateway.address()).await;
            assert_eq!((answer.status, answer.text().as_str()), (413, "large"), "{turn}: {request:.40?}");
        }
    }
    assert_eq!(faulty.counts().requests, 8);
    fleet::still_serves(&gateway).await;
    wait_until_idle(&gateway).await;
}

#[tokio::test]
async fn when_every_backend_is_away_the_client_is_told_when_to_come_back() {
    let dead = [DeadPort::reserve(), DeadPort::reserve(), DeadPort::reserve(), DeadPort::reserve()];
    let dead = dead.map(Result::unwrap);
    let backends: Vec<_> = dead.iter().map(|port| one_port(port.address())).collect();
    let gateway = Gateway::builder(&fleet::config(&backends, "")).tenants("t.yaml", ANYBODY).start().await;
    let host = "t1.odoo.test";
    for request in [
        Request::get(host, "/odoo").header("Accept", "text/html"),
        Request::post(host, "/web/dataset/call_kw", vec![b'u'; 3 << 20]),
        Request::get(host, "/websocket"),
    ] {
        for request in versions(request) {
            let answer = request.send(gateway.address()).await;
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
            assert!(answer.text().contains("backend_unreachable"), "{}", answer.text());
        }
    }
    let socket = fleetgate_tests::Websocket::try_open(gateway.address(), host, "/websocket", &[]).await;
    let refused = socket.unwrap().unwrap_err();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    let waiting =
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nwhole");
    let answer = raw_exchange(gateway.address(), waiting).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"), "{}", answer.escape_ascii());
    assert!(answer.windows(13).any(|part| part == b"HTTP/1.1 503 "), "{}", answer.escape_ascii());
    let event = gateway.access_log().event("a rejection", DEADLINE, |event| event["status"] == 503).await;
    assert_eq!((&event["rejection"], &event["attempts"]), (&"backend_unreachable".into(), &3.into()));
    wait_until_idle(&gateway).await;
}

#[tokio::test]
async fn a_backend_that_comes_back_is_asked_again() {
    let dead = DeadPort::reserve().unwrap();
    let address = dead.address();
    let backends = [one_port(address)];
    let gateway = Gateway::builder(&fleet::config(&backends, "")).tenants("t.yaml", ANYBODY).start().await;
    let request = Request::get("t1.odoo.test", "/stub/echo");
    assert_eq!(request.send(gateway.address()).await.status, 503);
    drop(dead);
    let options = fleetgate_stub::StubOptions::new("back", fleet::DATABASES);
    let _stub = StubOdoo::start(fleetgate_stub::StubOptions { http: address, ..options }).await.unwrap();
    let answer = request.send(gateway.address()).await;
    assert_eq!(
        (answer.status, answer.server()),
        (200, Some("back")),
        "a guess about a backend refuses nobody"
    );
}

/// So many bytes that no part of them is like another.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// FNV-1a, as the stand-in computes it over what arrived.
fn hash(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

const LARGE: usize = 20 * 1024 * 1024 + 7;

#[tokio::test]
async fn large_uploads_arrive_byte_for_byte() {
    let body = Bytes::from(noise(LARGE));
    let expected = (200, Some(20_971_527), hash(&body));
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        let parts: Vec<_> = body.chunks(1_000_003).map(Bytes::copy_from_slice).collect();
        for request in [
            Request::post("acme.test", "/stub/upload", body.clone()),
            Request::new("POST", "acme.test", "/stub/upload").body_in_parts(parts, Duration::ZERO),
        ] {
            for request in versions(request) {
                let answer = request.send(gateway.address()).await;
                let echo = answer.json();
                let arrived = echo["body_hash"].as_str().unwrap_or_default().to_owned();
                assert_eq!((answer.status, echo["body_bytes"].as_u64(), arrived), expected);
            }
        }
    }
}

#[tokio::test]
async fn large_downloads_arrive_byte_for_byte() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        for request in versions(Request::get("acme.test", &format!("/stub/bytes?n={LARGE}"))) {
            let answer = request.send(gateway.address()).await;
            assert_eq!((answer.status, answer.body.len()), (200, LARGE));
            assert!(answer.body.iter().all(|byte| *byte == b'x'));
        }
        for request in versions(Request::get("acme.test", "/stub/drip?parts=50&every_ms=0")) {
            let answer = request.send(gateway.address()).await;
            let lines: String = (1..=50).map(|part| format!("part {part}\n")).collect();
            assert_eq!((answer.status, answer.text()), (200, lines));
        }
    }
}

#[tokio::test]
async fn parts_of_an_answer_arrive_as_they_are_made() {
    let (_stub, gateway) = fleet::start().await;
    let mut raw = RawConnection::open(gateway.address()).await.unwrap();
    raw.send("GET /stub/drip?parts=2&every_ms=60000 HTTP/1.1\r\nHost: acme.test\r\n\r\n").await.unwrap();
    raw.read_until("\r\n\r\n").await.unwrap();
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_from_odoo() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        let head = |host: &str| {
            format!(
                "POST /stub/upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            )
        };
        let mut raw = RawConnection::open(gateway.address()).await.unwrap();
        raw.send(head("acme.test")).await.unwrap();
        let interim = raw.read_until("\r\n\r\n").await.unwrap();
        assert!(interim.starts_with(b"HTTP/1.1 100 Continue\r\n"), "{}", String::from_utf8_lossy(interim));
        raw.forget();
        raw.send("hello").await.unwrap();
        let answer = raw.read_until("\"body_bytes\":5").await.unwrap();
        assert_eq!(fleet::status(answer), Some(200));

        let mut raw = RawConnection::open(gateway.address()).await.unwrap();
        raw.send(head("unknown.test")).await.unwrap();
        let refused = raw.read_to_end().await.unwrap();
        fleet::assert_status(refused, 421, "a refused client need not send its body");
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let (stub, gateway) = fleet::start().await;
    let mut raw = RawConnection::open(gateway.address()).await.unwrap();
    raw.send("POST /stub/upload HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 50\r\n\r\nhalf")
        .await
        .unwrap();
    drop(raw);
    gateway.access_log().event("half a request", DEADLINE, |event| event["path"] == "/stub/upload").await;
    assert_eq!(stub.counts().connections, 0, "half a request is not made a whole one");
    let mut raw = RawConnection::open(gateway.address()).await.unwrap();
    raw.send("GET /stub/slow?ms=600000 HTTP/1.1\r\nHost: acme.test\r\n\r\n").await.unwrap();
    wait_for("the backend is at work", DEADLINE, async || stub.counts().requests == 1).await;
    drop(raw);
    wait_until_idle(&gateway).await;
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn a_client_that_sends_its_next_request_early_gets_its_answer() {
    let (stub, gateway) = fleet::start().await;
    let mut raw = RawConnection::open(gateway.address()).await.unwrap();
    raw.send("POST /stub/slow?ms=300 HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 1\r\n\r\nx")
        .await
        .unwrap();
    wait_for("the backend is at work", DEADLINE, async || stub.counts().requests_in_flight == 1).await;
    raw.send("GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\n\r\n").await.unwrap();
    let answer = raw.read_to_end().await.unwrap();
    fleet::assert_status(answer, 200, "the first of two requests");
    assert_eq!(stub.counts().requests, 1, "the second was not begun, so it can be sent again");
}
