//! A standby is ready while it follows: it streams, and the primary keeps what it needs.

use crate::fleet;
use crate::regions::pool;
use fleetgate_stub::StubOdoo;
use fleetgate_tests::{DEADLINE, Gateway, Postgres, backend, wait_for};

/// Two regions, the standby of which follows by a slot.
struct Fleet {
    primary: Postgres,
    standby: Postgres,
    gateway: Gateway,
    _stubs: [StubOdoo; 2],
}

impl Fleet {
    async fn start() -> Self {
        let primary = Postgres::primary();
        let standby = primary.standby_by("dublin");
        let (paris, dublin) = (fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await);
        let region = |stub, database: &Postgres| {
            format!("{{ backends: [ {} ], postgres: \"{}\" }}", backend(stub), database.url())
        };
        let config = format!(
            "threads: 2\nregions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
             odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
             health: {{ interval: 200ms, timeout: 2s }}\n    regions:\n      paris: {}\n      dublin: {}\n",
            region(&paris, &primary),
            region(&dublin, &standby)
        );
        let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
        let fleet = Self { primary, standby, gateway, _stubs: [paris, dublin] };
        fleet.standby_is("standby-ready", "").await;
        fleet
    }

    /// Waits until the standby region has a verdict, for a reason.
    async fn standby_is(&self, verdict: &str, why: &str) {
        wait_for(&format!("the standby is {verdict}"), DEADLINE, async || {
            let region = &pool(&self.gateway).await["regions"][1];
            region["verdict"] == verdict && region["why"].as_str().unwrap_or_default().contains(why)
        })
        .await;
    }

    async fn saw(&self, region: usize) -> String {
        pool(&self.gateway).await["regions"][region]["database"]["saw"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_stops_to_stream_is_not_ready_until_it_streams_again() {
    let fleet = Fleet::start().await;
    let saw = fleet.saw(1).await;
    assert!(saw.contains("streaming") && saw.contains("slot `dublin`"), "{saw}");
    let follow = |primary: &str| {
        let primary = primary.replace('\'', "''");
        fleet.standby.sql(&format!("ALTER SYSTEM SET primary_conninfo = '{primary}'"));
        fleet.standby.sql("SELECT pg_reload_conf()");
    };
    let primary = fleet.standby.sql("SHOW primary_conninfo");
    follow("");
    fleet.standby_is("not-ready", "does not stream from the primary").await;
    assert!(fleet.saw(1).await.contains("not streaming"), "{}", fleet.saw(1).await);
    assert!(fleet.saw(0).await.contains("the slot `dublin` is idle"), "{}", fleet.saw(0).await);
    follow(&primary);
    fleet.standby_is("standby-ready", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_whose_slot_lost_wal_is_not_ready_even_when_the_primary_is_gone() {
    let fleet = Fleet::start().await;
    fleet.primary.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    fleet.primary.sql("ALTER SYSTEM SET min_wal_size = '32MB'");
    fleet.primary.sql("SELECT pg_reload_conf()");
    fleet.standby.stop();
    for _ in 0..4 {
        fleet.primary.sql("SELECT pg_logical_emit_message(true, 'test', 'x')");
        fleet.primary.sql("SELECT pg_switch_wal()");
    }
    fleet.primary.sql("CHECKPOINT");
    fleet.standby.start();
    fleet.standby_is("not-ready", "has removed WAL that the standby needs").await;
    assert!(fleet.saw(0).await.contains("the slot `dublin` has lost WAL"), "{}", fleet.saw(0).await);
    fleet.primary.kill();
    wait_for("the primary is known to be gone", DEADLINE, async || {
        pool(&fleet.gateway).await["regions"][0]["database"]["verdict"] == "unreachable"
    })
    .await;
    fleet.standby_is("not-ready", "has removed WAL that the standby needs").await;
}
