//! Servers that answer probes badly, over links that do worse: each is found out, costs little, and takes nothing else
//! with it.

use crate::fleet::{self, one_port};
use fleetgate_stub::StubOdoo;
use fleetgate_stub::fault::{Fault, FaultyBackend, FullBacklog};
use fleetgate_tests::{DEADLINE, FaultProxy, Gateway, Link, Postgres, Request, backend, wait_for};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// Probes in quick succession.
const HEALTH: &str = "health: { interval: 200ms, timeout: 500ms }";

/// A gateway before a server that is well, and another address.
async fn beside(well: &StubOdoo, other: SocketAddr) -> Gateway {
    let config = fleet::config(&[backend(well), one_port(other)], HEALTH);
    Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await
}

async fn verdicts(gateway: &Gateway) -> [Value; 2] {
    let report = gateway.admin("/v1/regions").await;
    [0, 1].map(|place: usize| report["pools"][0]["regions"][0]["backends"][place].clone())
}

async fn until_other_is(gateway: &Gateway, verdict: &str) {
    wait_for(&format!("the other backend is {verdict}"), DEADLINE, async || {
        verdicts(gateway).await[1]["verdict"] == verdict
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answers_a_probe_badly_is_down_and_costs_little() {
    let well = fleet::prefork("eu-1").await;
    for fault in [
        Fault::BlackHole,
        Fault::ResetOnAccept,
        Fault::ResetAfterRequest,
        Fault::SlowHeaders { interval: Duration::from_millis(20) },
        Fault::Garbage,
        Fault::ContentLengthLies,
        Fault::BrokenChunks,
        Fault::HugeHeaders,
        Fault::HangMidBody,
        Fault::SwitchesProtocolsUnasked,
        Fault::Lies,
        Fault::HugeBody,
        Fault::Redirects,
    ] {
        let faulty = FaultyBackend::start(fault).await.unwrap();
        let gateway = beside(&well, faulty.address()).await;
        let before = gateway.resident_kib();
        until_other_is(&gateway, "down").await;
        // Two ports are asked, each by one probe after the other.
        let asked = faulty.counts().connections;
        wait_for("it is asked again and again", DEADLINE, async || faulty.counts().connections >= asked + 6)
            .await;
        assert!(faulty.counts().connections_open <= 4, "{fault:?}: {:?}", faulty.counts());
        let grown = gateway.resident_kib().saturating_sub(before);
        assert!(grown < 32 * 1024, "{fault:?}: {grown} KiB");
        let [one, other] = verdicts(&gateway).await;
        assert_eq!((&one["verdict"], &other["verdict"]), (&"up".into(), &"down".into()), "{fault:?}");
        fleet::still_serves(&gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_signal_is_judged_as_its_own_settings_say() {
    let (well, lies) = (fleet::prefork("eu-1").await, FaultyBackend::start(Fault::Lies).await.unwrap());
    let pool = "health: { interval: 200ms, timeout: 500ms, fall: 100, http: { fall: 2 }, gevent: { interval: 60s } }";
    let config = fleet::config(&[backend(&well), one_port(lies.address())], pool);
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    until_other_is(&gateway, "down").await;
    let signals = verdicts(&gateway).await[1]["signals"].clone();
    let [http, gevent] = [0, 1].map(|place: usize| signals[place].clone());
    assert_eq!((&http["signal"], &http["standing"]), (&"http".into(), &"failing".into()), "{http}");
    assert_eq!((&gevent["signal"], &gevent["standing"]), (&"gevent".into(), &"unknown".into()), "{gevent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_takes_no_connection_is_down() {
    let (well, full) = (fleet::prefork("eu-1").await, FullBacklog::start().await.unwrap());
    let gateway = beside(&well, full.address()).await;
    until_other_is(&gateway, "down").await;
    fleet::still_serves(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_breaks_is_found_out_and_trusted_again_when_it_is_mended() {
    // Threaded servers have one port for everything.
    let (well, behind) = (fleet::prefork("eu-1").await, fleet::threaded("eu-2").await);
    let proxy = FaultProxy::start(behind.http_addr(), 1).await;
    let gateway = beside(&well, proxy.address()).await;
    until_other_is(&gateway, "up").await;
    for link in [
        Link::BlackHole,
        Link::HalfOpen,
        Link::Slow { bytes_per_second: 100 },
        Link::Lossy { percent: 60 },
        Link::CutAfter { bytes: 20 },
        Link::Delayed { least: Duration::from_millis(600), spread: Duration::from_millis(10) },
    ] {
        proxy.set(link);
        until_other_is(&gateway, "down").await;
        fleet::still_serves(&gateway).await;
        proxy.set(Link::Clear);
        until_other_is(&gateway, "up").await;
    }
    // What is slow, but in time, is well.
    proxy.set(Link::Delayed { least: Duration::from_millis(50), spread: Duration::from_millis(20) });
    let asked = proxy.accepted();
    wait_for("it is asked for a while", DEADLINE, async || proxy.accepted() >= asked + 20).await;
    assert_eq!(verdicts(&gateway).await[1]["verdict"], "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_behind_a_broken_link_is_silent_and_writes_go_on_when_it_is_mended() {
    let (database, stub) = (Postgres::primary(), fleet::prefork("eu-1").await);
    let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], database.port())), 1).await;
    let url = database.url().replace(&database.port().to_string(), &proxy.address().port().to_string());
    let config = format!(
        "threads: 2\nregions: [ {{ name: eu }} ]\npools:\n  main:\n    odoo_version: \"19.0\"\n    \
         database_selection: dbfilter_header\n    {HEALTH}\n    failover: {{ hold: 0s }}\n    \
         regions: {{ eu: {{ backends: [ {} ], postgres: \"{url}\" }} }}\n",
        backend(&stub)
    );
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    let database_is = async |verdict: &str| {
        wait_for(&format!("the database is {verdict}"), DEADLINE, async || {
            gateway.admin("/v1/regions").await["pools"][0]["regions"][0]["database"]["verdict"] == verdict
        })
        .await;
    };
    database_is("writable").await;
    for link in [
        Link::BlackHole,
        Link::HalfOpen,
        Link::CutAfter { bytes: 3 },
        Link::Delayed { least: Duration::from_millis(600), spread: Duration::from_millis(10) },
    ] {
        proxy.set(link);
        database_is("unreachable").await;
        let write = Request::post("acme.test", "/stub/echo", "x").send(gateway.address()).await;
        assert_eq!(write.status, 503, "{link:?}");
        proxy.set(Link::Clear);
        database_is("writable").await;
        fleet::still_serves(&gateway).await;
    }
}
