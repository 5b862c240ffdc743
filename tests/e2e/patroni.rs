//! Two regions whose databases Patroni manages: requests follow its promotions.

use crate::fleet;
use crate::regions::{database_is, get, pool, post, refused, served_by};
use fleetgate_tests::{Gateway, PatroniCluster, backend};

#[tokio::test(flavor = "multi_thread")]
async fn requests_follow_whom_patroni_promotes_and_nobody_else() {
    let cluster = PatroniCluster::start(["paris", "dublin"]).await;
    let (paris, dublin) = (fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await);
    let region = |stub, member: usize| {
        format!("{{ backends: [ {} ], patroni: [ \"{}\" ] }}", backend(stub), cluster.members[member].url())
    };
    let config = format!(
        "threads: 2\nregions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
         odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
         health: {{ interval: 200ms, timeout: 2s }}\n    regions:\n      paris: {}\n      dublin: {}\n",
        region(&paris, 0),
        region(&dublin, 1)
    );
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    served_by(&gateway, "paris-1").await;
    database_is(&gateway, 0, "writable").await;
    database_is(&gateway, 1, "standby").await;
    let saw = pool(&gateway).await["regions"][0]["database"]["saw"].to_string();
    assert!(saw.contains("takes writes, timeline 1"), "{saw}");

    // Somebody else decides, and the pool follows without a fence.
    cluster.switch_over(0, 1).await;
    served_by(&gateway, "dublin-1").await;
    assert_eq!(post(&gateway).await.status, 200);
    database_is(&gateway, 0, "standby").await;
    assert!(
        !gateway.operational_log().text().contains("TWO DATABASES"),
        "{}",
        gateway.operational_log().text()
    );

    // The leader dies: nobody is asked until Patroni has promoted the other.
    cluster.members[1].kill();
    refused(&gateway, "region_unwritable").await;
    assert_eq!(get(&gateway).await.status, 503);
    cluster.members[0].says("primary").await;
    served_by(&gateway, "paris-1").await;
    assert_eq!(post(&gateway).await.server(), Some("paris-1"));
}
