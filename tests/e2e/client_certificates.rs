//! Tenants that ask their clients for certificates: each counts its own authorities, on every protocol and connection.

use std::fs;
use std::net::SocketAddr;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{
    Authority, Connection, DEADLINE, Gateway, Request, Signed, backend, raw_exchange, wait_for,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::client::TlsStream;

use crate::fleet;
use crate::script::handshake;

const TENANTS: &str = "\
- { id: acme, hosts: [acme.test, shop.acme.test], client_certificates: { ca: acme-ca.crt, forward: true } }
- { id: globex, hosts: [globex.test], client_certificates: { ca: globex-ca.crt, required: false } }
- { id: initech, hosts: [initech.test] }
";
/// A listener without TLS.
const PLAIN: &str = "127.0.0.3:0";
/// A listener that sends everybody to TLS.
const REDIRECT: &str = "127.0.0.4:0";

struct Site {
    stub: StubOdoo,
    gateway: Gateway,
    servers: Authority,
    acme: Authority,
    globex: Authority,
}

async fn start() -> Site {
    let stub = fleet::threaded("eu-1").await;
    let (servers, acme, globex) =
        (Authority::new("servers"), Authority::new("acme"), Authority::new("globex"));
    let listeners = format!(
        "listeners:\n  - {{ address: \"127.0.0.1:0\", tls: {{ certificates: certs }} }}\n  \
         - {{ address: \"{PLAIN}\" }}\n  - {{ address: \"{REDIRECT}\", redirect_to_https: true }}\n"
    );
    let config = listeners + &fleet::config(&[backend(&stub)], "");
    let builder = Gateway::builder(&config)
        .file("acme-ca.crt", &acme.pem)
        .file("globex-ca.crt", &globex.pem)
        .tenants("tenants.yaml", TENANTS);
    let folder = builder.directory().folder().join("certs");
    fs::create_dir(&folder).unwrap();
    for host in ["acme.test", "shop.acme.test", "globex.test", "initech.test"] {
        servers.sign(host).write(&folder, host);
    }
    let gateway = builder.start().await;
    Site { stub, gateway, servers, acme, globex }
}

impl Site {
    /// Shakes hands with what a client has.
    async fn connect(&self, name: &str, own: Option<&Signed>) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_for(&[], name, own).await
    }

    /// The same, over HTTP/2.
    async fn connect_http2(&self, name: &str, own: Option<&Signed>) -> Connection {
        let stream = self.connect_for(&["h2"], name, own).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Connection::http2_over(stream).await.unwrap()
    }

    async fn connect_for(
        &self,
        protocols: &[&str],
        name: &str,
        own: Option<&Signed>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.servers.connect(self.gateway.address(), name, own, protocols).await
    }

    /// The status and event of a GET on a connection of its own.
    async fn get(&self, host: &str, own: Option<&Signed>) -> (u16, Value) {
        let mut stream = self.connect(host, own).await.unwrap();
        let (status, id) = ask(&mut stream, host).await;
        let log = self.gateway.access_log();
        (status, log.event(&id, DEADLINE, |event| event["request_id"] == *id).await)
    }

    /// The status that curl gets over one version of HTTP, with headers as the stub saw them.
    async fn curl(&self, version: &str, host: &str, own: &Signed) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), &self.servers.pem).unwrap();
        own.write(folder.path(), "own");
        curl(&folder, version, host, self.gateway.address()).await
    }
}

async fn curl(folder: &TempDir, version: &str, host: &str, address: SocketAddr) -> String {
    let mut command = Command::new("curl");
    command.current_dir(folder.path()).args(["--silent", "--show-error", "--max-time", "20", version]);
    command.args(["--cacert", "ca.pem", "--cert", "own.crt", "--key", "own.key", "--output", "/dev/null"]);
    command.args(["--write-out", "%{http_version} %{http_code}"]);
    command.arg("--resolve").arg(format!("{host}:{}:{}", address.port(), address.ip()));
    command.arg(format!("https://{host}:{}/stub/echo", address.port()));
    let output = command.output().await.expect("curl is there: install the package curl");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Sends a GET on an open connection; the status of the answer and the id of the request.
async fn ask(stream: &mut TlsStream<TcpStream>, host: &str) -> (u16, String) {
    send(stream, &format!("GET /stub/echo HTTP/1.1\r\nHost: {host}\r\nClient-Cert: :Zm9yZ2Vk:\r\n\r\n")).await
}

async fn send(stream: &mut TlsStream<TcpStream>, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 4096];
        let bytes = tokio::time::timeout(DEADLINE, stream.read(&mut part)).await.unwrap().unwrap();
        assert!(bytes > 0, "the connection ended after {}", answer.escape_ascii());
        answer.extend_from_slice(&part[..bytes]);
    }
    let text = String::from_utf8_lossy(&answer).to_lowercase();
    let id = text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap_or_default();
    (fleet::status(&answer).unwrap(), id.trim().to_owned())
}

