//! Three gateways that ask each other directly, over real databases, and are cut off, met by strangers, and replaced.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{
    Authority, Builder, DEADLINE, FaultProxy, Gateway, Link, Postgres, Redis, Signed, backend, free_address,
    http_get, wait_for,
};
use futures_util::future::join_all;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::fleet;
use crate::quorum::{AGREED, route_is, until_moved};
use crate::regions::{pool, post, refused, served_by};
use crate::visitors::Visitors;

const OBSERVE: &str = "127.0.0.2:0";
const NAMES: [&str; 3] = ["gw-paris", "gw-dublin", "gw-witness"];

/// Two regions, and an authority that signs for gateways.
pub(crate) struct Site {
    pub(crate) primary: Postgres,
    pub(crate) standby: Postgres,
    pub(crate) odoo: [StubOdoo; 2],
    pub(crate) authority: Authority,
    pub(crate) addresses: [SocketAddr; 3],
    /// Keys of `failover`.
    pub(crate) failover: String,
    /// A line of the main file.
    pub(crate) anchors: String,
    /// What gateways hear each other over, if not directly.
    pub(crate) redis: Option<Redis>,
}

/// A gateway, and what is between it and the rest.
struct Node {
    gateway: Gateway,
    paris: FaultProxy,
    dublin: FaultProxy,
    /// To each of the others.
    ways: Vec<FaultProxy>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let primary = Postgres::primary();
        let standby = primary.standby();
        let odoo = [fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await];
        let authority = Authority::new("gateways");
        let addresses = [free_address(), free_address(), free_address()];
        Self {
            primary,
            standby,
            odoo,
            authority,
            addresses,
            failover: "quorum: 3, hold: 0s".to_owned(),
            anchors: String::new(),
            redis: None,
        }
    }

    pub(crate) fn databases(&self) -> [SocketAddr; 2] {
        [&self.primary, &self.standby].map(|server| SocketAddr::from(([127, 0, 0, 1], server.port())))
    }

    async fn node(&self, at: usize) -> Node {
        let proxy = async |server: SocketAddr| FaultProxy::start(server, 1).await;
        let [primary, standby] = self.databases();
        let (paris, dublin) = (proxy(primary).await, proxy(standby).await);
        let mut places: Vec<SocketAddr> = self.addresses.to_vec();
        let mut ways = Vec::new();
        for (other, place) in places.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            let way = proxy(self.addresses[other]).await;
            *place = way.address();
            ways.push(way);
        }
        let gateway = self.builder(at, &places, [paris.address(), dublin.address()]).start().await;
        Node { gateway, paris, dublin, ways }
    }

    pub(crate) fn builder(&self, at: usize, places: &[SocketAddr], databases: [SocketAddr; 2]) -> Builder {
        let region = |stub: &StubOdoo, postgres: SocketAddr| {
            format!(
                "{{ backends: [ {} ], postgres: \"postgres://probe@{postgres}/postgres\" }}",
                backend(stub)
            )
        };
        let medium = match &self.redis {
            Some(redis) => format!("redis: {{ servers: [ \"{}\" ], node: {} }}", redis.url(), NAMES[at]),
            None => nodes(at, self.addresses[at], places),
        };
        let config = format!(
            "threads: 2\nobserve: {{ address: \"{OBSERVE}\" }}\n{}\n{medium}\nregions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
             odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
             health: {{ interval: 200ms, timeout: 500ms }}\n    failover: {{ {} }}\n    \
             regions:\n      paris: {}\n      dublin: {}\n",
            self.anchors,
            self.failover,
            region(&self.odoo[0], databases[0]),
            region(&self.odoo[1], databases[1]),
        );
        let own = self.authority.sign(NAMES[at]);
        Gateway::builder(&config)
            .tenants("tenants.yaml", fleet::TENANTS)
            .file("own.crt", &own.chain)
            .file("own.key", &own.key)
            .file("ca.crt", &self.authority.pem)
    }
}

/// The section `nodes` of a gateway; `places`: where it reaches each of them.
fn nodes(at: usize, own: SocketAddr, places: &[SocketAddr]) -> String {
    let places = NAMES.iter().zip(places).map(|(name, place)| format!("{name}: \"{place}\""));
    format!(
        "nodes: {{ name: {}, address: \"{own}\", certificate: own.crt, key: own.key, ca: ca.crt, gateways: {{ {} }} }}",
        NAMES[at],
        places.collect::<Vec<_>>().join(", ")
    )
}

pub(crate) async fn explained(gateway: &Gateway) -> String {
    let told = gateway.cli(&["regions", "explain", "main", "--socket", "admin.sock"]).await;
    String::from_utf8_lossy(&told.stdout).into_owned()
}

