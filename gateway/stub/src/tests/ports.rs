use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, ask, fleet, get, send, wait_for};
use crate::{Port, StubOdoo, StubOptions};

#[tokio::test]
async fn prefork_answers_one_request_in_http_1_0_and_closes() {
    let stub = fleet().await;
    let two = "GET /web/health HTTP/1.1\r\nHost: acme\r\n\r\n".repeat(2);
    let text = send(stub.http_addr(), &two).await;
    assert!(text.starts_with("HTTP/1.0 200 OK\r\n"), "{text}");
    assert_eq!(text.matches("HTTP/1.0").count(), 1);
    assert!(text.contains("Connection: close\r\n"));
    assert_eq!(stub.counts().requests, 1);
}

#[tokio::test]
async fn threaded_serves_several_requests_on_one_connection() {
    let stub = StubOdoo::start(StubOptions::new("eu", ["acme"]).threaded()).await.unwrap();
    let two = "GET /web/health HTTP/1.1\r\nHost: acme\r\n\r\nGET / HTTP/1.1\r\nHost: acme\r\nConnection: close\r\n\r\n";
    let text = send(stub.http_addr(), two).await;
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert_eq!((stub.counts().connections, stub.counts().requests), (1, 2));
}

#[tokio::test]
async fn received_keeps_order_case_and_duplicates_of_headers() {
    let stub = fleet().await;
    let headers = "HOST: acme\r\nX-Two: b\r\nx-one: 1\r\nX-Two: a\r\n";
    let answer = ask(stub.http_addr(), "POST", "/stub/echo?q=%2F", headers, "hello").await;
    let received = stub.received();
    assert_eq!(received.len(), 1);
    let received = &received[0];
    assert_eq!((received.port, received.method.as_str()), (Port::Http, "POST"));
    assert_eq!(received.target, "/stub/echo?q=%2F");
    let names: Vec<&str> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Connection", "Content-Length", "HOST", "X-Two", "x-one", "X-Two"]);
    assert_eq!(received.values("x-two"), ["b", "a"]);
    assert_eq!((received.body_bytes, &received.body_start[..], received.complete), (5, &b"hello"[..], true));
    assert_eq!(answer.json()["headers"][2], serde_json::json!(["HOST", "acme"]));
    assert_eq!(answer.json()["body_bytes"], 5);
}

#[tokio::test]
async fn ports_name_themselves_in_their_answers() {
    let stub = fleet().await;
    for (address, port) in [(stub.http_addr(), "http"), (stub.gevent_addr(), "gevent")] {
        let answer = ask(address, "GET", "/web/health", "Host: acme\r\n", "").await;
        assert_eq!(answer.value("X-Stub-Port"), Some(port));
        assert_eq!(answer.value("X-Stub-Server"), Some("eu"));
    }
}

#[tokio::test]
async fn requests_beyond_the_workers_wait_for_their_turn() {
    let options = StubOptions { workers: Some(1), ..StubOptions::new("eu", ["acme"]) };
    let stub = StubOdoo::start(options).await.unwrap();
    let address = stub.http_addr();
    let slow = tokio::spawn(async move { ask(address, "GET", "/stub/slow?ms=300", "Host: a\r\n", "").await });
    wait_for("the slow request arrives", || stub.counts().requests == 1).await;
    let second = tokio::spawn(async move { ask(address, "GET", "/web/health", "Host: a\r\n", "").await });
    wait_for("the second connection arrives", || stub.counts().connections_open == 2).await;
    assert_eq!(stub.counts().requests, 1, "the only worker is busy");
    assert_eq!((slow.await.unwrap().status, second.await.unwrap().status), (200, 200));
}

#[tokio::test]
async fn prefork_drops_a_client_that_stalls_in_its_body() {
    let options = StubOptions { stall_max: Duration::from_millis(50), ..StubOptions::new("eu", ["acme"]) };
    let stub = StubOdoo::start(options).await.unwrap();
    let text = send(stub.http_addr(), "POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: 9\r\n\r\nhalf").await;
    assert_eq!(text, "");
    wait_for("the stall is counted", || stub.counts().stalled == 1).await;
    assert!(!stub.received()[0].complete);
}

