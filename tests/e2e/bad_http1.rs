//! The corpus of HTTP/1 that no honest client writes: every vector is refused, and nothing of it reaches Odoo.

use std::collections::BTreeSet;
use std::time::Duration;

use fleetgate_tests::{DEADLINE, Http1Outcome, Request, bad_http1, odd_http1, wait_for};
use serde_json::Value;

use crate::fleet;

/// For an answer and the end of the connection. The gateway lingers for two seconds while a refused client sends.
const PATIENCE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn every_bad_vector_is_refused_with_its_status_and_nothing_of_it_reaches_odoo() {
    let (stub, gateway) = fleet::start().await;
    let vectors = bad_http1("acme.test");
    let names: BTreeSet<&str> = vectors.iter().map(|vector| vector.name.as_str()).collect();
    assert_eq!(names.len(), vectors.len(), "two vectors have one name");
    assert!(vectors.len() >= 180, "{}", vectors.len());
    let mut wrong = Vec::new();
    for batch in vectors.chunks(32) {
        let sent = batch.iter().map(|vector| vector.send(gateway.address(), PATIENCE));
        for (vector, outcome) in batch.iter().zip(futures_util::future::join_all(sent).await) {
            let outcome = outcome.unwrap();
            if outcome != (Http1Outcome::Answered { status: vector.status, closed: true }) {
                wrong.push(format!("{}: {outcome:?}, not {}", vector.name, vector.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(stub.counts().requests, 0, "{:#?}", stub.received());
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn every_refusal_has_its_count_and_its_event_with_a_reason() {
    let (_stub, gateway) = fleet::start().await;
    let vectors = bad_http1("acme.test");
    for vector in &vectors {
        vector.send(gateway.address(), Duration::from_millis(200)).await.unwrap();
    }
    let refused = |event: &Value| event["rejection"].is_string();
    let events = || gateway.access_log().events().into_iter().filter(refused).collect::<Vec<_>>();
    wait_for("an event for each vector", DEADLINE, async || events().len() == vectors.len()).await;
    for event in events() {
        let statuses = (event["status"].as_u64(), event["rejection"].as_str());
        match statuses {
            (Some(400), Some("bad_request")) => assert!(event["reason"].is_string(), "{event}"),
            (Some(400), Some("bad_host")) => {}
            (Some(405 | 411 | 413 | 414 | 417 | 431), Some(_)) => {}
            _ => panic!("{event}"),
        }
        assert!(!event.to_string().contains("evil"), "raw bytes are logged: {event}");
    }
}

#[tokio::test]
async fn what_is_odd_but_legal_is_served_once() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        for vector in odd_http1("acme.test") {
            let outcome = vector.send(gateway.address(), DEADLINE).await.unwrap();
            assert_eq!(outcome, Http1Outcome::Answered { status: 200, closed: true }, "{}", vector.name);
            let received = fleet::only_request(&stub);
            assert!(received.complete && received.target.starts_with("/stub/echo"), "{}", vector.name);
            assert_eq!(received.values("x-odoo-dbfilter"), ["^acme$"], "{}", vector.name);
        }
    }
}

#[tokio::test]
async fn a_refused_head_that_comes_byte_by_byte_is_refused_all_the_same() {
    let (stub, gateway) = fleet::start().await;
    for vector in bad_http1("acme.test").into_iter().filter(|vector| vector.bytes.len() < 200).step_by(5) {
        let mut raw = fleetgate_tests::RawConnection::open(gateway.address()).await.unwrap();
        for byte in &vector.bytes {
            if raw.send([*byte]).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let answer = raw.read_to_end().await.unwrap();
        fleet::assert_status(answer, vector.status, &vector.name);
    }
    assert_eq!(stub.counts().requests, 0, "{:#?}", stub.received());
}

#[tokio::test]
async fn a_connection_serves_request_after_request_and_ends_with_a_bad_one() {
    let (stub, gateway) = fleet::start().await;
    let mut raw = fleetgate_tests::RawConnection::open(gateway.address()).await.unwrap();
    for at in 0..20 {
        let request = match at % 3 {
            0 => "GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\n\r\n".to_owned(),
            1 => "POST /stub/echo HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
            _ => format!(
                "POST /stub/echo HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                "5\r\nhello\r\n0\r\n\r\n"
            ),
        };
        raw.send(request).await.unwrap();
        raw.read_until("body_start").await.unwrap();
        wait_for("the request", DEADLINE, async || stub.received().len() == at + 1).await;
        raw.forget();
    }
    raw.send("GET /stub/echo HTTP/1.1\nHost: acme.test\n\n").await.unwrap();
    let answer = String::from_utf8_lossy(raw.read_to_end().await.unwrap()).into_owned();
    assert!(answer.contains("HTTP/1.1 400 "), "{answer}");
    assert_eq!(stub.received().len(), 20);
    let answer = Request::get("acme.test", "/stub/echo").send(gateway.address()).await;
    assert_eq!(answer.status, 200);
}
