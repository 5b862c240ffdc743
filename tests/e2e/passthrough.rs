//! TLS connections that are passed on by name, to an nginx that has the certificate.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Authority, DEADLINE, Gateway, Peer, Request, backend, free_address, wait_for};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::balancers::{self, FRIEND};
use crate::fleet::{self, TENANTS};

/// A listener that answers nobody itself.
const PASSING: &str = "127.0.0.3:0";
/// The fatal alert `unrecognized_name` (RFC 6066, section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

struct Site {
    _stub: StubOdoo,
    gateway: Gateway,
    authority: Authority,
    nginx: Peer,
}

async fn start() -> Site {
    let stub = fleet::threaded("eu-1").await;
    let authority = Authority::new("servers");
    let (nginx, address, told) = nginx(&authority).await;
    let nobody = free_address();
    let routes = format!(
        "[ {{ hosts: [other.test, \"*.other.test\"], address: \"{address}\" }}, \
         {{ hosts: [told.test], address: \"{told}\", proxy_protocol: true }}, \
         {{ hosts: [brief.test], address: \"{address}\", idle_timeout: 1s }}, \
         {{ hosts: [dead.test], address: \"{nobody}\" }} ]"
    );
    let listeners = format!(
        "listeners:\n  - {{ address: \"127.0.0.1:0\", tls: {{ certificates: certs }}, passthrough: {routes} }}\n  \
         - {{ address: \"{PASSING}\", passthrough: {routes} }}\nobserve: {{ address: \"127.0.0.2:0\" }}\n"
    );
    let config = listeners + &fleet::config(&[backend(&stub)], "");
    let builder = Gateway::builder(&config).tenants("tenants.yaml", TENANTS);
    let folder = builder.directory().folder().join("certs");
    fs::create_dir(&folder).unwrap();
    authority.sign("acme.test").write(&folder, "acme");
    Site { _stub: stub, gateway: builder.start().await, authority, nginx }
}

/// An nginx that answers for every name, and says which was asked for.
async fn nginx(authority: &Authority) -> (Peer, SocketAddr, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let names = ["other.test", "shop.other.test", "told.test", "brief.test"];
    for (file, name) in ["one", "below", "told", "brief"].into_iter().zip(names) {
        authority.sign(name).write(folder.path(), file);
    }
    let (address, told) = (free_address(), free_address());
    let config = NGINX.replace("ADDRESS", &address.to_string()).replace("TOLD", &told.to_string());
    // It would complain of a look at the other that says nothing.
    (Peer::nginx(folder, &config, &[address]).await, address, told)
}

const NGINX: &str = r#"
  keepalive_timeout 600s;
  server {
    listen ADDRESS ssl; server_name other.test;
    ssl_certificate FOLDER/one.crt; ssl_certificate_key FOLDER/one.key;
    location / { return 200 "nginx for $ssl_server_name"; }
  }
  server {
    listen ADDRESS ssl; server_name shop.other.test;
    ssl_certificate FOLDER/below.crt; ssl_certificate_key FOLDER/below.key;
    location / { return 200 "nginx for $ssl_server_name"; }
  }
  server {
    listen ADDRESS ssl; server_name brief.test;
    ssl_certificate FOLDER/brief.crt; ssl_certificate_key FOLDER/brief.key;
    location / { return 200 "nginx for $ssl_server_name"; }
  }
  server {
    listen TOLD ssl proxy_protocol; server_name told.test;
    ssl_certificate FOLDER/told.crt; ssl_certificate_key FOLDER/told.key;
    location / { return 200 "$proxy_protocol_addr $proxy_protocol_port to $proxy_protocol_server_addr"; }
  }
"#;

impl Site {
    fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }

    async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        name: &str,
    ) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let shaken = TlsConnector::from(self.config()).connect(name, stream);
        tokio::time::timeout(DEADLINE, shaken).await?
    }

    /// The first message of a client that asks for a name, or for none.
    fn hello(&self, name: Option<&str>) -> Vec<u8> {
        let name = name.unwrap_or("127.0.0.1").to_owned();
        let mut client = ClientConnection::new(self.config(), ServerName::try_from(name).unwrap()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        hello
    }

    async fn counted(&self, result: &str) -> f64 {
        let observe = self.gateway.listener("127.0.0.2:0");
        let text = Request::get("metrics", "/metrics").send(observe).await.text();
        let name = format!("fleetgate_passthrough_connections_total{{result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0.0, |value| value.parse().unwrap())
    }
}

async fn get<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut TlsStream<S>, host: &str) -> String {
    let request = format!("GET /stub/echo HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = vec![0; 64 * 1024];
    let bytes = tokio::time::timeout(DEADLINE, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..bytes]).into_owned()
}

/// All that comes until the other side closes.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _reset = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it is closed");
    rest
}

#[tokio::test]
async fn a_name_is_answered_by_who_has_it_and_all_others_here() {
    let site = start().await;
    for listener in [site.gateway.address(), site.gateway.listener(PASSING)] {
        for name in ["other.test", "shop.other.test"] {
            let stream = TcpStream::connect(listener).await.unwrap();
            let mut stream = site.shake_hands(stream, name).await.unwrap();
            for _ in 0..2 {
                let answer = get(&mut stream, name).await;
                assert!(answer.ends_with(&format!("nginx for {name}")), "{answer}");
            }
        }
    }
    let stream = TcpStream::connect(site.gateway.address()).await.unwrap();
    let mut stream = site.shake_hands(stream, "acme.test").await.unwrap();
    let answer = get(&mut stream, "acme.test").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.to_lowercase().contains("x-request-id"), "{answer}");
    let stream = TcpStream::connect(site.gateway.listener(PASSING)).await.unwrap();
    assert!(site.shake_hands(stream, "acme.test").await.is_err(), "nobody answers for it there");
    assert_eq!(site.counted("passed").await, 4.0);
    assert_eq!(site.nginx.log().text(), "");
}

