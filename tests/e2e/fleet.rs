//! A gateway in front of stand-in Odoo servers, put together in a line or two.

use std::net::SocketAddr;

use fleetgate_stub::{Received, StubOdoo, StubOptions};
use fleetgate_tests::{Answer, Builder, DEADLINE, Gateway, RawConnection, Request, backend, raw_exchange};
use serde_json::Value;

/// The databases of every stand-in server, so that a request without a database is never right by chance.
pub(crate) const DATABASES: [&str; 3] = ["acme", "globex", "initech"];

/// Tenants `acme.test` and `globex.test`, each with the database of its name.
pub(crate) const TENANTS: &str = "\
- { id: acme, hosts: [acme.test, shop.acme.test] }
- { id: globex, hosts: [globex.test] }
";

/// A prefork server, as Odoo with workers is.
pub(crate) async fn prefork(name: &str) -> StubOdoo {
    StubOdoo::start(StubOptions::new(name, DATABASES)).await.unwrap()
}

/// A threaded server: HTTP/1.1 with keepalive.
pub(crate) async fn threaded(name: &str) -> StubOdoo {
    StubOdoo::start(StubOptions::new(name, DATABASES).threaded()).await.unwrap()
}

/// A main file with one region and one pool. `pool` holds further keys of the pool, one a line, and replaces the
/// defaults of a test: Odoo 19.0, `dbfilter_header`, no probes.
pub(crate) fn config(backends: &[String], pool: &str) -> String {
    let mut keys = String::new();
    let defaults = [
        ("odoo_version", "\"19.0\""),
        ("database_selection", "dbfilter_header"),
        // Tests count what servers receive.
        ("health", "{ enabled: false }"),
    ];
    for (key, value) in defaults {
        if !pool.lines().any(|line| line.starts_with(&format!("{key}:"))) {
            keys.push_str(&format!("    {key}: {value}\n"));
        }
    }
    pool.lines().for_each(|line| keys.push_str(&format!("    {line}\n")));
    let backends = backends.join(", ");
    format!(
        "threads: 2\nregions: [ {{ name: eu }} ]\npools:\n  main:\n{keys}    \
         regions: {{ eu: {{ backends: [ {backends} ] }} }}\n"
    )
}

/// A backend whose two ports are one address, such as that of a faulty one.
pub(crate) fn one_port(address: SocketAddr) -> String {
    format!("{{ http: \"{address}\" }}")
}

/// A gateway with one server, not started: the pool's further keys and the file of tenants.
pub(crate) fn before(stub: &StubOdoo, pool: &str, tenants: &str) -> Builder {
    Gateway::builder(&config(&[backend(stub)], pool)).tenants("tenants.yaml", tenants)
}

/// A gateway with one prefork server and [`TENANTS`].
pub(crate) async fn start() -> (StubOdoo, Gateway) {
    let stub = prefork("eu-1").await;
    let gateway = before(&stub, "", TENANTS).start().await;
    (stub, gateway)
}

/// Asserts that the gateway never panicked and serves an honest request of `acme.test` from its database.
pub(crate) async fn still_serves(gateway: &Gateway) {
    let answer = Request::get("acme.test", "/stub/echo").send(gateway.address()).await;
    assert_eq!((answer.status, answer.database()), (200, Some("acme")), "{}", answer.text());
    assert_eq!(gateway.admin("/v1/status").await["panics"], 0);
}

/// Status of a raw answer; `None` when the connection was closed without one.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|&byte| byte == b'\r').next()?;
    let text = std::str::from_utf8(line.strip_prefix(b"HTTP/1.")?.get(2..5)?).ok()?;
    text.parse().ok()
}

/// Asserts that a raw answer is one answer with a status.
pub(crate) fn assert_status(answer: &[u8], expected: u16, what: &str) {
    let text = String::from_utf8_lossy(answer);
    assert_eq!(status(answer), Some(expected), "{what:?} was answered:\n{text}");
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{what:?} was answered more than once:\n{text}");
}

/// The one request that a server received since it last forgot; it forgets this one too.
pub(crate) fn only_request(stub: &StubOdoo) -> Received {
    let mut received = stub.received();
    stub.forget_received();
    assert_eq!(received.len(), 1, "{received:#?}");
    received.remove(0)
}

/// The event of a request, by the id in its answer.
pub(crate) async fn event_of(gateway: &Gateway, answer: &Answer) -> Value {
    let id = answer.header("x-request-id").expect("every answer names its request").to_owned();
    gateway.access_log().event(&id, DEADLINE, |event| event["request_id"] == id).await
}

/// Sends a GET with header lines exactly as written, and returns the raw answer.
pub(crate) async fn raw_get(gateway: &Gateway, host: &str, target: &str, lines: &str) -> Vec<u8> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n\r\n");
    raw_exchange(gateway.address(), request).await.unwrap()
}

/// Shakes hands for a websocket with further header lines exactly as written, and returns the status.
pub(crate) async fn raw_handshake(gateway: &Gateway, host: &str, lines: &str) -> Option<u16> {
    let mut raw = RawConnection::open(gateway.address()).await.unwrap();
    let request = format!(
        "GET /websocket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Origin: http://{host}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         {lines}\r\n\r\n"
    );
    raw.send(request).await.unwrap();
    status(raw.read_until("\r\n\r\n").await.unwrap())
}
