//! Connections before their first request: TLS, redirects, and balancers that say whose they are.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{DEADLINE, Gateway, RawConnection, Request, backend, raw_exchange, wait_for};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fleet;
use crate::script::HANDSHAKE_KEY;

/// A listener in the clear that sends everybody to TLS.
const REDIRECT: &str = "127.0.0.3:0";
/// A listener behind a balancer.
const BALANCED: &str = "127.0.0.4:0";

/// Makes a certificate for some names and returns it in PEM, for a client to trust.
pub(crate) fn certify(folder: &Path, file: &str, names: &[&str]) -> String {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let chain = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    fs::write(folder.join(format!("{file}.crt")), &chain).unwrap();
    chain
}

struct Site {
    stub: StubOdoo,
    gateway: Gateway,
    acme: String,
    globex: String,
}

async fn start() -> Site {
    let stub = fleet::threaded("eu-1").await;
    let listeners = format!(
        "listeners:\n  - {{ address: \"127.0.0.1:0\", tls: {{ certificates: certs }} }}\n  \
         - {{ address: \"{REDIRECT}\", redirect_to_https: true }}\n  \
         - {{ address: \"{BALANCED}\", proxy_protocol: [127.0.0.1] }}\n"
    );
    let config = listeners + &fleet::config(&[backend(&stub)], "");
    let builder = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS);
    let folder = builder.directory().folder().join("certs");
    let acme = certify(&folder, "acme", &["acme.test", "*.acme.test"]);
    let globex = certify(&folder, "globex", &["globex.test"]);
    Site { stub, gateway: builder.start().await, acme, globex }
}

