//! Three gateways that ask each other directly, over real databases, and are cut off, met by strangers, and replaced.

use std::net::SocketAddr;
use std::sync::Arc;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{
    Builder, DEADLINE, FaultProxy, Gateway, Link, Postgres, backend, free_address, wait_for,
};
use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::authority::{Authority, Signed};
use crate::fleet;
use crate::quorum::{AGREED, route_is};
use crate::regions::{pool, post, refused, served_by};
use crate::visitors::Visitors;

const NAMES: [&str; 3] = ["gw-paris", "gw-dublin", "gw-witness"];

/// Two regions, and an authority that signs for gateways.
struct Site {
    primary: Postgres,
    standby: Postgres,
    odoo: [StubOdoo; 2],
    authority: Authority,
    addresses: [SocketAddr; 3],
    /// Keys of `failover`.
    failover: &'static str,
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
    async fn new() -> Self {
        let primary = Postgres::primary();
        let standby = primary.standby();
        let odoo = [fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await];
        let authority = Authority::new("gateways");
        let addresses = [free_address(), free_address(), free_address()];
        Self { primary, standby, odoo, authority, addresses, failover: "quorum: 3, hold: 0s" }
    }

    fn databases(&self) -> [SocketAddr; 2] {
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

    fn builder(&self, at: usize, places: &[SocketAddr], databases: [SocketAddr; 2]) -> Builder {
        let region = |stub: &StubOdoo, postgres: SocketAddr| {
            format!(
                "{{ backends: [ {} ], postgres: \"postgres://probe@{postgres}/postgres\" }}",
                backend(stub)
            )
        };
        let places = NAMES.iter().zip(places).map(|(name, place)| format!("{name}: \"{place}\""));
        let config = format!(
            "threads: 2\nnodes: {{ name: {}, address: \"{}\", certificate: own.crt, key: own.key, ca: ca.crt, \
             gateways: {{ {} }} }}\nregions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
             odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
             health: {{ interval: 200ms, timeout: 500ms }}\n    failover: {{ {} }}\n    \
             regions:\n      paris: {}\n      dublin: {}\n",
            NAMES[at],
            self.addresses[at],
            places.collect::<Vec<_>>().join(", "),
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

async fn explained(gateway: &Gateway) -> String {
    let told = gateway.cli(&["regions", "explain", "main", "--socket", "admin.sock"]).await;
    String::from_utf8_lossy(&told.stdout).into_owned()
}

async fn explains(gateway: &Gateway, part: &str) {
    wait_for(&format!("it is explained: {part}"), DEADLINE, async || explained(gateway).await.contains(part))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_ask_each_other_move_together_and_one_that_is_cut_off_serves_nobody() {
    let site = Site::new().await;
    let nodes = join_all((0..3).map(|at| site.node(at))).await;
    for node in &nodes {
        served_by(&node.gateway, "paris-1").await;
        wait_for("both others are for paris", DEADLINE, async || {
            explained(&node.gateway).await.matches("is for paris").count() == 2
        })
        .await;
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
    wait_for("the majority writes to dublin", AGREED, async || {
        let mut moved = 0;
        for node in majority {
            let answer = post(&node.gateway).await;
            moved += usize::from(answer.status == 200 && answer.server() == Some("dublin-1"));
        }
        let answer = post(&alone.gateway).await;
        let old = answer.status == 200 && answer.server() == Some("paris-1");
        assert!(moved == 0 || !old, "two regions were written to");
        moved == majority.len()
    })
    .await;
    refused(&alone.gateway, "region_unwritable").await;
    assert_eq!(pool(&alone.gateway).await["route"], "isolated");
    explains(&alone.gateway, "1 of 3 gateways are heard").await;
    explains(&alone.gateway, "gw-dublin is for").await;
    explains(&alone.gateway, "it does not answer within 1 s").await;
    let told = |event: &serde_json::Value| {
        event["to"] == "isolated" && event.to_string().contains("gw-witness: it does not")
    };
    alone.gateway.operational_log().event("why it is isolated", DEADLINE, told).await;

    // It is back, and follows.
    alone.ways.iter().chain([&alone.dublin]).for_each(|way| way.set(Link::Clear));
    majority.iter().for_each(|node| node.ways[0].set(Link::Clear));
    site.primary.kill();
    served_by(&alone.gateway, "dublin-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_are_killed_are_missed_when_there_are_too_few_and_come_back() {
    let site = Site::new().await;
    let mut nodes = join_all((0..3).map(|at| site.node(at))).await;
    for node in &nodes {
        served_by(&node.gateway, "paris-1").await;
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
    let old = asked_by((NAMES[0], site.addresses[0]), &next, Some(&site.authority.sign(NAMES[2]))).await;
    assert_eq!(old.unwrap_or_default(), "", "the old authority still counts");
}

async fn pid(gateway: &Gateway) -> u64 {
    gateway.admin("/v1/status").await["pid"].as_u64().unwrap()
}

/// Asks a gateway to replace its process, and waits until the new one has the vote.
async fn replaced(gateway: &Gateway, old: u64) -> u64 {
    kill_process(Pid::from_raw(i32::try_from(old).unwrap()).unwrap(), Signal::QUIT).unwrap();
    wait_for("another process serves", AGREED, async || pid(gateway).await != old).await;
    pid(gateway).await
}

/// A gateway, and its process, are replaced while somebody asks it and another one.
async fn upgraded_under_load(upgraded: &mut Gateway, other: &Gateway, place: Place, whole: &Authority) {
    let hosts = [("acme.test", "acme"), ("globex.test", "globex")];
    let (here, there) = (Visitors::come(upgraded.address(), &hosts), Visitors::come(other.address(), &hosts));
    let own = whole.sign(NAMES[2]);
    let mut serving = u64::from(upgraded.pid());
    for _ in 0..2 {
        here.served(50).await;
        serving = replaced(upgraded, serving).await;
        here.served(50).await;
        there.served(50).await;
        wait_for("the new process has the vote", AGREED, async || {
            asked_by(place, whole, Some(&own)).await.unwrap_or_default().contains("\"main\":[\"paris\",3,")
        })
        .await;
    }
    for visitors in [here, there] {
        let (answered, failures) = visitors.leave().await;
        assert!(answered >= 200 && failures.is_empty(), "{answered} answered, {failures:#?}");
    }
    assert!(upgraded.wait_exit(DEADLINE).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_a_gateway_that_decides_with_others_fails_no_request_with_all_of_them_and_with_one_away()
 {
    let site = Site { failover: "quorum: 3", ..Site::new().await };
    let databases = site.databases();
    let start = async |at| site.builder(at, &site.addresses, databases).start().await;
    let mut gateways = join_all((0..3).map(start)).await;
    for gateway in &gateways {
        served_by(gateway, "paris-1").await;
    }
    let witness = gateways.remove(2);
    let [upgraded, other] = &mut gateways[..] else { panic!("there are two") };
    upgraded_under_load(upgraded, other, (NAMES[0], site.addresses[0]), &site.authority).await;
    drop(witness);
    explains(other, "it refuses connections").await;
    upgraded_under_load(other, upgraded, (NAMES[1], site.addresses[1]), &site.authority).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_are_restarted_one_after_the_other_serve_at_once_and_no_other_one_stops() {
    let site = Site::new().await;
    let databases = site.databases();
    let builders: Vec<Builder> = (0..3).map(|at| site.builder(at, &site.addresses, databases)).collect();
    let mut gateways = join_all(builders.iter().cloned().map(Builder::start)).await;
    for gateway in &gateways {
        served_by(gateway, "paris-1").await;
    }
    for at in 0..3 {
        let others: Vec<&Gateway> =
            (0..3).filter(|other| *other != at).map(|other| &gateways[other]).collect();
        let visitors: Vec<Visitors> =
            others.iter().map(|other| Visitors::come(other.address(), &[("acme.test", "acme")])).collect();
        gateways[at].signal(Signal::TERM);
        assert!(gateways[at].wait_exit(DEADLINE).await.success());
        gateways[at] = builders[at].clone().start().await;
        // One that serves when it listens has not waited for a lease of its own.
        assert_eq!(post(&gateways[at]).await.server(), Some("paris-1"));
        for visitors in visitors {
            visitors.served(20).await;
            let (_, failures) = visitors.leave().await;
            assert!(failures.is_empty(), "{failures:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_pools_as_there_may_be_are_decided_together() {
    const POOLS: usize = 1_000;
    let (authority, odoo) = (Authority::new("gateways"), fleet::prefork("eu-1").await);
    let addresses = [free_address(), free_address(), free_address()];
    let places = NAMES.iter().zip(addresses).map(|(name, place)| format!("{name}: \"{place}\""));
    let places = places.collect::<Vec<_>>().join(", ");
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
        let nodes = format!(
            "nodes: {{ name: {}, address: \"{}\", certificate: own.crt, key: own.key, ca: ca.crt, gateways: {{ {places} }} }}",
            NAMES[at], addresses[at]
        );
        let config = format!("threads: 2\n{nodes}\nregions: [ {{ name: eu }} ]\npools:\n{pools}");
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