#[tokio::test]
async fn nobody_is_served_without_the_certificate_that_a_tenant_requires() {
    let site = start().await;
    let own = site.acme.sign("jane");
    for (certificate, status, result) in [
        (None, 403, "absent"),
        (Some(&site.globex.sign("eve")), 403, "unknown_authority"),
        (Some(&site.acme.sign_expired("jane")), 403, "expired"),
        (Some(&own), 200, "verified"),
    ] {
        let (seen, event) = site.get("acme.test", certificate).await;
        assert_eq!((seen, event["certificate"]["result"].as_str()), (status, Some(result)));
        let rejection = (status == 403).then_some("client_certificate");
        assert_eq!(event["rejection"].as_str(), rejection, "{event}");
        let reason = rejection.map(|_| result);
        assert_eq!(event["reason"].as_str(), reason);
    }
    let received = fleet::only_request(&site.stub);
    let [field] = received.values("client-cert")[..] else { panic!("{received:?}") };
    assert!(field.starts_with(":MII") && field.ends_with(':'), "RFC 9440: {field}");

    let (_, event) = site.get("acme.test", Some(&own)).await;
    let certificate = &event["certificate"];
    assert!(certificate["subject"].as_str().unwrap().contains("CN=jane"), "{certificate}");
    assert!(certificate["issuer"].as_str().unwrap().contains("CN=acme"), "{certificate}");
    assert_eq!(certificate["fingerprint"].as_str().unwrap(), fingerprint(&own).await);
}

/// As openssl says it.
async fn fingerprint(signed: &Signed) -> String {
    let folder = tempfile::tempdir().unwrap();
    signed.write(folder.path(), "own");
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-fingerprint", "-sha256", "-in", "own.crt"]).current_dir(folder.path());
    let output = command.output().await.expect("openssl is there: install the package openssl");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_lowercase();
    said.rsplit('=').next().unwrap().replace(':', "")
}

#[tokio::test]
async fn a_tenants_authority_opens_no_other_tenant() {
    let site = start().await;
    let (acme, globex) = (site.acme.sign("jane"), site.globex.sign("eve"));
    for version in ["--http1.1", "--http2"] {
        let spoken = if version == "--http2" { "2" } else { "1.1" };
        for (host, own, status) in [
            ("acme.test", &acme, 200),
            ("shop.acme.test", &acme, 200),
            ("acme.test", &globex, 403),
            ("globex.test", &globex, 200),
            ("globex.test", &acme, 200),
            ("initech.test", &acme, 200),
        ] {
            let said = site.curl(version, host, own).await;
            assert_eq!(said, format!("{spoken} {status}"), "{host}");
        }
    }
    // One that is not required says who comes, and whose it is.
    let result = |event: &Value| event["certificate"]["result"].clone();
    assert_eq!(result(&site.get("globex.test", Some(&globex)).await.1), "verified");
    assert_eq!(result(&site.get("globex.test", Some(&acme)).await.1), "unknown_authority");
    assert_eq!(result(&site.get("globex.test", None).await.1), "absent");
    // Nobody else is asked.
    assert_eq!(result(&site.get("initech.test", Some(&acme)).await.1), Value::Null);
    let received = site.stub.received();
    let told = |host| received.iter().filter(move |one| one.values("host") == [host]);
    assert!(told("globex.test").all(|one| one.values("client-cert").is_empty()), "it does not forward");
    assert!(told("initech.test").all(|one| one.values("client-cert").is_empty()), "a forged one is removed");
}

#[tokio::test]
async fn a_connection_that_one_tenant_let_in_is_none_for_another() {
    let site = start().await;
    let own = site.globex.sign("eve");
    for (name, other) in [("globex.test", "acme.test"), ("initech.test", "acme.test")] {
        let mut stream = site.connect(name, Some(&own)).await.unwrap();
        assert_eq!(ask(&mut stream, name).await.0, 200);
        assert_eq!(ask(&mut stream, other).await.0, 421, "{name} opened {other}");
    }
    let mut stream = site.connect("acme.test", Some(&site.acme.sign("jane"))).await.unwrap();
    assert_eq!(ask(&mut stream, "shop.acme.test").await.0, 200, "another host of the tenant");
    // Without TLS nobody can show anything.
    let answer = Request::get("acme.test", "/stub/echo").send(site.gateway.listener(PLAIN)).await;
    assert_eq!(answer.status, 403);
    let request = "GET /odoo HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n\r\n";
    let answer = raw_exchange(site.gateway.listener(REDIRECT), request).await.unwrap();
    fleet::assert_status(&answer, 301, "a redirect to where certificates are asked for");
}