#[tokio::test]
async fn who_answers_is_told_whose_a_connection_is_if_it_wants_to_be() {
    let site = start().await;
    for listener in [site.gateway.address(), site.gateway.listener(PASSING)] {
        let stream = balancers::connect(FRIEND, listener).await;
        let port = stream.local_addr().unwrap().port();
        let mut stream = site.shake_hands(stream, "told.test").await.unwrap();
        for _ in 0..2 {
            let answer = get(&mut stream, "told.test").await;
            assert!(answer.ends_with(&format!("{FRIEND} {port} to {}", listener.ip())), "{answer}");
        }
    }
}

#[tokio::test]
async fn what_is_passed_on_ends_when_nothing_moves_for_as_long_as_its_route_says() {
    let site = start().await;
    let connect = async |name: &str| {
        let stream = TcpStream::connect(site.gateway.address()).await.unwrap();
        let mut stream = site.shake_hands(stream, name).await.unwrap();
        assert!(get(&mut stream, name).await.contains("nginx"));
        stream
    };
    let (mut brief, mut other) = (connect("brief.test").await, connect("other.test").await);
    let mut rest = Vec::new();
    let _reset = tokio::time::timeout(DEADLINE, brief.read_to_end(&mut rest)).await.expect("it ends");
    assert!(get(&mut other, "other.test").await.contains("nginx"), "others have their own time");
}

/// Sends one byte at a time.
struct Trickle(TcpStream);

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Trickle {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &buf[..buf.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_first_message_in_pieces_is_read_whole() {
    let site = start().await;
    for name in ["other.test", "acme.test"] {
        let stream = TcpStream::connect(site.gateway.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut stream = site.shake_hands(Trickle(stream), name).await.unwrap();
        assert!(get(&mut stream, name).await.starts_with("HTTP/1.1 200"), "{name}");
        // One message in two records (RFC 8446, section 5.1).
        let hello = site.hello(Some(name));
        let (header, message) = hello.split_at(5);
        let mut stream = TcpStream::connect(site.gateway.address()).await.unwrap();
        for part in message.chunks(message.len().div_ceil(2)) {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            stream.write_all(&[&header[..3], &length, part].concat()).await.unwrap();
        }
        let mut answer = [0; 6];
        tokio::time::timeout(DEADLINE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!((answer[0], answer[5]), (22, 2), "a server's first message for {name}");
    }
}

#[tokio::test]
async fn what_names_nobody_or_is_no_tls_is_closed() {
    let site = start().await;
    let (both, passing) = (site.gateway.address(), site.gateway.listener(PASSING));
    for name in [None, Some("nobody.test")] {
        let mut stream = TcpStream::connect(passing).await.unwrap();
        stream.write_all(&site.hello(name)).await.unwrap();
        assert_eq!(rest(stream).await, UNRECOGNIZED_NAME, "{name:?}");
        let mut stream = TcpStream::connect(both).await.unwrap();
        stream.write_all(&site.hello(name)).await.unwrap();
        assert_eq!(rest(stream).await.first(), Some(&21), "an alert for {name:?}");
    }
    // A message that says it is of 64 KiB, in records of 16 KiB.
    let mut endless = Vec::new();
    for record in 0..4 {
        endless.extend_from_slice(&[22, 3, 1, 0x40, 0]);
        let start: &[u8] = if record == 0 { &[1, 0, 0xff, 0xff, 3, 3] } else { &[] };
        endless.extend_from_slice(start);
        endless.resize(endless.len() + 0x4000 - start.len(), 0);
    }
    for bytes in [&b"GET / HTTP/1.1\r\nHost: acme.test\r\n\r\n"[..], &[22, 3, 1, 0, 4, 99, 0, 0, 0], &endless]
    {
        for listener in [both, passing] {
            let mut stream = TcpStream::connect(listener).await.unwrap();
            let _reset = stream.write_all(bytes).await;
            let answer = rest(stream).await;
            assert!(answer.is_empty() || answer.first() == Some(&21), "{}", answer.escape_ascii());
        }
    }
    let mut stream = TcpStream::connect(both).await.unwrap();
    stream.write_all(&site.hello(Some("dead.test"))).await.unwrap();
    assert!(rest(stream).await.is_empty());
    wait_for("the connection is counted", DEADLINE, async || site.counted("unreachable").await > 0.0).await;
    fleet_still_serves(&site).await;
}

async fn fleet_still_serves(site: &Site) {
    let stream = TcpStream::connect(site.gateway.address()).await.unwrap();
    let mut stream = site.shake_hands(stream, "acme.test").await.unwrap();
    assert!(get(&mut stream, "acme.test").await.starts_with("HTTP/1.1 200"));
    assert_eq!(site.gateway.admin("/v1/status").await["panics"], 0);
}

#[tokio::test]
async fn a_drain_ends_what_is_passed_on_when_nothing_moves() {
    let mut site = start().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let stream = TcpStream::connect(site.gateway.address()).await.unwrap();
        let mut stream = site.shake_hands(stream, "other.test").await.unwrap();
        assert!(get(&mut stream, "other.test").await.contains("nginx"));
        open.push(stream);
    }
    site.gateway.signal(Signal::TERM);
    for mut stream in open {
        let mut rest = Vec::new();
        let _reset = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it ends");
    }
    assert!(site.gateway.wait_exit(DEADLINE).await.success());
}