/// Asks by curl, which checks the certificate.
async fn curl(address: SocketAddr, trusted: &str, host: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trusted.pem");
    fs::write(&trust, trusted).unwrap();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--cacert"]).arg(trust);
    command.arg("--resolve").arg(format!("{host}:{}:{}", address.port(), address.ip()));
    command.args(arguments).arg(format!("https://{host}:{}/stub/echo", address.port()));
    let output = command.output().await.expect("curl is there: install the package curl");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn shake_hands(
    address: SocketAddr,
    trusted: &str,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio::time::timeout(DEADLINE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await?
}

/// Sends a request on an open connection and reads until some text of the answer has come.
async fn ask(stream: &mut TlsStream<TcpStream>, request: &str, until: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&answer).contains(until) {
            let mut part = [0; 4096];
            let bytes = stream.read(&mut part).await.unwrap();
            assert!(bytes > 0, "the connection ended after {}", answer.escape_ascii());
            answer.extend_from_slice(&part[..bytes]);
        }
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap_or_else(|_| panic!("no {until} came"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn each_host_has_its_own_certificate_and_odoo_is_told_https() {
    let site = start().await;
    let address = site.gateway.address();
    for version in ["--http1.1", "--http2"] {
        for (host, trusted, database) in [
            ("acme.test", &site.acme, "acme"),
            ("shop.acme.test", &site.acme, "acme"),
            ("globex.test", &site.globex, "globex"),
        ] {
            site.stub.forget_received();
            let said =
                curl(address, trusted, host, &[version, "--write-out", "%{http_version} %{http_code}"]).await;
            let expected = if version == "--http2" { "2 200" } else { "1.1 200" };
            assert!(said.ends_with(expected), "{host} {version}: {said}");
            let received = fleet::only_request(&site.stub);
            assert_eq!(received.database.as_deref(), Some(database));
            assert_eq!(received.values("x-forwarded-proto"), ["https"]);
        }
        let said = curl(address, &site.globex, "acme.test", &[version]).await;
        assert!(said.contains("certificate"), "another's certificate does not do: {said}");
    }
    let nobody = shake_hands(address, &site.acme, "nobody.test").await;
    assert!(nobody.is_err(), "there is no certificate for everybody");
}

#[tokio::test]
async fn a_handshake_for_one_tenant_is_no_way_to_another() {
    let site = start().await;
    let mut stream = shake_hands(site.gateway.address(), &site.acme, "acme.test").await.unwrap();
    let get = |host: &str| format!("GET /stub/echo HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let own = ask(&mut stream, &get("shop.acme.test"), "\r\n\r\n").await;
    assert!(own.starts_with("HTTP/1.1 200"), "another host of the tenant: {own}");
    site.stub.forget_received();
    let other = ask(&mut stream, &get("globex.test"), "wrong_server_name").await;
    assert!(other.contains("HTTP/1.1 421"), "{other}");
    assert!(site.stub.received().is_empty());
    let mut stream = shake_hands(site.gateway.address(), &site.acme, "nobody.acme.test").await.unwrap();
    let other = ask(&mut stream, &get("acme.test"), "wrong_server_name").await;
    assert!(other.contains("HTTP/1.1 421"), "a name of nobody is no tenant's: {other}");
}

#[tokio::test]
async fn a_new_certificate_serves_the_next_handshake_and_drops_nobody() {
    let site = start().await;
    let address = site.gateway.address();
    let get = "GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\n\r\n";
    let mut old = shake_hands(address, &site.acme, "acme.test").await.unwrap();
    ask(&mut old, get, "\r\n\r\n").await;
    let folder = site.gateway.directory().folder().join("certs");
    fs::write(folder.join("globex.crt"), "not a certificate").unwrap();
    let new = certify(&folder, "acme", &["acme.test"]);
    wait_for("the new certificate serves", DEADLINE, async || {
        shake_hands(address, &new, "acme.test").await.is_ok()
    })
    .await;
    let answer = ask(&mut old, get, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        shake_hands(address, &site.globex, "globex.test").await.is_ok(),
        "a broken pair keeps what it was"
    );
    site.gateway.operational_log().wait_for_text("globex.crt", DEADLINE).await;
}

#[tokio::test]
async fn websockets_go_through_tls() {
    let site = start().await;
    let mut stream = shake_hands(site.gateway.address(), &site.acme, "acme.test").await.unwrap();
    let handshake = format!(
        "GET /websocket HTTP/1.1\r\nHost: acme.test\r\nOrigin: https://acme.test\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {HANDSHAKE_KEY}\r\n\r\n"
    );
    let answer = ask(&mut stream, &handshake, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    // A text frame, masked with zeros (RFC 6455, section 5.2).
    stream.write_all(b"\x81\x85\0\0\0\0hello").await.unwrap();
    ask(&mut stream, "", "hello").await;
    drop(stream);
    let event = site.gateway.access_log().event("its end", DEADLINE, |event| event["status"] == 101).await;
    assert_eq!((&event["scheme"], &event["tenant"]), (&json!("https"), &json!("acme")));
}

#[tokio::test]
async fn plain_requests_are_sent_to_https_when_the_listener_says_so() {
    let site = start().await;
    let address = site.gateway.listener(REDIRECT);
    for (method, status) in [("GET", 301), ("HEAD", 301), ("POST", 308)] {
        for request in [
            Request::new(method, "acme.test", "/odoo?a=1"),
            Request::new(method, "acme.test", "/odoo?a=1").http2(),
        ] {
            let answer = request.send(address).await;
            assert_eq!(
                (answer.status, answer.header("location")),
                (status, Some("https://acme.test/odoo?a=1"))
            );
        }
    }
    assert_eq!(Request::get("nobody.test", "/").send(address).await.status, 421);
    assert!(site.stub.received().is_empty());
}

#[tokio::test]
async fn a_balancer_says_whose_a_connection_is_and_nobody_else_can() {
    let site = start().await;
    let address = site.gateway.listener(BALANCED);
    let get = "GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n\r\n";
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend_from_slice(&[198, 51, 100, 9, 127, 0, 0, 4, 0x1f, 0x90, 0, 80]);
    for (header, client) in
        [(b"PROXY TCP4 198.51.100.7 127.0.0.4 5000 80\r\n".to_vec(), "198.51.100.7"), (v2, "198.51.100.9")]
    {
        site.stub.forget_received();
        let answer = raw_exchange(address, [&header[..], get.as_bytes()].concat()).await.unwrap();
        fleet::assert_status(&answer, 200, "a balanced request");
        assert_eq!(fleet::only_request(&site.stub).values("x-forwarded-for"), [client]);
    }
    for malformed in ["", "PROXY TCP4 hello\r\n", "PROXY TCP4 198.51.100.7 127.0.0.4 5000\r\n"] {
        let mut raw = RawConnection::open(address).await.unwrap();
        raw.send(format!("{malformed}{get}")).await.unwrap();
        assert!(raw.read_to_end().await.map_or(true, <[u8]>::is_empty), "{malformed:?} is no header");
    }
    // A header from somebody who is no balancer is no request.
    let direct = site.gateway.listener(REDIRECT);
    let answer =
        raw_exchange(direct, format!("PROXY TCP4 198.51.100.7 127.0.0.3 5000 80\r\n{get}")).await.unwrap();
    fleet::assert_status(&answer, 400, "a forged header");
    assert!(site.stub.received().is_empty());
}

#[tokio::test]
async fn a_gateway_without_its_certificates_does_not_start() {
    let stub = fleet::prefork("eu-1").await;
    let listener = "listeners: [ { address: \"127.0.0.1:0\", tls: { certificates: nowhere } } ]\n";
    let config = listener.to_owned() + &fleet::config(&[backend(&stub)], "");
    let ended = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).run_to_exit().await;
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("nowhere") && said.contains("certificates"), "{said}");
}