#[tokio::test]
async fn a_client_of_http2_that_reuses_a_connection_for_another_tenant_is_sent_to_a_new_one() {
    let site = start().await;
    let (jane, eve) = (site.acme.sign("jane"), site.globex.sign("eve"));
    let echo = |host: &str| Request::get(host, "/stub/echo");
    // With the certificate of one tenant, with that of another, with none: whoever was let in by a name gets no further.
    for (name, own) in [
        ("acme.test", Some(&jane)),
        ("globex.test", Some(&eve)),
        ("globex.test", None),
        ("initech.test", Some(&jane)),
        ("initech.test", None),
    ] {
        let mut connection = site.connect_http2(name, own).await;
        site.stub.forget_received();
        let mut others = Vec::new();
        for other in ["acme.test", "shop.acme.test", "globex.test", "initech.test", "nobody.test"] {
            let of_tenant = other.trim_start_matches("shop.") == name;
            for _ in 0..3 {
                let mut another = connection.another().unwrap();
                let request = echo(other);
                others.push(async move { (other, of_tenant, another.ask(&request).await.unwrap()) });
            }
        }
        for (other, of_tenant, answer) in futures_util::future::join_all(others).await {
            let expected = if of_tenant { 200 } else { 421 };
            assert_eq!(answer.status, expected, "{name} asked for {other}: {}", answer.text());
            assert!(of_tenant || answer.database().is_none(), "{name} asked for {other}");
        }
        assert_eq!(connection.ask(&echo(name)).await.unwrap().status, 200, "and the connection goes on");
        let asked_for = |host: &&str| host.trim_start_matches("shop.") == name;
        let received = site.stub.received();
        assert!(received.iter().all(|request| request.values("host").iter().all(asked_for)), "{name}");
    }
    // A tenant that requires a certificate opens to nobody without one, whatever the connection was made for.
    let mut unshown = site.connect_http2("acme.test", None).await;
    assert_eq!(unshown.ask(&echo("acme.test")).await.unwrap().status, 403);
    assert_eq!(unshown.ask(&echo("initech.test")).await.unwrap().status, 421);
    assert_eq!(site.gateway.admin("/v1/status").await["panics"], 0);
}

#[tokio::test]
async fn a_websocket_needs_the_certificate_too() {
    let site = start().await;
    let upgrade = handshake("acme.test", "/websocket?version=19.0-2", "").replace("http://", "https://");
    for (own, status) in
        [(None, 403), (Some(site.globex.sign("eve")), 403), (Some(site.acme.sign("jane")), 101)]
    {
        let mut stream = site.connect("acme.test", own.as_ref()).await.unwrap();
        assert_eq!(send(&mut stream, &upgrade).await.0, status);
    }
    let log = site.gateway.access_log();
    let event = log.event("its end", DEADLINE, |event| event["status"] == 101).await;
    assert_eq!(event["certificate"]["result"], "verified");
}

#[tokio::test]
async fn authorities_that_change_count_for_open_connections_too() {
    let site = start().await;
    let own = site.acme.sign("jane");
    let mut stream = site.connect("acme.test", Some(&own)).await.unwrap();
    assert_eq!(ask(&mut stream, "acme.test").await.0, 200);
    let mut unasked = site.connect("initech.test", Some(&own)).await.unwrap();
    assert_eq!(ask(&mut unasked, "initech.test").await.0, 200);
    site.gateway.directory().write("acme-ca.crt", site.globex.pem.as_bytes());
    wait_for("the old authority counts no more", DEADLINE, async || {
        ask(&mut stream, "acme.test").await.0 == 403
    })
    .await;
    assert_eq!(site.get("acme.test", Some(&site.globex.sign("eve"))).await.0, 200);
    site.gateway.directory().write("acme-ca.crt", b"nothing");
    site.gateway.operational_log().wait_for_text("holds no certificate", DEADLINE).await;
    assert_eq!(site.get("acme.test", Some(&site.globex.sign("eve"))).await.0, 200, "what was good serves on");
    // A connection from before its tenant asked goes to a new one, where it is asked.
    let asking = TENANTS.replace(
        "hosts: [initech.test]",
        "hosts: [initech.test], client_certificates: { ca: globex-ca.crt }",
    );
    site.gateway.directory().write("acme-ca.crt", site.acme.pem.as_bytes());
    site.gateway.write_tenants("tenants.yaml", &asking);
    wait_for("the tenant asks", DEADLINE, async || ask(&mut unasked, "initech.test").await.0 == 421).await;
    assert_eq!(site.get("initech.test", Some(&own)).await.0, 403);
}
