//! Two tenants attack each other at random, and neither meets the other.

use std::time::{SystemTime, UNIX_EPOCH};

use fleetgate_tests::Gateway;
use fleetgate_tests::isolation::{TENANTS, Trial, main_file, servers};

/// Requests of a run: some seconds without optimisation.
const REQUESTS: u64 = 6_000;

/// `$FLEETGATE_ISOLATION_SEED`, to see a leak again, or one that nobody tried yet.
fn seed() -> u64 {
    let given = std::env::var("FLEETGATE_ISOLATION_SEED").ok().map(|text| text.parse().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    given.unwrap_or_else(|| u64::try_from(now.as_micros()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_two_tenants_send_neither_meets_the_other() {
    let servers = servers().await.unwrap();
    let config = format!("threads: 2\n{}", main_file(&servers));
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).start().await;
    let trial = Trial {
        gateway: gateway.address(),
        servers: &servers,
        seed: seed(),
        requests: REQUESTS,
        clients: 32,
    };
    let outcome = trial.run().await;
    eprintln!("{outcome:?}");
    assert_eq!(outcome.leaks, 0, "{}", outcome.shown.join("\n"));
    assert!(outcome.shown.is_empty(), "{}", outcome.shown.join("\n"));
    // It would hold of a gateway that serves nobody, too.
    let [acme, globex] = outcome.answered;
    assert!(acme > REQUESTS / 5 && globex > REQUESTS / 5, "{outcome:?}");
    assert!(outcome.refused > REQUESTS / 20 && outcome.over_http2 > REQUESTS / 20, "{outcome:?}");
    assert_eq!(gateway.admin("/v1/status").await["panics"], 0);
}
