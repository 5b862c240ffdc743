//! Two regions whose databases Patroni manages: requests follow its promotions.

use crate::fleet;
use crate::regions::{database_is, get, pool, post, refused, served_by};
use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Authority, Builder, DEADLINE, Gateway, PatroniCluster, RestTls, backend, wait_for};

/// A gateway before two regions, the first member of a cluster in one and the second in the other, not started. `keys`: of
/// the pool.
fn before([paris, dublin]: [&StubOdoo; 2], cluster: &PatroniCluster, keys: &str) -> Builder {
    let region = |stub, member: usize| {
        format!("{{ backends: [ {} ], patroni: [ \"{}\" ] }}", backend(stub), cluster.members[member].url())
    };
    let config = format!(
        "threads: 2\nregions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
         {keys}odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
         health: {{ interval: 200ms, timeout: 2s }}\n    regions:\n      paris: {}\n      dublin: {}\n",
        region(paris, 0),
        region(dublin, 1)
    );
    Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_follow_whom_patroni_promotes_and_nobody_else() {
    let cluster = PatroniCluster::start(["paris", "dublin"]).await;
    let (paris, dublin) = (fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await);
    let gateway = before([&paris, &dublin], &cluster, "").start().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn members_are_asked_over_tls_and_believed_by_their_certificates_alone() {
    let (members, gateways) = (Authority::new("members"), Authority::new("gateways"));
    let (server, own) = (members.sign("127.0.0.1"), gateways.sign("gateway"));
    let rest = RestTls {
        server: (server.chain, server.key),
        client: (own.chain.clone(), own.key.clone()),
        authorities: [members.pem.clone(), gateways.pem.clone()],
    };
    let cluster = PatroniCluster::start_secured(["paris", "dublin"], &rest).await;
    let (paris, dublin) = (fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await);
    let with = |ca: &str, client: &str| {
        let keys = format!("postgres_tls: {{ ca: ca.crt{client} }}\n    ");
        let builder = before([&paris, &dublin], &cluster, &keys).file("ca.crt", ca);
        builder.file("own.crt", &own.chain).file("own.key", &own.key)
    };
    let shown = ", client_certificate: { certificate: own.crt, key: own.key }";
    let gateway = with(&members.pem, shown).start().await;
    database_is(&gateway, 0, "writable").await;
    database_is(&gateway, 1, "standby").await;
    served_by(&gateway, "paris-1").await;

    // Members that are not believed, and a gateway that they do not believe, are named, and cost no service.
    for (ca, client, words) in [
        (&Authority::new("somebody").pem, shown, "from nobody whom `ca` names"),
        (&members.pem, "", "look at `client_certificate`"),
    ] {
        let gateway = with(ca, client).start().await;
        for region in [0, 1] {
            wait_for(&format!("it is said: {words}"), DEADLINE, async || {
                let saw = &pool(&gateway).await["regions"][region]["database"]["saw"];
                saw.as_str().is_some_and(|saw| saw.contains(words))
            })
            .await;
        }
        assert_eq!(post(&gateway).await.server(), Some("paris-1"));
    }
    // A gateway that knew them goes on with what it knew.
    gateway.directory().write("ca.crt", Authority::new("somebody").pem.as_bytes());
    wait_for("its members are not believed any more", DEADLINE, async || {
        let saw = &pool(&gateway).await["regions"][0]["database"]["saw"];
        saw.as_str().is_some_and(|saw| saw.contains("from nobody whom `ca` names"))
    })
    .await;
    assert_eq!(post(&gateway).await.server(), Some("paris-1"));
    gateway.directory().write("ca.crt", members.pem.as_bytes());
    database_is(&gateway, 1, "standby").await;

    cluster.switch_over(0, 1).await;
    served_by(&gateway, "dublin-1").await;
    assert_eq!(post(&gateway).await.server(), Some("dublin-1"));
}
