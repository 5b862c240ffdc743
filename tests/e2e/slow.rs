//! Clients that are slow, as phones and attackers are: how far they get.

use std::time::Duration;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{DEADLINE, Gateway, RawConnection, backend, http_get, wait_for, ws_connect};
use tokio::time::interval;

use crate::fleet::{self, TENANTS, assert_status};

const GET: &str = "GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\n\r\n";
const CUT: &str = "fleetgate_connections_cut_total{reason=\"slow_reader\"}";
const OBSERVE: &str = "127.0.0.2:0";
/// Short clocks, for clients that are too slow.
const IMPATIENT: &str = "{ head_timeout: 1s, idle_timeout: 1s, patience: 1s, bytes_per_second_min: 100000 }";
/// A short clock for heads alone: a client on a busy machine may take a while to begin.
const HASTY: &str = "{ head_timeout: 1s, idle_timeout: 30s, patience: 8s, bytes_per_second_min: 500 }";
/// For clients that are slow and are served: no clock is shorter than a busy machine may be.
const PATIENT: &str = "{ head_timeout: 30s, idle_timeout: 30s, patience: 8s, bytes_per_second_min: 500 }";

async fn start(connections: &str) -> (StubOdoo, Gateway) {
    let stub = fleet::threaded("eu-1").await;
    let config = fleet::config(&[backend(&stub)], "");
    let config = format!("{config}connections: {connections}\nobserve: {{ address: \"{OBSERVE}\" }}\n");
    (stub, Gateway::builder(&config).tenants("tenants.yaml", TENANTS).start().await)
}

/// Sends a text a byte at a time, several a second, until it is through or nobody takes it any more.
async fn trickle(raw: &mut RawConnection, text: &str, every: Duration) {
    let mut ticks = interval(every);
    for byte in text.bytes() {
        ticks.tick().await;
        if raw.send([byte]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_head_that_trickles_is_answered_408_whether_it_is_the_first_or_not() {
    let (stub, gateway) = start(HASTY).await;
    let endless = format!("GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\nX: {}", "a".repeat(60));
    for first in [true, false] {
        let mut raw = RawConnection::open(gateway.address()).await.unwrap();
        if !first {
            raw.send(GET).await.unwrap();
            raw.read_until("}").await.unwrap();
            raw.forget();
        }
        trickle(&mut raw, &endless, Duration::from_millis(50)).await;
        let answer = raw.read_to_end().await.unwrap();
        assert_status(answer, 408, "a slow head");
        assert!(String::from_utf8_lossy(answer).contains("head_too_slow"));
    }
    assert_eq!(stub.received().len(), 1, "the request that was whole");
    let event = |event: &serde_json::Value| event["rejection"] == "head_too_slow";
    gateway.access_log().event("the slow head", DEADLINE, event).await;
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn connections_without_a_request_are_closed() {
    let (_stub, gateway) = start(IMPATIENT).await;
    let mut silent = RawConnection::open(gateway.address()).await.unwrap();
    assert!(silent.read_to_end().await.unwrap().is_empty());
    let mut kept = RawConnection::open(gateway.address()).await.unwrap();
    kept.send(GET).await.unwrap();
    assert_status(kept.read_to_end().await.unwrap(), 200, "a request, and no other");
}

#[tokio::test]
async fn a_body_that_trickles_is_answered_408_and_one_that_is_slow_arrives() {
    let post = |length: usize| {
        format!(
            "POST /stub/upload HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let (stub, gateway) = start(IMPATIENT).await;
    let mut raw = RawConnection::open(gateway.address()).await.unwrap();
    raw.send(post(1_000)).await.unwrap();
    trickle(&mut raw, &"a".repeat(60), Duration::from_millis(50)).await;
    let answer = raw.read_to_end().await.unwrap();
    assert_status(answer, 408, "a slow body");
    assert!(String::from_utf8_lossy(answer).contains("body_too_slow"));
    assert_eq!(stub.counts().connections, 0);

    let (stub, gateway) = start(PATIENT).await;
    let mut raw = RawConnection::open(gateway.address()).await.unwrap();
    raw.send(post(20_000)).await.unwrap();
    // Longer than patience alone.
    let mut ticks = interval(Duration::from_millis(500));
    for _ in 0..20 {
        ticks.tick().await;
        raw.send("a".repeat(1_000)).await.unwrap();
    }
    assert_status(raw.read_to_end().await.unwrap(), 200, "a slow and steady body");
    assert_eq!(fleet::only_request(&stub).body_bytes, 20_000);
}

async fn cuts(gateway: &Gateway) -> u64 {
    let text = http_get(gateway.listener(OBSERVE), "observe", "/metrics").await.text();
    text.lines().find_map(|line| line.strip_prefix(CUT)?.trim().parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_cut_and_who_reads_slowly_gets_all_of_it() {
    const BYTES: usize = 30_000_000;
    let request =
        format!("GET /stub/bytes?n={BYTES} HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n\r\n");
    let (_stub, gateway) = start(IMPATIENT).await;
    let mut stalled = RawConnection::open(gateway.address()).await.unwrap();
    stalled.send(&request).await.unwrap();
    wait_for("who does not read is cut", DEADLINE, async || cuts(&gateway).await == 1).await;
    // What is on the way is dropped: the connection is reset.
    assert!(stalled.read_to_end().await.is_err());

    let (_stub, gateway) = start(PATIENT).await;
    let mut slow = RawConnection::open(gateway.address()).await.unwrap();
    slow.send(&request).await.unwrap();
    let mut ticks = interval(Duration::from_millis(400));
    let mut read = 0;
    for _ in 0..25 {
        ticks.tick().await;
        read += slow.read_some().await.unwrap();
    }
    assert!(read > 0);
    let answer = slow.read_to_end().await.unwrap();
    assert_status(answer, 200, "a slow reader");
    assert!(answer.len() > BYTES);
    assert_eq!(cuts(&gateway).await, 0);
}

#[tokio::test]
async fn a_websocket_whose_client_does_not_read_is_cut() {
    let (_stub, gateway) = start(IMPATIENT).await;
    let mut socket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
    let text = "x".repeat(60_000);
    wait_for("who does not read is cut", DEADLINE, async || {
        // The stand-in Odoo sends back what it gets.
        let sent = tokio::time::timeout(Duration::from_millis(200), socket.send(&text)).await;
        !matches!(sent, Ok(Ok(()))) && cuts(&gateway).await == 1
    })
    .await;
}
