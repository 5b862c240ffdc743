use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{DEADLINE, wait_for};
use crate::fault::{DeadPort, Fault, FaultyBackend, FullBacklog};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

async fn sent(backend: &FaultyBackend, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(backend.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// What comes until the server closes or resets.
async fn rest(stream: &mut TcpStream) -> (String, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.unwrap();
    (String::from_utf8_lossy(&bytes).into_owned(), read.err().map(|error| error.kind()))
}

async fn answer_of(fault: Fault, request: &str) -> (String, Option<ErrorKind>, FaultyBackend) {
    let backend = FaultyBackend::start(fault).await.unwrap();
    let (text, error) = rest(&mut sent(&backend, request).await).await;
    (text, error, backend)
}

/// Reads until the answer contains a text.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut part = [0; 4096];
        let read = tokio::time::timeout(DEADLINE, stream.read(&mut part)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&part[..read]).unwrap());
    }
    text
}

#[tokio::test]
async fn dead_port_refuses() {
    let dead = DeadPort::reserve().unwrap();
    let refused = TcpStream::connect(dead.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn full_backlog_neither_accepts_nor_refuses() {
    let full = FullBacklog::start().await.unwrap();
    let attempt = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(full.address())).await;
    assert!(attempt.is_err(), "{attempt:?}");
}

#[tokio::test]
async fn reset_on_accept_reads_nothing() {
    let backend = FaultyBackend::start(Fault::ResetOnAccept).await.unwrap();
    let mut stream = TcpStream::connect(backend.address()).await.unwrap();
    assert_eq!(rest(&mut stream).await, (String::new(), Some(ErrorKind::ConnectionReset)));
    assert_eq!((backend.counts().connections, backend.counts().requests), (1, 0));
}

#[tokio::test]
async fn reset_after_request_has_read_it() {
    let (text, error, backend) = answer_of(Fault::ResetAfterRequest, POST).await;
    assert_eq!((text.as_str(), error), ("", Some(ErrorKind::ConnectionReset)));
    assert_eq!(backend.request_lines(), ["POST /x HTTP/1.1"]);
}

#[tokio::test]
async fn black_hole_reads_and_says_nothing() {
    let backend = FaultyBackend::start(Fault::BlackHole).await.unwrap();
    let mut stream = sent(&backend, POST).await;
    wait_for("the request is read", || backend.counts().requests == 1).await;
    let mut byte = [0];
    assert!(tokio::time::timeout(Duration::from_millis(50), stream.read(&mut byte)).await.is_err());
    drop(stream);
    wait_for("the client leaves", || backend.counts().connections_open == 0).await;
}

#[tokio::test]
async fn slow_head_comes_byte_by_byte_without_end() {
    let backend =
        FaultyBackend::start(Fault::SlowHeaders { interval: Duration::from_millis(1) }).await.unwrap();
    let text = read_until(&mut sent(&backend, GET).await, "X-Slow: aaa").await;
    assert!(!text.contains("\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn liars_send_what_they_say_they_send() {
    let (text, error, _) = answer_of(Fault::Garbage, GET).await;
    assert!(error.is_none() && !text.contains("HTTP/1"), "{text}");
    let (text, error, _) = answer_of(Fault::ContentLengthLies, GET).await;
    assert!(error.is_none() && text.ends_with("Content-Length: 100\r\n\r\n0123456789"), "{text}");
    let (text, error, _) = answer_of(Fault::BrokenChunks, GET).await;
    assert!(error.is_none() && text.contains("\r\nZZZ\r\n"), "{text}");
    let (text, error, _) = answer_of(Fault::HugeHeaders, GET).await;
    assert!(error.is_none() && text.len() > 2 * 1024 * 1024, "{}", text.len());
}

#[tokio::test]
async fn hanging_body_stays_open_until_the_client_leaves() {
    let backend = FaultyBackend::start(Fault::HangMidBody).await.unwrap();
    let mut stream = sent(&backend, GET).await;
    assert!(read_until(&mut stream, "\r\n\r\n0123456789").await.contains("Content-Length: 1000"));
    assert_eq!(backend.counts().connections_open, 1);
    drop(stream);
    wait_for("the client leaves", || backend.counts().connections_open == 0).await;
}

#[tokio::test]
async fn early_answer_comes_before_the_body_is_sent() {
    let backend = FaultyBackend::start(Fault::AnswersBeforeBody).await.unwrap();
    let mut stream = sent(&backend, "POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\n").await;
    assert!(rest(&mut stream).await.0.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn unasked_switch_counts_what_follows() {
    let backend = FaultyBackend::start(Fault::SwitchesProtocolsUnasked).await.unwrap();
    let mut stream = sent(&backend, GET).await;
    assert!(read_until(&mut stream, "raw bytes").await.starts_with("HTTP/1.1 101 "));
    stream.write_all(b"hello").await.unwrap();
    wait_for("the bytes arrive", || backend.counts().bytes_beyond == 5).await;
}

#[tokio::test]
async fn second_answer_follows_the_first_on_a_kept_connection() {
    let backend = FaultyBackend::start(Fault::TwoResponses).await.unwrap();
    let mut stream = sent(&backend, GET).await;
    let text = read_until(&mut stream, "smuggled").await;
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2);
    stream.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut stream, "smuggled").await;
    assert_eq!((backend.counts().connections, backend.counts().requests), (1, 2));
}

#[tokio::test]
async fn stale_connection_closes_on_the_second_request_and_counts_it() {
    let backend = FaultyBackend::start(Fault::StaleKeepAlive).await.unwrap();
    let mut stream = sent(&backend, GET).await;
    read_until(&mut stream, "fresh").await;
    stream.write_all(POST.as_bytes()).await.unwrap();
    assert_eq!(rest(&mut stream).await, (String::new(), None));
    let beyond = u64::try_from(POST.len()).unwrap();
    assert_eq!((backend.counts().requests, backend.counts().bytes_beyond), (1, beyond));
}
