//! Faults on every link of a fleet of two sites, one after the other and several at once, while readers, writers and websockets
//! work, the database of one site dies and that of the other is promoted. Nothing that happens to links may make a write arrive
//! twice, get lost after it was acknowledged, or reach a database that is not the one that takes writes.

mod clients;
mod sites;
mod sockets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fleetgate_tests::{DEADLINE, Dice, Gateway, Link, Request, wait_for, ws_connect};
use tokio::time::sleep;

use clients::{Ledger, clients};
use sites::{Between, Fleet};
use sockets::Sockets;

/// Length of a run, unless `$FLEETGATE_CHAOS_SECONDS` says another: a move of gateways that agree takes longer.
const SECONDS: u64 = 30;
const SECONDS_TOGETHER: u64 = 14;
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

/// Breaks some links for a moment, again and again.
async fn break_links(fleet: &Fleet, dice: &mut Dice, seconds: Duration) {
    let end = Instant::now() + seconds;
    while Instant::now() < end {
        let mut broken = Vec::new();
        for _ in 0..=dice.roll(fleet.between.broken_max()) {
            let link = usize::try_from(dice.roll(u64::try_from(fleet.links.len()).unwrap())).unwrap();
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
            && gateway.admin("/v1/regions").await["pools"][0]["route"] == "serve"
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
    run(Between::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_where_sites_reach_each_other_through_their_gateways_alone() {
    run(Between::Sites).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_where_three_gateways_agree_and_no_two_of_them_write_to_two_databases() {
    run(Between::Nodes).await;
}

async fn run(between: Between) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let seed = number("FLEETGATE_CHAOS_SEED").unwrap_or_else(|| u64::try_from(now).unwrap());
    let usual = if between == Between::Nodes { SECONDS_TOGETHER } else { SECONDS };
    let seconds = Duration::from_secs(number("FLEETGATE_CHAOS_SECONDS").unwrap_or(usual));
    eprintln!("FLEETGATE_CHAOS_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut fleet = Fleet::start(seed, between).await;
    for gateway in &fleet.gateways {
        until_serving(gateway, "paris").await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let clients = clients(&fleet, &stop);
    let sockets = Sockets::open(&fleet, &stop);
    break_links(&fleet, &mut dice, seconds / 4).await;
    if between == Between::Nodes {
        fleet.kill_and_start(usize::try_from(dice.roll(3)).unwrap()).await;
    }
    break_links(&fleet, &mut dice, seconds / 4).await;

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

    sockets.are_all_at("dublin-1").await;
    stop.store(true, Ordering::Relaxed);
    let ledger: Ledger = clients.join_all().await.into_iter().flatten().collect();
    sockets.check(&moved).await;
    has_recovered(&fleet).await;
    check(&fleet, &ledger, &moved);
}

fn check(fleet: &Fleet, ledger: &Ledger, moved: &[Instant]) {
    let received = [fleet.received(0), fleet.received(1)];
    let mut arrived: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (site, targets) in received.iter().enumerate() {
        targets.iter().for_each(|target| arrived.entry(target).or_default().push(site));
    }
    // Gateways that agree leave a database together.
    let at_dublin = ledger.values().filter(|sent| sent.writes && sent.by.as_deref() == Some("dublin-1"));
    let left = at_dublin.map(|sent| sent.ended).min().filter(|_| fleet.between == Between::Nodes);
    let (mut written, mut read) = ([0, 0], 0);
    for (target, sent) in ledger {
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
            let rival = left.is_some_and(|left| sent.begun > left) && at.contains(&0);
            assert!(!rival, "{target} was written to paris when another gateway had written to dublin");
        } else {
            read += u32::from(sent.by.is_some());
        }
        let late = sent.begun > moved[sent.gateway];
        assert!(!late || !at.contains(&0), "{target} was sent to a database that was left");
    }
    eprintln!("{} sent, {written:?} acknowledged, {read} read", ledger.len());
    assert!(written[0] > 20 && written[1] > 20 && read > 40, "hardly anything was served");
}
