//! Faults on every link of a fleet of two sites, one after the other and two at once, while readers and writers work, the
//! database of one site dies and that of the other is promoted. Nothing that happens to links may make a write arrive twice,
//! get lost after it was acknowledged, or reach a database that is not the one that takes writes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{
    Authority, DEADLINE, Dice, FaultProxy, Gateway, Link, Postgres, Redis, Request, free_address, wait_for,
    ws_connect,
};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::fleet::{self, DATABASES};
use crate::sites::{far_region, identified};

/// Length of a run, unless `$FLEETGATE_CHAOS_SECONDS` says another.
const SECONDS: u64 = 30;
/// Who writes and who reads at each gateway.
const CLIENTS: usize = 4;
/// Between two requests of one of them.
const PACE: Duration = Duration::from_millis(25);
/// What the links to servers are called.
const SERVERS: [&str; 6] = [
    "odoo of paris",
    "bus of paris",
    "odoo of dublin",
    "bus of dublin",
    "database of paris",
    "database of dublin",
];
/// And how the two gateways hear of each other.
const BETWEEN: [(Between, [&str; 2]); 2] = [
    (Between::Redis, ["redis of one", "redis of two"]),
    (Between::Gateways, ["the way to the gateway of paris", "the way to the gateway of dublin"]),
];
const FAULTS: [Link; 7] = [
    Link::Delayed { least: Duration::from_millis(100), spread: Duration::from_millis(300) },
    Link::Delayed { least: Duration::from_millis(700), spread: Duration::from_millis(800) },
    Link::Slow { bytes_per_second: 300 },
    Link::Lossy { percent: 50 },
    Link::CutAfter { bytes: 120 },
    Link::BlackHole,
    Link::HalfOpen,
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What is between two gateways.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Between {
    /// A Redis; both reach the servers of both sites.
    Redis,
    /// Each reaches the servers of its own site, and the other gateway.
    Gateways,
}

/// Two sites and two gateways, with a link between each two that speak with each other.
struct Fleet {
    stubs: [StubOdoo; 2],
    primary: Postgres,
    standby: Postgres,
    _redis: Redis,
    links: Vec<(&'static str, FaultProxy)>,
    gateways: Vec<Gateway>,
}

impl Fleet {
    async fn start(seed: u64, (between, names): (Between, [&'static str; 2])) -> Self {
        let stub = |name: &str| {
            let options = StubOptions { received_max: 1_000_000, ..StubOptions::new(name, DATABASES) };
            StubOdoo::start(options)
        };
        let stubs = [stub("paris-1").await.unwrap(), stub("dublin-1").await.unwrap()];
        let (primary, redis) = (Postgres::primary(), Redis::start(&[]).await);
        let standby = primary.standby();
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let own = [free_address(), free_address()];
        let last = if between == Between::Redis { [local(redis.port()); 2] } else { own };
        let [paris, dublin] = &stubs;
        let servers = [
            paris.http_addr(),
            paris.gevent_addr(),
            dublin.http_addr(),
            dublin.gevent_addr(),
            local(primary.port()),
            local(standby.port()),
        ];
        let mut links = Vec::new();
        for (name, server) in SERVERS.into_iter().chain(names).zip(servers.into_iter().chain(last)) {
            let seed = seed.wrapping_add(u64::try_from(links.len()).unwrap());
            links.push((name, FaultProxy::start(server, seed).await));
        }
        let at = |place: usize| links[place].1.address();
        let region = |site: usize, database: &Postgres, node: usize| {
            if between == Between::Gateways && node != site {
                return far_region(["paris", "dublin"][site], at(6 + site));
            }
            let through = at(4 + site).port().to_string();
            let url = database.url().replace(&database.port().to_string(), &through);
            format!(
                "{{ backends: [ {{ http: \"{}\", websocket: \"{}\", workers: 8 }} ], postgres: \"{url}\" }}",
                at(2 * site),
                at(2 * site + 1)
            )
        };
        let authority = Authority::new("gateways");
        let mut gateways = Vec::new();
        for node in 0..2 {
            let hears = match between {
                Between::Redis => format!(
                    "redis: {{ servers: [ \"redis://{}\" ], node: n{node}, usual_nodes: 2 }}\nlisteners:\n  \
                     - {{ address: \"127.0.0.1:0\" }}\n",
                    at(6 + node)
                ),
                Between::Gateways => format!(
                    "listeners:\n  - {{ address: \"127.0.0.1:0\" }}\n  \
                     - {{ address: \"{}\", tls: {{ certificates: certs }}, gateways: {{ ca: ca.pem }} }}\n",
                    own[node]
                ),
            };
            let config = format!(
                "threads: 2\ndrain: {{ websocket_spread: 0s }}\n{hears}\
                 regions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
                 odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
                 health: {{ interval: 200ms, timeout: 1s, slow_start: 0s, warm_up: 0s }}\n    failover: {{ hold: 3s }}\n    \
                 http: {{ connect_timeout: 1s, read_timeout: 3s, write_timeout: 3s }}\n    \
                 websocket: {{ connect_timeout: 1s, handshake_timeout: 3s }}\n    \
                 regions:\n      paris: {}\n      dublin: {}\n",
                region(0, &primary, node),
                region(1, &standby, node)
            );
            let builder = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS);
            gateways.push(identified(builder, &authority, ["paris", "dublin"][node]).start().await);
        }
        Self { stubs, primary, standby, _redis: redis, links, gateways }
    }

    /// What each server got of what clients sent, in its order.
    fn received(&self, site: usize) -> Vec<String> {
        let received = self.stubs[site].received().into_iter().map(|request| request.target);
        received.filter(|target| target.starts_with("/stub/echo?")).collect()
    }
}

/// What a client knows of one of its requests.
struct Sent {
    gateway: usize,
    begun: Instant,
    ended: Instant,
    /// Who answered it with 200.
    by: Option<String>,
    writes: bool,
}

type Ledger = BTreeMap<String, Sent>;

/// Reads and writes, each once, until told to stop.
fn clients(fleet: &Fleet, stop: &Arc<AtomicBool>) -> JoinSet<Ledger> {
    let mut clients = JoinSet::new();
    for (gateway, node) in fleet.gateways.iter().enumerate() {
        for client in 0..2 * CLIENTS {
            let (address, stop, writes) = (node.address(), Arc::clone(stop), client % 2 == 0);
            clients.spawn(async move {
                let (mut ledger, mut paced) = (Ledger::new(), interval(PACE));
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    paced.tick().await;
                    let target = format!("/stub/echo?{gateway}-{client}-{number}");
                    let request = match writes {
                        true => Request::post("acme.test", &target, "x"),
                        false => Request::get("globex.test", &target),
                    };
                    let begun = Instant::now();
                    let answer = request.try_send(address).await.ok().filter(|answer| answer.status == 200);
                    let by = answer.and_then(|answer| answer.server().map(str::to_owned));
                    ledger.insert(target, Sent { gateway, begun, ended: Instant::now(), by, writes });
                }
                ledger
            });
        }
    }
    clients
}

/// Breaks one link or two for a moment, again and again.
async fn break_links(fleet: &Fleet, dice: &mut Dice, seconds: Duration) {
    let end = Instant::now() + seconds;
    while Instant::now() < end {
        let mut broken = Vec::new();
        for _ in 0..=dice.roll(2) {
            let link = usize::try_from(dice.roll(8)).unwrap();
            let fault = FAULTS[usize::try_from(dice.roll(7)).unwrap()];
            let (name, proxy) = &fleet.links[link];
            proxy.set(fault);
            broken.push(proxy);
            eprintln!("{:?} left: {name}: {fault:?}", end.saturating_duration_since(Instant::now()));
        }
        sleep(Duration::from_millis(300 + dice.roll(2_500))).await;
        broken.into_iter().for_each(|link| link.set(Link::Clear));
        sleep(Duration::from_millis(dice.roll(700))).await;
    }
}

async fn until_serving(gateway: &Gateway, region: &str) {
    wait_for(&format!("{region} serves"), 3 * DEADLINE, async || {
        gateway.admin("/v1/regions").await["pools"][0]["serving"] == region
    })
    .await;
}

/// Everything works as before any fault.
async fn has_recovered(fleet: &Fleet) {
    for gateway in &fleet.gateways {
        for request in [
            Request::get("acme.test", "/stub/echo?read=end"),
            Request::post("acme.test", "/stub/echo?write=end", "x"),
        ] {
            wait_for("requests are served", DEADLINE, async || {
                let answer = request.try_send(gateway.address()).await;
                answer.is_ok_and(|answer| answer.status == 200 && answer.server() == Some("dublin-1"))
            })
            .await;
        }
        let mut websocket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
        assert_eq!(websocket.json().await["server"], "dublin-1");
        wait_for("nothing is left of what was broken", DEADLINE, async || {
            let status = gateway.admin("/v1/status").await;
            let report = gateway.admin("/v1/regions").await;
            status["pools"][0]["admission"]["held"] == 0 && report["pools"][0]["held"] == 0
        })
        .await;
        assert_eq!(gateway.admin("/v1/status").await["panics"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_links_no_write_is_doubled_or_lost_and_none_reaches_a_database_that_was_left() {
    run(BETWEEN[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_where_sites_reach_each_other_through_their_gateways_alone() {
    run(BETWEEN[1]).await;
}

async fn run(between: (Between, [&'static str; 2])) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let seed = number("FLEETGATE_CHAOS_SEED").unwrap_or_else(|| u64::try_from(now).unwrap());
    let seconds = Duration::from_secs(number("FLEETGATE_CHAOS_SECONDS").unwrap_or(SECONDS));
    eprintln!("FLEETGATE_CHAOS_SEED={seed}");
    let mut dice = Dice::new(seed);
    let fleet = Fleet::start(seed, between).await;
    for gateway in &fleet.gateways {
        until_serving(gateway, "paris").await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let clients = clients(&fleet, &stop);
    break_links(&fleet, &mut dice, seconds / 2).await;

    fleet.primary.kill();
    break_links(&fleet, &mut dice, Duration::from_secs(2)).await;
    assert_eq!(fleet.received(1), Vec::<String>::new(), "a request reached a database that nobody promoted");
    fleet.standby.promote();
    let mut moved = Vec::new();
    for gateway in &fleet.gateways {
        until_serving(gateway, "dublin").await;
        moved.push(Instant::now());
    }
    // It takes writes again, for all it knows.
    fleet.primary.start();
    break_links(&fleet, &mut dice, seconds / 2).await;

    stop.store(true, Ordering::Relaxed);
    let ledger: Ledger = clients.join_all().await.into_iter().flatten().collect();
    has_recovered(&fleet).await;
    let received = [fleet.received(0), fleet.received(1)];
    let mut arrived: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (site, targets) in received.iter().enumerate() {
        targets.iter().for_each(|target| arrived.entry(target).or_default().push(site));
    }
    let (mut written, mut read) = ([0, 0], 0);
    for (target, sent) in &ledger {
        let at = arrived.remove(target.as_str()).unwrap_or_default();
        if sent.writes {
            assert!(at.len() <= 1, "{target} was sent twice, to {at:?}");
            if let Some(by) = &sent.by {
                let lost = by == "paris-1" && sent.ended > moved[sent.gateway];
                assert!(!lost, "{target} was acknowledged after its database was left");
                let servers: Vec<&str> = at.iter().map(|site| fleet.stubs[*site].name()).collect();
                assert_eq!(servers, [by.as_str()], "{target} was acknowledged");
                written[at[0]] += 1;
            }
        } else {
            read += u32::from(sent.by.is_some());
        }
        let late = sent.begun > moved[sent.gateway];
        assert!(!late || !at.contains(&0), "{target} was sent to a database that was left");
    }
    eprintln!("{} sent, {written:?} acknowledged, {read} read", ledger.len());
    assert!(written[0] > 20 && written[1] > 20 && read > 40, "hardly anything was served");
}
