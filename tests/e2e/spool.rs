//! Bodies between a slow side and a fast one.

use std::time::Duration;

use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{
    Builder, DEADLINE, Frames, FramesOutcome, Gateway, RawConnection, Request, backend, http_get, wait_for,
};
use serde_json::json;

use crate::fleet;
use crate::script::{self, Script};
use tokio::io::AsyncWriteExt;

/// Where metrics are.
const OBSERVE: &str = "127.0.0.2:0";

/// More than the kernel keeps for a connection on loopback.
const LARGE: usize = 64 << 20;

/// Bytes that a slow client uploads, one at a time.
const ROUNDS: usize = 10;

async fn start(spool: &str) -> (StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let gateway = in_front_of(&backend(&stub), spool).start().await;
    (stub, gateway)
}

async fn on_disk(gateway: &Gateway) -> u64 {
    let text = http_get(gateway.listener(OBSERVE), "observe", "/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix("fleetgate_spool_bytes "));
    line.unwrap().parse().unwrap()
}

fn upload(bytes: usize) -> String {
    format!(
        "POST /stub/upload HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_worker_is_asked_when_the_request_is_whole() {
    let (stub, gateway) = start("").await;
    for (head, end) in [
        (upload(400_000), ""),
        (upload(0).replace("Content-Length: 0", "Transfer-Encoding: chunked") + "61A80\r\n", "\r\n0\r\n\r\n"),
    ] {
        stub.forget_received();
        let before = stub.counts().connections;
        let mut slow = RawConnection::open(gateway.address()).await.unwrap();
        slow.send(head).await.unwrap();
        slow.send(vec![b'a'; 399_999]).await.unwrap();
        let others = Request::get("globex.test", "/stub/echo").send(gateway.address()).await;
        assert_eq!(others.status, 200);
        assert_eq!(stub.counts().connections, before + 1, "only the other request is at Odoo");
        slow.send("a").await.unwrap();
        slow.send(end).await.unwrap();
        let answer = slow.read_to_end().await.unwrap().to_vec();
        fleet::assert_status(&answer, 200, "an upload");
        let received = stub.received();
        let upload = received.iter().find(|request| request.target.starts_with("/stub/upload")).unwrap();
        assert_eq!(upload.value("content-length"), Some("400000"), "a worker is told the length");
        assert_eq!(upload.value("transfer-encoding"), None);
        assert!(upload.complete);
        assert_eq!(on_disk(&gateway).await, 0);
    }
}

/// A backend that sends as fast as it can.
async fn generous() -> Script {
    answers_with(LARGE).await
}

/// The same, with answers of so many bytes.
async fn answers_with(bytes: usize) -> Script {
    Script::start(move |mut stream: tokio::net::TcpStream, _| async move {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&vec![b'x'; bytes]).await
    })
    .await
}

fn in_front_of(backend: &str, spool: &str) -> Builder {
    let observe = format!("observe: {{ address: \"{OBSERVE}\" }}\n");
    let config = fleet::config(&[backend.to_owned()], "") + &observe + spool;
    Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS)
}

async fn in_flight(gateway: &Gateway) -> serde_json::Value {
    gateway.admin("/v1/status").await["pools"][0]["backends"][0]["http_in_flight"].clone()
}

