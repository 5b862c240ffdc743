//! Databases that hang: somebody takes connections there, and nobody answers.

use crate::fleet::{self, DATABASES};
use crate::regions::{database_is, post, refused, served_by};
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{DEADLINE, FaultProxy, Gateway, Link, Postgres, backend, wait_for};
use std::net::{Ipv4Addr, SocketAddr};

/// Questions to a database that are under way at once.
const UNDER_WAY_MAX: u64 = 3;

/// One region with a real database, which is reached through a link.
struct Site {
    stub: StubOdoo,
    database: Postgres,
    link: FaultProxy,
    gateway: Gateway,
}

impl Site {
    async fn new(health: &str) -> Self {
        let stub = StubOdoo::start(StubOptions::new("paris-1", DATABASES)).await.unwrap();
        let database = Postgres::primary();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, database.port()));
        let link = FaultProxy::start(address, 1).await;
        let url = database.url().replace(&address.to_string(), &link.address().to_string());
        let config = format!(
            "threads: 2\nregions: [ {{ name: paris }} ]\npools:\n  main:\n    odoo_version: \"19.0\"\n    \
             database_selection: dbfilter_header\n    failover: {{ hold: 0s }}\n    health: {{ {health} }}\n    \
             regions: {{ paris: {{ backends: [ {} ], postgres: \"{url}\" }} }}\n",
            backend(&stub)
        );
        let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
        served_by(&gateway, "paris-1").await;
        database_is(&gateway, 0, "writable").await;
        Self { stub, database, link, gateway }
    }

    /// Waits until the gateway has asked Odoo's ports so many times more.
    async fn probes(&self, count: usize) {
        let before = self.stub.received().len();
        wait_for("probes", DEADLINE, async || self.stub.received().len() >= before + count).await;
    }

    /// Waits until the server has one session of a probe and no more.
    async fn has_one_session(&self) {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fleetgate'";
        wait_for("one session is left", DEADLINE, async || self.database.sql(count) == "1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_is_asked_again_before_its_time_is_over_and_never_more_than_thrice_at_once() {
    let site = Site::new("interval: 200ms, database: { timeout: 60s }").await;
    let before = site.link.accepted();
    site.link.set(Link::BlackHole);
    // The first one hangs on the connection that was kept.
    let more = UNDER_WAY_MAX - 1;
    wait_for("it is asked again", DEADLINE, async || site.link.accepted() == before + more).await;
    site.probes(20).await;
    assert_eq!(site.link.accepted(), before + more);
    assert_eq!(post(&site.gateway).await.status, 200, "nobody said that it takes no writes");
    // The first answer ends all other questions.
    site.link.set(Link::Clear);
    site.has_one_session().await;
    database_is(&site.gateway, 0, "writable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_a_black_hole_is_left_and_comes_back() {
    let site = Site::new("interval: 200ms, database: { timeout: 1s }").await;
    for _ in 0..2 {
        site.link.set(Link::BlackHole);
        refused(&site.gateway, "region_unwritable").await;
        database_is(&site.gateway, 0, "unreachable").await;
        site.link.set(Link::Clear);
        database_is(&site.gateway, 0, "writable").await;
        served_by(&site.gateway, "paris-1").await;
        site.has_one_session().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_freezes_is_left_and_is_left_with_one_session_when_it_goes_on() {
    let site = Site::new("interval: 200ms, database: { timeout: 1s }").await;
    site.database.freeze();
    refused(&site.gateway, "region_unwritable").await;
    database_is(&site.gateway, 0, "unreachable").await;
    site.probes(20).await;
    site.database.thaw();
    database_is(&site.gateway, 0, "writable").await;
    served_by(&site.gateway, "paris-1").await;
    site.has_one_session().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_waits_for_a_lock_ends_at_the_server_too() {
    let site = Site::new("interval: 200ms, database: { timeout: 1s }").await;
    // The probe asks for what is in it.
    let lock =
        "BEGIN; LOCK TABLE pg_catalog.pg_stat_wal_receiver IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3600)";
    let mut locker = fleetgate_tests::psql(site.database.port(), "postgres", "postgres", lock);
    let mut locker = locker.spawn().unwrap();
    database_is(&site.gateway, 0, "unreachable").await;
    locker.kill().unwrap();
    locker.wait().unwrap();
}
