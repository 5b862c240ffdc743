//! TLS with backends: nginx in front of a stand-in Odoo, with certificates of its own authority.

use std::fs;
use std::net::SocketAddr;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{
    Answer, Authority, Builder, DEADLINE, Gateway, Peer, Request, Signed, free_address, wait_for, ws_connect,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fleet::{self, TENANTS};

const NAME: &str = "odoo.internal";

/// nginx with TLS on both ports of a stand-in Odoo.
struct Secured {
    stub: StubOdoo,
    http: SocketAddr,
    websocket: SocketAddr,
    nginx: Peer,
}

impl Secured {
    /// `clients`: the authority that clients have to come from, if any.
    async fn start(certificate: &Signed, clients: Option<&Authority>) -> Self {
        let stub = fleet::threaded("eu-1").await;
        let folder = tempfile::tempdir().unwrap();
        certificate.write(folder.path(), "server");
        let verify = clients.map_or_else(String::new, |authority| {
            fs::write(folder.path().join("clients.crt"), &authority.pem).unwrap();
            "ssl_verify_client on; ssl_client_certificate clients.crt;".to_owned()
        });
        let (http, websocket) = (free_address(), free_address());
        let config = NGINX
            .replace("VERIFY", &verify)
            .replace("HTTP_AT", &http.to_string())
            .replace("WEBSOCKET_AT", &websocket.to_string())
            .replace("STUB_HTTP", &stub.http_addr().to_string())
            .replace("STUB_GEVENT", &stub.gevent_addr().to_string());
        let nginx = Peer::nginx(folder, &config, &[http, websocket]).await;
        Self { stub, http, websocket, nginx }
    }

    fn backend(&self) -> String {
        format!("{{ http: \"{}\", websocket: \"{}\" }}", self.http, self.websocket)
    }
}

/// The name that clients ask for is passed on, so that a test sees it.
const NGINX: &str = r"
  error_log stderr info;
  ssl_certificate FOLDER/server.crt;
  ssl_certificate_key FOLDER/server.key;
  VERIFY
  proxy_http_version 1.1;
  proxy_set_header Host $http_host;
  proxy_set_header Test-Server-Name $ssl_server_name;
  proxy_set_header Test-Connection $connection;
  proxy_set_header Test-Resumed $ssl_session_reused;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $http_connection;
  server { listen HTTP_AT ssl; location / { proxy_pass http://STUB_HTTP; } }
  server { listen WEBSOCKET_AT ssl; location / { proxy_pass http://STUB_GEVENT; } }
";

/// A gateway that trusts an authority, not started. `more` holds further keys of `tls`, and begins with a comma.
fn before(backend: &str, authority: &Authority, name: &str, more: &str) -> Builder {
    let pool = format!("tls: {{ server_name: {name}, ca: ca.crt{more} }}\nodoo_version: \"15.0\"");
    Gateway::builder(&fleet::config(&[backend.to_owned()], &pool))
        .tenants("tenants.yaml", TENANTS)
        .file("ca.crt", &authority.pem)
}

async fn ask(gateway: &Gateway) -> Answer {
    Request::get("acme.test", "/stub/echo").send(gateway.address()).await
}

async fn rejection_and_error(gateway: &Gateway, answer: &Answer) -> (String, String) {
    let event = fleet::event_of(gateway, answer).await;
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    (text("rejection"), text("error"))
}

#[tokio::test]
async fn pages_polls_and_websockets_go_through_tls() {
    let authority = Authority::new("backends");
    let server = Secured::start(&authority.sign(NAME), None).await;
    let pool = format!("tls: {{ server_name: {NAME}, ca: ca.crt }}");
    let polls = before(&server.backend(), &authority, NAME, "").start().await;
    let websockets = Gateway::builder(&fleet::config(&[server.backend()], &pool))
        .tenants("tenants.yaml", TENANTS)
        .file("ca.crt", &authority.pem)
        .start()
        .await;

    let (mut connections, mut resumed) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let answer = ask(&polls).await;
        assert_eq!((answer.status, answer.database()), (200, Some("acme")), "{}", answer.text());
        let received = fleet::only_request(&server.stub);
        assert_eq!(received.values("test-server-name"), [NAME]);
        connections.extend(received.values("test-connection").into_iter().map(ToOwned::to_owned));
    }
    assert_eq!(connections.first(), connections.get(1), "a GET uses a kept connection");
    for size in [0, 10, 300_000] {
        let answer = Request::post("acme.test", "/stub/echo", vec![b'x'; size]).send(polls.address()).await;
        assert_eq!((answer.status, answer.database()), (200, Some("acme")), "{}", answer.text());
        let received = fleet::only_request(&server.stub);
        connections.extend(received.values("test-connection").into_iter().map(ToOwned::to_owned));
        resumed.extend(received.values("test-resumed").into_iter().map(ToOwned::to_owned));
    }
    let all = connections.len();
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections.len(), all - 1, "a POST has a connection of its own");
    assert!(resumed.iter().all(|resumed| resumed == "r"), "handshakes are short ones: {resumed:?}");

    let poll = Request::call("acme.test", "/longpolling/poll", &json!({"channels": [], "last": 0}));
    let answer = poll.send(polls.address()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(fleet::event_of(&polls, &answer).await["backend"], server.websocket.to_string());

    let mut socket = ws_connect(websockets.address(), "acme.test", "/websocket?version=19.0-2", &[]).await;
    assert_eq!(socket.json().await["type"], "hello");
    socket.send("hello").await.unwrap();
    let echo = socket.json().await;
    assert_eq!((&echo["database"], &echo["text"]), (&json!("acme"), &json!("hello")));
}

#[tokio::test]
async fn a_backend_that_is_not_who_it_should_be_gets_no_request() {
    let (authority, other) = (Authority::new("backends"), Authority::new("somebody"));
    let good = authority.sign(NAME);
    for (certificate, name, problem) in [
        (&other.sign(NAME), NAME, "UnknownIssuer"),
        (&good, "another.internal", "not valid for name"),
        (&authority.sign_expired(NAME), NAME, "expired"),
    ] {
        let server = Secured::start(certificate, None).await;
        let gateway = before(&server.backend(), &authority, name, "").start().await;
        let answer = ask(&gateway).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{problem}");
        let (rejection, error) = rejection_and_error(&gateway, &answer).await;
        assert!(rejection == "backend_untrusted" && error.contains(problem), "{rejection}: {error}");
        gateway.operational_log().wait_for_text(problem, DEADLINE).await;
        let poll = Request::call("acme.test", "/longpolling/poll", &json!({"channels": []}));
        let answer = poll.send(gateway.address()).await;
        assert_eq!(rejection_and_error(&gateway, &answer).await.0, "backend_untrusted");
        assert!(server.stub.received().is_empty(), "{problem}");
        assert!(!server.nginx.log().text().contains("emerg"));
    }
}

#[tokio::test]
async fn a_websocket_is_refused_by_a_gateway_that_cannot_trust_its_backend() {
    let (authority, other) = (Authority::new("backends"), Authority::new("somebody"));
    let server = Secured::start(&other.sign(NAME), None).await;
    let pool = format!("tls: {{ server_name: {NAME}, ca: ca.crt }}");
    let gateway = Gateway::builder(&fleet::config(&[server.backend()], &pool))
        .tenants("tenants.yaml", TENANTS)
        .file("ca.crt", &authority.pem)
        .start()
        .await;
    assert_eq!(fleet::raw_handshake(&gateway, "acme.test", "X-Test: 1").await, Some(503));
    gateway
        .access_log()
        .event("its rejection", DEADLINE, |event| event["rejection"] == "backend_untrusted")
        .await;
}

#[tokio::test]
async fn a_backend_that_speaks_no_tls_is_not_asked_without() {
    let authority = Authority::new("backends");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = fleet::one_port(listener.local_addr().unwrap());
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        first[0]
    });
    let gateway = before(&plain, &authority, NAME, "").start().await;
    let answer = ask(&gateway).await;
    assert_eq!(rejection_and_error(&gateway, &answer).await.0, "backend_untrusted");
    // The content type of a handshake (RFC 8446, section 5.1).
    assert_eq!(heard.await.unwrap(), 22);
}

#[tokio::test]
async fn a_backend_that_asks_who_comes_is_shown_the_pools_certificate() {
    let (authority, clients) = (Authority::new("backends"), Authority::new("gateways"));
    let server = Secured::start(&authority.sign(NAME), Some(&clients)).await;
    let without = before(&server.backend(), &authority, NAME, "").start().await;
    let answer = ask(&without).await;
    assert_ne!(answer.status, 200, "nginx asks for a certificate");
    assert!(server.stub.received().is_empty());
    let shown = ", client_certificate: { certificate: own.crt, key: own.key }";
    let own = clients.sign("gateway");
    let with = before(&server.backend(), &authority, NAME, shown)
        .file("own.crt", &own.chain)
        .file("own.key", &own.key)
        .start()
        .await;
    let answer = ask(&with).await;
    assert_eq!((answer.status, answer.database()), (200, Some("acme")), "{}", answer.text());
}

#[tokio::test]
async fn an_authority_that_changes_on_disk_is_taken_live_and_a_broken_one_is_not() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let server = Secured::start(&second.sign(NAME), None).await;
    let gateway = before(&server.backend(), &first, NAME, "").start().await;
    assert_eq!(ask(&gateway).await.status, 503, "the first authority has not signed for it");
    gateway.directory().write("ca.crt", second.pem.as_bytes());
    wait_for("the second authority is trusted", DEADLINE, async || ask(&gateway).await.status == 200).await;
    gateway.directory().write("ca.crt", b"no certificate");
    gateway.operational_log().wait_for_text("holds no certificate", DEADLINE).await;
    assert_eq!(ask(&gateway).await.status, 200, "what was good serves on");
    // Connections that were made for one authority are not used for another.
    gateway.directory().write("ca.crt", first.pem.as_bytes());
    wait_for("the first authority is trusted alone", DEADLINE, async || ask(&gateway).await.status == 503)
        .await;
}

#[tokio::test]
async fn a_pool_with_tls_that_cannot_be_is_no_config() {
    let authority = Authority::new("backends");
    let other = Authority::new("others").sign("other");
    for (tls, problem) in [
        ("{ server_name: \"\", ca: ca.crt }", "server_name"),
        ("{ ca: ca.crt }", "the key `server_name` is missing"),
        ("{ server_name: odoo.internal, ca: nowhere.crt }", "the file `nowhere.crt` does not exist"),
        ("{ server_name: odoo.internal, ca: other.key }", "holds no certificate"),
        (
            "{ server_name: odoo.internal, ca: ca.crt, client_certificate: { certificate: ca.crt, key: other.key } }",
            "does not fit the certificate",
        ),
    ] {
        let config = fleet::config(&[fleet::one_port(free_address())], &format!("tls: {tls}"));
        let builder = Gateway::builder(&config).file("ca.crt", &authority.pem).file("other.key", &other.key);
        let said = builder.cli(&["check", "--config", "fleetgate.yaml"]).await;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains(problem) && said.contains("pools.main.tls"), "{problem}: {said}");
    }
}