#[tokio::test]
async fn a_worker_is_free_when_it_has_answered_however_slow_the_client_reads() {
    let backend = generous().await;
    let gateway = in_front_of(&fleet::one_port(backend.address()), "").start().await;
    let mut slow = RawConnection::open(gateway.address()).await.unwrap();
    slow.send("GET /report/pdf/1 HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n\r\n").await.unwrap();
    wait_for("the answer is on disk", DEADLINE, async || on_disk(&gateway).await > 0).await;
    wait_for("the worker is free", DEADLINE, async || in_flight(&gateway).await == json!(0)).await;
    let answer = slow.read_to_end().await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(answer.len() - end, LARGE, "and the client gets all of it");
    wait_for("the disk is free", DEADLINE, async || on_disk(&gateway).await == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_answer_off_the_disk() {
    let backend = generous().await;
    let gateway = in_front_of(&fleet::one_port(backend.address()), "").start().await;
    let mut slow = RawConnection::open(gateway.address()).await.unwrap();
    slow.send("GET /report/pdf/1 HTTP/1.1\r\nHost: acme.test\r\n\r\n").await.unwrap();
    wait_for("the answer is on disk", DEADLINE, async || on_disk(&gateway).await > 0).await;
    drop(slow);
    wait_for("the disk is free", DEADLINE, async || on_disk(&gateway).await == 0).await;
}

#[tokio::test]
async fn without_disk_an_answer_waits_for_its_client_and_is_whole() {
    let backend = generous().await;
    let small = "spool: { memory_per_body: 64KiB, disk_max: 1MiB, disk_max_per_tenant: 1MiB }\n";
    let gateway = in_front_of(&fleet::one_port(backend.address()), small).start().await;
    let answer = Request::get("acme.test", "/report/pdf/1").send(gateway.address()).await;
    assert_eq!((answer.status, answer.body.len()), (200, LARGE));
}

#[tokio::test]
async fn many_bodies_at_once_hold_no_more_memory_than_all_may() {
    const BODIES: u64 = 300;
    const BYTES: usize = 240 << 10;
    let sent = BODIES * u64::try_from(BYTES - 1).unwrap();
    let bound = (2 << 20) + BODIES * 4096;
    let (stub, gateway) = start("spool: { memory_max: 2MiB }\n").await;
    let held = async || {
        let spool = gateway.admin("/v1/status").await["spool"].clone();
        (spool["memory_bytes"].as_u64().unwrap(), spool["disk_bytes"].as_u64().unwrap())
    };
    let connected = async |bytes: usize| {
        let mut clients = Vec::new();
        for _ in 0..BODIES {
            let mut client = RawConnection::open(gateway.address()).await.unwrap();
            client.send(upload(BYTES)).await.unwrap();
            client.send(vec![b'a'; bytes]).await.unwrap();
            clients.push(client);
        }
        wait_for("all that was sent is taken", DEADLINE, async || {
            let (memory, disk) = held().await;
            memory + disk == BODIES * u64::try_from(bytes).unwrap()
        })
        .await;
        clients
    };
    // Connections cost something by themselves.
    drop(connected(1).await);
    wait_for("nothing is held", DEADLINE, async || held().await == (0, 0)).await;
    let before = gateway.resident_kib();
    let mut clients = connected(BYTES - 1).await;
    wait_for("all bodies are taken", DEADLINE, async || {
        let (memory, disk) = held().await;
        memory + disk == sent
    })
    .await;
    let (memory, disk) = held().await;
    assert!(
        (1 << 20..=bound).contains(&memory) && disk >= sent - bound,
        "{memory} in memory, {disk} on disk"
    );
    assert_eq!(on_disk(&gateway).await, disk);
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < sent / 1024, "bodies of {sent} bytes cost {grown} KiB");
    let call = Request::post("globex.test", "/stub/upload", vec![b'b'; 4_000]).send(gateway.address()).await;
    assert_eq!(call.status, 200);
    assert_eq!(held().await.1, disk, "a small body needs no disk");
    for client in &mut clients {
        client.send("a").await.unwrap();
        fleet::assert_status(client.read_to_end().await.unwrap(), 200, "a body that was mostly on disk");
    }
    let bytes = u64::try_from(BYTES).unwrap();
    let whole = stub.received().into_iter().filter(|request| request.complete && request.body_bytes == bytes);
    assert_eq!(whole.count(), usize::try_from(BODIES).unwrap());
    wait_for("nothing is held", DEADLINE, async || held().await == (0, 0)).await;
}

#[tokio::test]
async fn many_answers_at_once_hold_no_more_memory_than_all_may_and_are_whole() {
    const CLIENTS: u64 = 40;
    const BYTES: usize = 2 << 20;
    let backend = answers_with(BYTES).await;
    let memory_max = "spool: { memory_max: 1MiB }\n";
    let gateway = in_front_of(&fleet::one_port(backend.address()), memory_max).start().await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = RawConnection::open(gateway.address()).await.unwrap();
        client
            .send("GET /report/pdf/1 HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        clients.push(client);
    }
    wait_for("all answers are taken", DEADLINE, async || in_flight(&gateway).await == json!(0)).await;
    let memory = gateway.admin("/v1/status").await["spool"]["memory_bytes"].as_u64().unwrap();
    assert!(memory <= (1 << 20) + CLIENTS * 4096, "{memory}");
    let refusals = http_get(gateway.listener(OBSERVE), "observe", "/metrics").await.text();
    assert!(!refusals.contains("fleetgate_spool_memory_full_total 0\n"), "{refusals}");
    for mut client in clients {
        let answer = client.read_to_end().await.unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(answer.len() - end, BYTES);
        assert!(answer[end..].iter().all(|byte| *byte == b'x'));
    }
    wait_for("nothing is held", DEADLINE, async || {
        gateway.admin("/v1/status").await["spool"]["memory_bytes"] == 0 && on_disk(&gateway).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_refuses_large_bodies_and_nothing_else() {
    let small = "spool: { memory_per_body: 64KiB, disk_max: 2MiB, disk_max_per_tenant: 1MiB }\n";
    let (stub, gateway) = start(small).await;
    let mut waiting = RawConnection::open(gateway.address()).await.unwrap();
    waiting.send(upload(1_000_000)).await.unwrap();
    waiting.send(vec![b'a'; 999_999]).await.unwrap();
    wait_for("a body waits on disk", DEADLINE, async || on_disk(&gateway).await > 800_000).await;
    let large = |host: &str| Request::post(host, "/stub/upload", vec![b'b'; 900_000]);
    let refused = large("acme.test").send(gateway.address()).await;
    assert_eq!((refused.status, refused.header("retry-after")), (507, Some("5")), "{}", refused.text());
    assert!(refused.text().contains("spool_full"), "{}", refused.text());
    let event = gateway.access_log().event("507", DEADLINE, |event| event["status"] == 507).await;
    assert_eq!((&event["rejection"], &event["backend"]), (&json!("spool_full"), &json!(null)));
    // Another tenant has its own share, and small bodies need none.
    assert_eq!(large("globex.test").send(gateway.address()).await.status, 200);
    let small = Request::post("acme.test", "/stub/upload", "small").send(gateway.address()).await;
    assert_eq!(small.status, 200);
    waiting.send("a").await.unwrap();
    fleet::assert_status(waiting.read_to_end().await.unwrap(), 200, "the body that waited");
    assert_eq!(large("acme.test").send(gateway.address()).await.status, 200, "and then there is space again");
    assert!(stub.received().iter().all(|request| request.complete));
}

#[tokio::test]
async fn what_a_backend_sends_bit_by_bit_arrives_bit_by_bit() {
    let backend = Script::start(|mut stream: tokio::net::TcpStream, _| async move {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n";
        stream.write_all(head.as_bytes()).await?;
        script::hold(stream).await
    })
    .await;
    let gateway = in_front_of(&fleet::one_port(backend.address()), "").start().await;
    let mut client = RawConnection::open(gateway.address()).await.unwrap();
    client.send("GET /events HTTP/1.1\r\nHost: acme.test\r\n\r\n").await.unwrap();
    client.read_until("data: 1\n\n").await.unwrap();
}

#[tokio::test]
async fn the_head_of_an_answer_does_not_wait_for_its_body() {
    for fields in [
        "Content-Type: text/event-stream\r\nConnection: close",
        "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked",
        "Content-Type: application/zip\r\nContent-Length: 100000",
    ] {
        let backend = Script::start(move |mut stream: tokio::net::TcpStream, _| async move {
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").as_bytes()).await?;
            script::hold(stream).await
        })
        .await;
        for pool in ["", "stream_paths: [/events]"] {
            let config = fleet::config(&[fleet::one_port(backend.address())], pool);
            let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
            let mut client = RawConnection::open(gateway.address()).await.unwrap();
            client.send("GET /events HTTP/1.1\r\nHost: acme.test\r\n\r\n").await.unwrap();
            let head =
                client.read_until("\r\n\r\n").await.unwrap_or_else(|error| panic!("{fields}: {error}"));
            assert!(head.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(head));
            let request =
                [(":method", "GET"), (":scheme", "http"), (":authority", "acme.test"), (":path", "/events")];
            let outcome = Frames::request(&request, &[]).outcome(gateway.address()).await;
            assert_eq!(outcome, FramesOutcome::Answered { ok: true }, "{fields} over HTTP/2");
        }
    }
}

#[tokio::test]
async fn a_gateway_without_a_place_for_bodies_does_not_start() {
    let stub = fleet::prefork("eu-1").await;
    let ended =
        in_front_of(&backend(&stub), "spool: { directory: /nonexistent/spool }\n").run_to_exit().await;
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("/nonexistent/spool") && said.contains("spool.directory"), "{said}");
}

#[tokio::test]
async fn configured_paths_stream_and_calls_never_do() {
    let stub = fleet::prefork("eu-1").await;
    let config = fleet::config(&[backend(&stub)], "stream_paths: [/stub/upload, /jsonrpc]");
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    let mut call = RawConnection::open(gateway.address()).await.unwrap();
    call.send(upload(10).replace("/stub/upload", "/jsonrpc")).await.unwrap();
    let mut slow = RawConnection::open(gateway.address()).await.unwrap();
    slow.send(upload(10) + "0").await.unwrap();
    wait_for("the upload is at Odoo", DEADLINE, async || stub.counts().requests == 1).await;
    slow.send("123456789").await.unwrap();
    fleet::assert_status(slow.read_to_end().await.unwrap(), 200, "a streamed upload");
    assert!(
        fleet::only_request(&stub).target.starts_with("/stub/upload"),
        "the call waits until it is whole"
    );
}

#[tokio::test]
async fn a_streamed_body_has_a_floor_too_and_gives_its_worker_back() {
    // A stand-in that waits for ever, as a server without a clock of its own would.
    let options = StubOptions {
        workers: Some(1),
        stall_max: DEADLINE * 10,
        ..StubOptions::new("eu-1", fleet::DATABASES)
    };
    let stub = StubOdoo::start(options).await.unwrap();
    let clocks = "connections: { patience: 1s, bytes_per_second_min: 2000 }\n";
    let config = fleet::config(&[backend(&stub)], "stream_paths: [/stub/upload]") + clocks;
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    let in_parts = |bytes: usize, parts: usize| {
        let parts = vec![vec![b'x'; bytes].into(); parts];
        Request::post("acme.test", "/stub/upload", "").body_in_parts(parts, Duration::from_millis(300))
    };
    for (slow, steady) in
        [(in_parts(1, 60), in_parts(1_000, 10)), (in_parts(1, 60).http2(), in_parts(1_000, 10).http2())]
    {
        let refused = slow.send(gateway.address()).await;
        assert_eq!(refused.status, 408, "{}", refused.text());
        assert!(refused.text().contains("body_too_slow"), "{}", refused.text());
        let page = Request::get("globex.test", "/web/login").send(gateway.address()).await;
        assert_eq!(page.status, 200, "the only worker is free");
        assert_eq!(steady.send(gateway.address()).await.status, 200, "a phone in a tunnel is no attacker");
    }
    let mut silent = RawConnection::open(gateway.address()).await.unwrap();
    silent.send(upload(10) + "0").await.unwrap();
    fleet::assert_status(silent.read_to_end().await.unwrap(), 408, "a client that stops");
    let frames = Frames::request(
        &[(":method", "POST"), (":scheme", "http"), (":authority", "acme.test"), (":path", "/stub/upload")],
        &[("0", false)],
    );
    assert_eq!(frames.outcome(gateway.address()).await, FramesOutcome::Answered { ok: false });
    let uploads =
        stub.received().into_iter().filter(|request| request.target == "/stub/upload" && request.complete);
    assert_eq!(uploads.count(), 2, "no part is taken for a whole");
}

#[tokio::test]
async fn a_streamed_body_that_waits_for_a_worker_loses_nothing() {
    let stub = fleet::prefork("eu-1").await;
    let backend =
        format!("{{ http: \"{}\", websocket: \"{}\", workers: 1 }}", stub.http_addr(), stub.gevent_addr());
    let config = fleet::config(&[backend], "stream_paths: [/stub/upload]");
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    let address = gateway.address();
    let busy = tokio::spawn(async move { http_get(address, "acme.test", "/stub/slow?ms=2000").await.status });
    wait_for("the worker is busy", DEADLINE, async || stub.counts().requests_in_flight == 1).await;
    let mut client = RawConnection::open(address).await.unwrap();
    client.send(upload(100_000) + "x").await.unwrap();
    let waiting = async || {
        let work = gateway.admin("/v1/status").await["pools"][0]["admission"]["work"].clone();
        work.as_array().unwrap().iter().map(|class| class["waiting"].as_u64().unwrap()).sum::<u64>()
    };
    wait_for("the upload waits", DEADLINE, async || waiting().await == 1).await;
    for _ in 0..9 {
        client.send(vec![b'x'; 11_111]).await.unwrap();
    }
    fleet::assert_status(client.read_to_end().await.unwrap(), 200, "an upload that waited");
    assert_eq!(busy.await.unwrap(), 200);
    let upload = stub.received().into_iter().find(|request| request.target == "/stub/upload").unwrap();
    assert_eq!((upload.body_bytes, upload.complete), (100_000, true));
}

#[tokio::test]
async fn a_streamed_body_has_its_limit_too() {
    let stub = fleet::prefork("eu-1").await;
    let pool = "stream_paths: [/stub/upload]\nguards: { body_size_max: { page: 100KiB } }";
    let config = fleet::config(&[backend(&stub)], pool);
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    let parts = |count: usize| vec![vec![b'x'; 10 << 10].into(); count];
    let request =
        |count| Request::post("acme.test", "/stub/upload", "").body_in_parts(parts(count), Duration::ZERO);
    for request in [request(10), request(10).http2()] {
        assert_eq!(request.send(gateway.address()).await.status, 200);
    }
    for request in [request(11), request(11).http2()] {
        let refused = request.send(gateway.address()).await;
        assert_eq!(refused.status, 413, "{}", refused.text());
        assert!(refused.text().contains("body_too_large"), "{}", refused.text());
    }
    assert_eq!(
        stub.received().iter().filter(|request| request.complete).count(),
        2,
        "no part is taken for a whole"
    );
}

#[tokio::test]
async fn twenty_clients_that_upload_a_byte_at_a_time_hold_no_worker() {
    // A worker that was given to one of them would not come back.
    let options = StubOptions {
        workers: Some(2),
        stall_max: DEADLINE * 10,
        ..StubOptions::new("eu-1", fleet::DATABASES)
    };
    let stub = StubOdoo::start(options).await.unwrap();
    let gateway = in_front_of(&backend(&stub), "").start().await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut client = RawConnection::open(gateway.address()).await.unwrap();
        client.send(upload(ROUNDS)).await.unwrap();
        slow.push(client);
    }
    for round in 1..=ROUNDS {
        for client in &mut slow {
            client.send("a").await.unwrap();
        }
        if round < ROUNDS {
            let page = Request::get("globex.test", "/web/login").send(gateway.address()).await;
            assert_eq!((page.status, page.database()), (200, Some("globex")), "a third person's page");
            let counts = stub.counts();
            assert_eq!(
                (counts.requests, counts.stalled),
                (u64::try_from(round).unwrap(), 0),
                "only pages are at Odoo"
            );
        }
    }
    for client in &mut slow {
        fleet::assert_status(client.read_to_end().await.unwrap(), 200, "an upload that took its time");
    }
    let uploads = stub.received().into_iter().filter(|request| request.target == "/stub/upload");
    assert_eq!(uploads.filter(|upload| upload.complete && upload.body_bytes == 10).count(), 20);
}