#[tokio::test]
async fn ambiguous_framing_is_answered_400_and_counted() {
    let stub = fleet().await;
    let smuggled =
        "POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(send(stub.http_addr(), smuggled).await.starts_with("HTTP/1.0 400"));
    assert!(send(stub.http_addr(), "\x16\x03\x01 hello\r\n\r\n").await.starts_with("HTTP/1.0 400"));
    assert_eq!(stub.counts().malformed, 2);
}

#[tokio::test]
async fn static_file_is_cacheable_and_revalidates() {
    let stub = fleet().await;
    let answer = get(&stub, "acme", "/web/static/x.css").await;
    assert_eq!(answer.value("Cache-Control"), Some("public, max-age=604800"));
    let tag = answer.value("ETag").unwrap();
    let headers = format!("Host: acme\r\nIf-None-Match: {tag}\r\n");
    let again = ask(stub.http_addr(), "GET", "/web/static/x.css", &headers, "").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
}

#[tokio::test]
async fn workbench_sizes_statuses_and_chunks_are_as_asked() {
    let stub = StubOdoo::start(StubOptions::new("eu", ["acme"]).threaded()).await.unwrap();
    assert_eq!(get(&stub, "acme", "/stub/bytes?n=200000").await.body.len(), 200_000);
    let teapot = get(&stub, "acme", "/stub/status?code=418&header=X-Tea:%20green").await;
    assert_eq!((teapot.status, teapot.value("X-Tea")), (418, Some("green")));
    let drip = get(&stub, "acme", "/stub/drip?parts=2&every_ms=1").await;
    assert_eq!(drip.body, "7\r\npart 1\n\r\n7\r\npart 2\n\r\n0\r\n\r\n");
    let headers = "Host: acme\r\n";
    let head = ask(stub.http_addr(), "HEAD", "/stub/bytes?n=9", headers, "").await;
    assert_eq!((head.value("Content-Length"), head.body.as_str()), (Some("9"), ""));
}

#[tokio::test]
async fn stop_ends_idle_connections_and_frees_the_ports() {
    let stub = StubOdoo::start(StubOptions::new("eu", ["acme"]).threaded()).await.unwrap();
    let mut idle = TcpStream::connect(stub.http_addr()).await.unwrap();
    idle.write_all(b"GET /web/health HTTP/1.1\r\nHost: acme\r\n\r\n").await.unwrap();
    wait_for("the request is served", || {
        stub.counts().requests == 1 && stub.counts().requests_in_flight == 0
    })
    .await;
    let options = StubOptions {
        http: stub.http_addr(),
        gevent: stub.gevent_addr(),
        ..StubOptions::new("eu2", ["acme"])
    };
    stub.stop().await;
    let mut text = String::new();
    idle.read_to_string(&mut text).await.unwrap();
    assert_eq!(Answer::parse(&text).status, 200);
    let again = StubOdoo::start(options).await.unwrap();
    assert_eq!(get(&again, "acme", "/").await.value("X-Stub-Server"), Some("eu2"));
}

#[tokio::test]
async fn an_answer_repeats_the_mark_of_its_request_and_what_was_received_is_taken_once() {
    let stub = fleet().await;
    let marked = ask(stub.http_addr(), "GET", "/", "Host: acme.test\r\nX-Stub-Mark: one\r\n", "").await;
    assert_eq!(marked.values("X-Stub-Mark"), ["one"]);
    assert_eq!(get(&stub, "acme.test", "/").await.value("X-Stub-Mark"), None);
    let taken = stub.take_received();
    assert_eq!(
        taken.iter().map(|request| request.value("x-stub-mark")).collect::<Vec<_>>(),
        [Some("one"), None]
    );
    assert!(stub.take_received().is_empty());
}
