//! Gateways that decide together are replaced, restarted and reloaded while they serve.

use std::fs;

use fleetgate_tests::{Builder, DEADLINE, Gateway, Redis, free_address, wait_for};
use futures_util::future::join_all;
use rustix::process::Signal;

use crate::fleet::TENANTS;
use crate::gateways::{Site, explained, explains};
use crate::quorum::AGREED;
use crate::regions::{pool, post, served_by};
use crate::visitors::Visitors;

/// Three gateways that serve, and what they were started from.
async fn gateways(site: &Site) -> (Vec<Builder>, Vec<Gateway>) {
    let builders: Vec<Builder> =
        (0..3).map(|at| site.builder(at, &site.addresses, site.databases())).collect();
    let gateways = join_all(builders.iter().cloned().map(Builder::start)).await;
    for gateway in &gateways {
        served_by(gateway, "paris-1").await;
    }
    (builders, gateways)
}

/// Whether the newest process of a gateway has its vote, and lets paris be used.
async fn votes(gateway: &Gateway) {
    wait_for("the newest process has the vote", AGREED, async || {
        gateway.admin("/v1/regions/said").await["pools"]["main"][0] == "paris"
    })
    .await;
}

/// A gateway is replaced twice while somebody asks it, and another one.
async fn upgraded_under_load(upgraded: &mut Gateway, other: &Gateway) {
    let hosts = [("acme.test", "acme"), ("globex.test", "globex")];
    let (here, there) = (Visitors::come(upgraded.address(), &hosts), Visitors::come(other.address(), &hosts));
    for _ in 0..2 {
        here.served(50).await;
        upgraded.replace(AGREED).await;
        here.served(50).await;
        there.served(50).await;
        votes(upgraded).await;
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
    let site = Site { failover: "quorum: 3".to_owned(), ..Site::new().await };
    let (_, mut gateways) = gateways(&site).await;
    let witness = gateways.remove(2);
    let [upgraded, other] = &mut gateways[..] else { panic!("there are two") };
    upgraded_under_load(upgraded, other).await;
    drop(witness);
    explains(other, "it refuses connections").await;
    upgraded_under_load(other, upgraded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_gateways_that_decide_over_a_redis_fails_no_request_with_all_of_them_and_with_one_away()
{
    let redis = Some(Redis::start(&[]).await);
    let site = Site { failover: "quorum: 3".to_owned(), redis, ..Site::new().await };
    let (_, mut gateways) = gateways(&site).await;
    let witness = gateways.remove(2);
    let [upgraded, other] = &mut gateways[..] else { panic!("there are two") };
    upgraded_under_load(upgraded, other).await;
    drop(witness);
    wait_for("the dead one is forgotten", AGREED, async || {
        pool(other).await["gateways"].as_array().unwrap().len() == 1
    })
    .await;
    upgraded_under_load(other, upgraded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_are_restarted_one_after_the_other_serve_at_once_and_no_other_one_stops() {
    let site = Site::new().await;
    let (builders, mut gateways) = gateways(&site).await;
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

/// Changes the main file of a gateway.
async fn reloaded(gateway: &Gateway, before: &str, after: &str) {
    let main = fs::read_to_string(gateway.directory().config()).unwrap();
    assert!(main.contains(before), "{main}");
    gateway.directory().write("fleetgate.yaml", main.replace(before, after).as_bytes());
    let reloaded = gateway.cli(&["reload", "--socket", "admin.sock"]).await;
    assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_of_what_gateways_decide_about_fail_no_request() {
    let site = Site { failover: "quorum: 3".to_owned(), ..Site::new().await };
    let (_, gateways) = gateways(&site).await;
    let visitors: Vec<Visitors> =
        gateways.iter().map(|gateway| Visitors::come(gateway.address(), &[("acme.test", "acme")])).collect();
    for gateway in &gateways {
        gateway.write_tenants("tenants.yaml", "- { id: acme, hosts: [acme.test], pool: main }\n");
    }
    // A setting of the pool, how its databases are asked, and a pool more: one after the other, on one gateway after another.
    let second = format!(
        "pools:\n  more:\n    odoo_version: \"19.0\"\n    database_selection: fixed\n    failover: {{ quorum: 3 }}\n    \
         regions: {{ paris: {{ backends: [ {} ] }} }}\n",
        fleetgate_tests::backend(&site.odoo[0])
    );
    let changes = [
        ("interval: 200ms", "interval: 300ms"),
        ("postgres://probe@", "postgres://postgres@"),
        ("pools:\n", &second),
    ];
    for (before, after) in changes {
        for (gateway, visitors) in gateways.iter().zip(&visitors) {
            reloaded(gateway, before, after).await;
            visitors.served(20).await;
            votes(gateway).await;
        }
    }
    // Without `nodes` there is no way to decide together but Redis, and none before a restart.
    for (gateway, visitors) in gateways.iter().zip(&visitors) {
        let main = fs::read_to_string(gateway.directory().config()).unwrap();
        let nodes = main.lines().find(|line| line.starts_with("nodes:")).unwrap();
        reloaded(gateway, nodes, "redis: { servers: [ \"redis://127.0.0.1:1\" ] }").await;
        visitors.served(20).await;
        let restart = gateway.admin("/v1/status").await["config"]["restart_needed"].to_string();
        assert!(restart.contains("redis") && restart.contains("nodes.address"), "{restart}");
    }
    for gateway in &gateways {
        wait_for("both pools are served", AGREED, async || {
            let regions = gateway.admin("/v1/regions").await;
            let pools = regions["pools"].as_array().unwrap();
            pools.len() == 2 && pools.iter().all(|pool| pool["route"] == "serve")
        })
        .await;
    }
    for visitors in visitors {
        let (answered, failures) = visitors.leave().await;
        assert!(answered >= 100 && failures.is_empty(), "{answered} answered, {failures:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_more_is_taken_in_by_reloads_one_after_the_other_and_nobody_stops() {
    let site = Site { failover: "quorum: 3".to_owned(), ..Site::new().await };
    let (_, gateways) = gateways(&site).await;
    let visitors: Vec<Visitors> =
        gateways.iter().map(|gateway| Visitors::come(gateway.address(), &[("acme.test", "acme")])).collect();
    let place = free_address();
    let (three, four) = ("gateways: { ", format!("gateways: {{ gw-spare: \"{place}\", "));
    for (gateway, visitors) in gateways.iter().zip(&visitors) {
        let main = fs::read_to_string(gateway.directory().config()).unwrap();
        let main = main.replace("quorum: 3", "quorum: 4");
        gateway.directory().write("fleetgate.yaml", main.replace(three, &four).as_bytes());
        reloaded(gateway, "quorum: 4", "quorum: 4").await;
        visitors.served(20).await;
        assert!(gateway.admin("/v1/status").await["gateways"].to_string().contains("gw-spare"));
        if !std::ptr::eq(gateway, &gateways[2]) {
            explains(gateway, "names other gateways than this one (gw-spare)").await;
        }
    }
    explains(&gateways[0], "gw-spare is not heard").await;
    let main = fs::read_to_string(gateways[0].directory().config()).unwrap();
    let own = format!("name: gw-paris, address: \"{}\"", site.addresses[0]);
    let main = main.replace(&own, &format!("name: gw-spare, address: \"{place}\""));
    let main: Vec<&str> = main.lines().filter(|line| !line.starts_with("admin:")).collect();
    let certificate = site.authority.sign("gw-spare");
    let spare = Gateway::builder(&main.join("\n"))
        .tenants("tenants.yaml", TENANTS)
        .file("own.crt", &certificate.chain)
        .file("own.key", &certificate.key)
        .file("ca.crt", &site.authority.pem)
        .start()
        .await;
    served_by(&spare, "paris-1").await;
    for (gateway, visitors) in gateways.iter().zip(visitors) {
        explains(gateway, "gw-spare is for paris").await;
        assert!(!explained(gateway).await.contains("PROBLEM"), "{}", explained(gateway).await);
        let (answered, failures) = visitors.leave().await;
        assert!(answered >= 40 && failures.is_empty(), "{answered} answered, {failures:#?}");
    }
}
