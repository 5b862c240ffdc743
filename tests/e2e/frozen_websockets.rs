//! Servers whose websocket port freezes while websockets are open there: their clients are sent elsewhere as soon as probes
//! know, one after the other, and not while nobody else answers. No clock of the pool ends anything here.

use crate::fleet::{self, DATABASES};
use crate::suspension::{OBSERVE, apply, ended, lives};
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{DEADLINE, FaultProxy, Gateway, Link, Websocket, wait_for, ws_connect};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

/// Probes in quick succession, and an hour for a websocket without a byte. Of two servers that freeze together, each has
/// failed a probe long before the other is believed to be lost.
const POOL: &str = "health: { interval: 200ms, fast_interval: 200ms, timeout: 500ms, fall: 6, slow_start: 0s, warm_up: 0s }\n\
    websocket: { idle_timeout: 1h }";
const RESTART: Option<(u16, String)> = Some((1012, String::new()));

/// Two servers, each with a link before its gevent port that a test can freeze.
struct Pair {
    _stubs: [StubOdoo; 2],
    links: [FaultProxy; 2],
    gateway: Gateway,
}

impl Pair {
    /// `spread` is the time over which websockets are closed; with `standby`, the second server is that of another region.
    async fn new(spread: &str, standby: bool) -> Self {
        let start = async |name: &str| StubOdoo::start(StubOptions::new(name, DATABASES)).await.unwrap();
        let stubs = [start("eu-1").await, start("eu-2").await];
        let links = [
            FaultProxy::start(stubs[0].gevent_addr(), 1).await,
            FaultProxy::start(stubs[1].gevent_addr(), 2).await,
        ];
        let backends = [0, 1].map(|place: usize| {
            let (http, websocket) = (stubs[place].http_addr(), links[place].address());
            format!("{{ http: \"{http}\", websocket: \"{websocket}\" }}")
        });
        let mut config = fleet::config(&backends, POOL)
            + &format!("observe: {{ address: \"{OBSERVE}\" }}\ndrain: {{ websocket_spread: {spread} }}\n");
        if standby {
            let [one, other] = &backends;
            config = config.replace("{ name: eu }", "{ name: eu }, { name: us, standby: true }").replace(
                &format!("{one}, {other} ] }}"),
                &format!("{one} ] }}, us: {{ backends: [ {other} ] }}"),
            );
        }
        let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
        let pair = Self { _stubs: stubs, links, gateway };
        pair.until(["passing", "passing"]).await;
        pair
    }

    /// Waits until the gevent ports are believed to be so.
    async fn until(&self, standings: [&str; 2]) {
        wait_for(&format!("gevent ports are {standings:?}"), DEADLINE, async || {
            let report = self.gateway.admin("/v1/regions").await;
            let regions = report["pools"][0]["regions"].as_array().unwrap().iter();
            let backends = regions.flat_map(|region| region["backends"].as_array().unwrap());
            let seen = backends.map(|backend| {
                let mut signals = backend["signals"].as_array().unwrap().iter();
                signals.find(|signal| signal["signal"] == "gevent").unwrap()["standing"].clone()
            });
            seen.eq(standings)
        })
        .await;
    }

    async fn open(&self) -> (String, Websocket) {
        let mut socket = ws_connect(self.gateway.address(), "acme.test", "/websocket", &[]).await;
        let server = socket.json().await["server"].as_str().unwrap().to_owned();
        (server, socket)
    }

    /// So many websockets, by server.
    async fn open_many(&self, count: usize) -> [Vec<Websocket>; 2] {
        let mut by_server = [Vec::new(), Vec::new()];
        for _ in 0..count {
            let (server, socket) = self.open().await;
            by_server[usize::from(server == "eu-2")].push(socket);
        }
        by_server
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_of_a_server_that_froze_are_closed_and_come_back_elsewhere() {
    let pair = Pair::new("0s", false).await;
    let [mut kept, mut lost] = pair.open_many(12).await;
    assert!(!kept.is_empty() && !lost.is_empty(), "{} and {}", kept.len(), lost.len());
    pair.links[1].set(Link::BlackHole);
    let count = lost.len();
    let mut closing = JoinSet::new();
    for mut socket in lost.drain(..) {
        closing.spawn(async move { socket.closed().await });
    }
    assert!(closing.join_all().await.iter().all(|end| *end == RESTART));
    wait_for("the ends are told", DEADLINE, async || ended(&pair.gateway, "lost").await == (count, count))
        .await;
    for _ in 0..4 {
        let (server, socket) = pair.open().await;
        assert_eq!(server, "eu-1");
        kept.push(socket);
    }
    for socket in &mut kept {
        lives(socket, "acme").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_websocket_is_closed_while_all_servers_are_frozen() {
    let pair = Pair::new("0s", false).await;
    let [mut kept, mut lost] = pair.open_many(12).await;
    pair.links.iter().for_each(|link| link.set(Link::BlackHole));
    pair.until(["failing", "failing"]).await;
    assert_eq!(ended(&pair.gateway, "lost").await, (0, 0), "nobody could have taken them");
    pair.links[0].set(Link::Clear);
    for socket in &mut lost {
        assert_eq!(socket.closed().await, RESTART, "the first that goes on takes them");
    }
    for socket in &mut kept {
        lives(socket, "acme").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_on_keeps_the_websockets_that_are_not_closed_yet() {
    let pair = Pair::new("6s", false).await;
    let [_, mut sockets] = pair.open_many(60).await;
    let mut others = Vec::new();
    for _ in 0..60 {
        others.push(ws_connect(pair.gateway.address(), "globex.test", "/websocket", &[]).await);
    }
    pair.links[1].set(Link::BlackHole);
    wait_for("the first websocket is closed", DEADLINE, async || ended(&pair.gateway, "lost").await.0 > 0)
        .await;
    pair.links[1].set(Link::Clear);
    pair.until(["passing", "passing"]).await;
    // Those of another tenant are closed over the same time, which began later: what was to be closed then is closed.
    let suspended = fleet::TENANTS.replace("[globex.test]", "[globex.test], state: suspended");
    apply(&pair.gateway, &suspended).await;
    for mut socket in others {
        socket.closed().await;
    }
    let (mut living, mut closed) = (0, 0);
    for socket in &mut sockets {
        // One that has got its close frame may not be able to say any more.
        let _said = socket.send("are you there?").await;
        let message = socket.next().await.unwrap().unwrap();
        if message.is_text() {
            living += 1;
        } else {
            let code = if let Message::Close(Some(frame)) = &message { u16::from(frame.code) } else { 0 };
            assert_eq!(code, 1012, "{message:?}");
            closed += 1;
        }
    }
    assert!(living > 0 && closed > 0, "{living} are open, and {closed} were closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_no_websocket_of_a_frozen_server() {
    let pair = Pair::new("0s", true).await;
    let [mut sockets, others] = pair.open_many(4).await;
    assert!(others.is_empty());
    pair.links[0].set(Link::BlackHole);
    pair.until(["failing", "passing"]).await;
    pair.links[0].set(Link::Clear);
    pair.until(["passing", "passing"]).await;
    for socket in &mut sockets {
        lives(socket, "acme").await;
    }
    assert_eq!(ended(&pair.gateway, "lost").await, (0, 0));
}