pub(crate) async fn explains(gateway: &Gateway, part: &str) {
    wait_for(&format!("it is explained: {part}"), DEADLINE, async || explained(gateway).await.contains(part))
        .await;
}

async fn all_agree(gateway: &Gateway) {
    wait_for("both others are for paris", DEADLINE, async || {
        explained(gateway).await.matches("is for paris").count() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_ask_each_other_move_together_and_one_that_is_cut_off_serves_nobody() {
    let site = Site::new().await;
    let nodes = join_all((0..3).map(|at| site.node(at))).await;
    for node in &nodes {
        served_by(&node.gateway, "paris-1").await;
        all_agree(&node.gateway).await;
    }
    // The old primary lives, and takes writes for all that the one that is cut off with it can see.
    let [alone, majority @ ..] = &nodes[..] else { panic!("there are three") };
    alone.ways.iter().for_each(|way| way.set(Link::BlackHole));
    alone.dublin.set(Link::BlackHole);
    for node in majority {
        node.paris.set(Link::BlackHole);
        node.ways[0].set(Link::BlackHole);
    }
    site.standby.promote();
    until_moved(&alone.gateway, majority.iter().map(|node| &node.gateway)).await;
    refused(&alone.gateway, "region_unwritable").await;
    assert_eq!(pool(&alone.gateway).await["route"], "isolated");
    explains(&alone.gateway, "1 of 3 gateways are heard").await;
    explains(&alone.gateway, "gw-dublin is for").await;
    explains(&alone.gateway, "it does not answer within 1 s").await;
    let told = |event: &serde_json::Value| {
        event["to"] == "isolated" && event.to_string().contains("gw-witness: it does not")
    };
    alone.gateway.operational_log().event("why it is isolated", DEADLINE, told).await;

    let metrics = http_get(alone.gateway.listener(OBSERVE), "observe", "/metrics").await.text();
    for state in ["{gateway=\"gw-witness\",state=\"late\"} 1", "{gateway=\"gw-witness\",state=\"heard\"} 0"] {
        assert!(metrics.contains(&format!("fleetgate_gateway_state{state}")), "{metrics}");
    }

    // It is back, and follows.
    alone.ways.iter().chain([&alone.dublin]).for_each(|way| way.set(Link::Clear));
    majority.iter().for_each(|node| node.ways[0].set(Link::Clear));
    site.primary.kill();
    served_by(&alone.gateway, "dublin-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ways_between_gateways_that_are_slow_or_lose_connections_stop_nobody() {
    let site = Site::new().await;
    let nodes = join_all((0..3).map(|at| site.node(at))).await;
    for node in &nodes {
        served_by(&node.gateway, "paris-1").await;
    }
    let visitors: Vec<Visitors> =
        nodes.iter().map(|node| Visitors::come(node.gateway.address(), &[("acme.test", "acme")])).collect();
    let delayed = Link::Delayed { least: Duration::from_millis(100), spread: Duration::from_millis(50) };
    for link in [
        delayed,
        Link::Slow { bytes_per_second: 20_000 },
        Link::Lossy { percent: 20 },
        Link::CutAfter { bytes: 8_000 },
        Link::Clear,
    ] {
        let ways = || nodes.iter().flat_map(|node| &node.ways);
        let before: u64 = ways().map(FaultProxy::accepted).sum();
        ways().for_each(|way| way.set(link));
        for (node, visitors) in nodes.iter().zip(&visitors) {
            visitors.served(200).await;
            assert_eq!(pool(&node.gateway).await["route"], "serve", "{link:?}");
        }
        if matches!(link, Link::Lossy { .. } | Link::CutAfter { .. }) {
            wait_for("connections are made anew", DEADLINE, async || {
                ways().map(FaultProxy::accepted).sum::<u64>() > before + 6
            })
            .await;
        }
    }
    for visitors in visitors {
        let (_, failures) = visitors.leave().await;
        assert!(failures.is_empty(), "{failures:#?}");
    }
    // What one says arrives nowhere, and to it the others stay open.
    nodes[0].ways.iter().for_each(|way| way.set(Link::HalfOpen));
    route_is(&nodes[0].gateway, "isolated").await;
    assert_eq!(post(&nodes[1].gateway).await.server(), Some("paris-1"));
    nodes[0].ways.iter().for_each(|way| way.set(Link::Clear));
    served_by(&nodes[0].gateway, "paris-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_are_killed_are_missed_when_there_are_too_few_and_come_back() {
    let site = Site::new().await;
    let mut nodes = join_all((0..3).map(|at| site.node(at))).await;
    for node in &nodes {
        served_by(&node.gateway, "paris-1").await;
        all_agree(&node.gateway).await;
    }
    drop(nodes.remove(2));
    explains(&nodes[0].gateway, "gw-witness is for paris").await;
    explains(&nodes[0].gateway, "PROBLEM: the connection does not come about, or breaks").await;
    for _ in 0..20 {
        assert_eq!(post(&nodes[0].gateway).await.server(), Some("paris-1"));
    }
    drop(nodes.remove(1));
    route_is(&nodes[0].gateway, "isolated").await;
    assert_eq!(post(&nodes[0].gateway).await.status, 503);
    // One that starts hears who is there, and two are enough.
    let back = site.node(1).await;
    served_by(&back.gateway, "paris-1").await;
    served_by(&nodes[0].gateway, "paris-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_silence_that_a_gateway_without_its_anchors_meets_says_nothing() {
    let mut site = Site::new().await;
    let address = free_address();
    let mut anchor = Some(TcpListener::bind(address).await.unwrap());
    site.anchors = format!("anchors: [ \"{address}\" ]");
    let mut nodes = join_all((0..3).map(|at| site.node(at))).await;
    for node in &nodes {
        served_by(&node.gateway, "paris-1").await;
        all_agree(&node.gateway).await;
    }
    // Two of three meet silence, and know that they may be the ones that are cut off.
    drop(nodes.remove(0));
    drop(anchor.take());
    for node in &nodes {
        node.gateway.operational_log().wait_for_text("none of `anchors` takes a connection", DEADLINE).await;
        node.paris.set(Link::BlackHole);
    }
    for node in &nodes {
        explains(&node.gateway, "no answer").await;
    }
    for _ in 0..20 {
        for node in &nodes {
            assert_eq!(post(&node.gateway).await.server(), Some("paris-1"));
        }
    }
    anchor = Some(TcpListener::bind(address).await.unwrap());
    for node in &nodes {
        refused(&node.gateway, "region_unwritable").await;
    }
    drop(anchor);
}

/// Somebody at the address of a gateway.
struct Impostor {
    task: JoinHandle<()>,
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What it does when it is asked.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Answer(&'static str),
    Hang,
    Flood,
}

impl Impostor {
    async fn start(address: SocketAddr, shown: &Signed, does: Does) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let (chain, key) = pem(shown);
        let config = builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut listener = None;
        wait_for("the one before is gone", DEADLINE, async || {
            listener = TcpListener::bind(address).await.ok();
            listener.is_some()
        })
        .await;
        let listener = listener.unwrap();
        let task = tokio::spawn(async move {
            // Its connections end with it.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(answer(acceptor.clone(), stream, does));
            }
        });
        Self { task }
    }
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream, does: Does) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = vec![0; 4096];
    while stream.read(&mut head).await? > 0 {
        match does {
            Does::Answer(text) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                stream.write_all(head.as_bytes()).await?;
            }
            Does::Hang => std::future::pending().await,
            Does::Flood => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n").await?;
                stream.write_all(&vec![b' '; 10_485_760]).await?;
            }
        }
        stream.flush().await?;
    }
    Ok(())
}

fn pem(signed: &Signed) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(signed.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    (chain, PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap())
}

/// A gateway's name, and where it is asked by the others.
type Place = (&'static str, SocketAddr);

/// Asks a gateway as somebody with a certificate, or none; what it answers, or nothing.
async fn asked_by(at: Place, authority: &Authority, shown: Option<&Signed>) -> Option<String> {
    let (name, address) = at;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match shown.map(pem) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let request = b"GET /v1/regions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_gateways_that_went_mad_are_heard_by_nobody_and_hear_nothing() {
    let site = Site::new().await;
    let databases = site.databases();
    let start = async |at| site.builder(at, &site.addresses, databases).start().await;
    let (one, other) = tokio::join!(start(0), start(1));
    for gateway in [&one, &other] {
        served_by(gateway, "paris-1").await;
    }
    let elsewhere = Authority::new("elsewhere");
    let own = site.authority.sign(NAMES[2]);
    // What would make dublin the region of two of three.
    let forged = Does::Answer(
        "{\"version\":1,\"process\":1,\"age_ms\":1,\"gateways\":[],\"pools\":{\"main\":[\"dublin\",3,{}]}}",
    );
    let impostors = [
        (elsewhere.sign(NAMES[2]), forged, "comes from no authority in `nodes.ca`"),
        (site.authority.sign("gw-else"), forged, "its certificate is for another name"),
        (site.authority.sign_expired(NAMES[2]), forged, "has ended or is not valid yet"),
        (own, Does::Answer("{\"version\":2}"), "it speaks version 2"),
        (site.authority.sign(NAMES[2]), Does::Answer("hello"), "it says what this gateway cannot read"),
        (site.authority.sign(NAMES[2]), Does::Hang, "it does not answer within 1 s"),
        (site.authority.sign(NAMES[2]), Does::Flood, "it says more than 4 MiB"),
    ];
    for (shown, does, problem) in impostors {
        let _impostor = Impostor::start(site.addresses[2], &shown, does).await;
        for gateway in [&one, &other] {
            explains(gateway, problem).await;
            assert!(!explained(gateway).await.contains("is for dublin"), "{problem}: it was believed");
            assert_eq!(post(gateway).await.server(), Some("paris-1"), "{problem}");
        }
    }

    let place = (NAMES[0], site.addresses[0]);
    let ask =
        async |shown: Option<&Signed>| asked_by(place, &site.authority, shown).await.unwrap_or_default();
    assert_eq!(ask(None).await, "");
    assert_eq!(ask(Some(&elsewhere.sign(NAMES[2]))).await, "");
    let nobody = ask(Some(&site.authority.sign("gw-else"))).await;
    assert!(nobody.starts_with("HTTP/1.1 403") && !nobody.contains("paris"), "{nobody}");
    let known = ask(Some(&site.authority.sign(NAMES[2]))).await;
    assert!(known.starts_with("HTTP/1.1 200") && known.contains("\"main\":[\"paris\",3,"), "{known}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_gateways_are_taken_live_from_an_old_authority_to_a_new_one() {
    let site = Site::new().await;
    let databases = site.databases();
    let start = async |at| site.builder(at, &site.addresses, databases).start().await;
    let gateways = join_all((0..3).map(start)).await;
    for gateway in &gateways {
        served_by(gateway, "paris-1").await;
    }
    let next = Authority::new("next");
    let both = format!("{}{}", site.authority.pem, next.pem);
    let renewed = [both.as_str(), both.as_str(), next.pem.as_str()];
    for (step, ca) in renewed.into_iter().enumerate() {
        for (gateway, name) in gateways.iter().zip(NAMES) {
            gateway.directory().write("ca.crt", ca.as_bytes());
            if step == 1 {
                let own = next.sign(name);
                gateway.directory().write("own.key", own.key.as_bytes());
                gateway.directory().write("own.crt", own.chain.as_bytes());
            }
        }
        for gateway in &gateways {
            wait_for("the change is taken and nobody is missed", DEADLINE, async || {
                let text = explained(gateway).await;
                text.matches("is for paris").count() == 2 && !text.contains("PROBLEM")
            })
            .await;
            assert_eq!(post(gateway).await.server(), Some("paris-1"));
        }
    }
    let old = site.authority.sign(NAMES[2]);
    wait_for("the old authority counts no more", DEADLINE, async || {
        asked_by((NAMES[0], site.addresses[0]), &next, Some(&old)).await.unwrap_or_default().is_empty()
    })
    .await;
}

/// Three gateways with as many pools as there may be, each of which hears the others by what is said of it.
async fn decide_about_all_pools(medium: impl Fn(usize) -> String, authority: &Authority) {
    const POOLS: usize = 1_000;
    let odoo = fleet::prefork("eu-1").await;
    let pool = |number: usize| {
        format!(
            "  a-pool-with-a-name-as-long-as-names-of-pools-are-at-times-{number:04}: {{ odoo_version: \"19.0\", \
             database_selection: dbfilter_header, health: {{ interval: 60s }}, failover: {{ quorum: 3 }}, \
             regions: {{ eu: {{ backends: [ {} ] }} }} }}\n",
            backend(&odoo)
        )
    };
    let pools: String = (0..POOLS).map(pool).collect();
    let start = async |at: usize| {
        let config = format!("threads: 2\n{}\nregions: [ {{ name: eu }} ]\npools:\n{pools}", medium(at));
        let own = authority.sign(NAMES[at]);
        let builder = Gateway::builder(&config).file("own.crt", &own.chain).file("own.key", &own.key);
        builder.file("ca.crt", &authority.pem).start().await
    };
    let gateways = join_all((0..3).map(start)).await;
    for gateway in &gateways {
        wait_for("all pools are served", AGREED, async || {
            let regions = gateway.admin("/v1/regions").await;
            let pools = regions["pools"].as_array().unwrap();
            pools.len() == POOLS && pools.iter().all(|pool| pool["route"] == "serve")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_pools_as_there_may_be_are_decided_together() {
    let addresses = [free_address(), free_address(), free_address()];
    decide_about_all_pools(|at| nodes(at, addresses[at], &addresses), &Authority::new("gateways")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_pools_as_there_may_be_are_decided_together_over_a_redis() {
    let redis = Redis::start(&[]).await;
    let medium = |at: usize| format!("redis: {{ servers: [ \"{}\" ], node: {} }}", redis.url(), NAMES[at]);
    decide_about_all_pools(medium, &Authority::new("gateways")).await;
}
