//! Certificates that do not come at once, and what serves meanwhile.

use std::fs;
use std::path::{Path, PathBuf};

use fleetgate_tests::{DEADLINE, Gateway, wait_for};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustix::process::Signal;

use crate::site::{Site, facts, until_trouble};

/// Outside of the zone that BIND knows, so that no proof convinces Pebble.
const UNPROVABLE: &str = "acme.example";

/// The folder of issued certificates.
pub(crate) fn kept(gateway: &Gateway) -> PathBuf {
    let servers = fs::read_dir(gateway.directory().path("state/acme")).unwrap();
    let folders: Vec<PathBuf> = servers.map(|server| server.unwrap().path().join("certificates")).collect();
    assert_eq!(folders.len(), 1, "one server, one folder: {folders:?}");
    folders[0].clone()
}

/// Puts a certificate there whose best time is over, as a gateway that was off for long finds it. Returns what a client
/// has to trust.
fn keep_old(gateway: &Gateway, host: &str) -> PathBuf {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(1990, 1, 1), date_time_ymd(2040, 1, 1));
    let chain = params.self_signed(&key).unwrap().pem();
    fs::write(kept(gateway).join(format!("{host}.pem")), key.serialize_pem() + &chain).unwrap();
    let trust = gateway.directory().path(&format!("{host}.trust"));
    fs::write(&trust, chain).unwrap();
    trust
}

fn tenants(hosts: &[&str]) -> String {
    hosts.iter().map(|host| format!("- {{ id: {host}, hosts: [{host}], database: acme }}\n")).collect()
}

#[tokio::test]
async fn an_old_certificate_serves_until_the_new_one_is_there() {
    let mut site = Site::new().await;
    let gateway = site.gateway("", "", "").start().await;
    let old = keep_old(&gateway, "acme.test");
    gateway.write_tenants("tenants.yaml", &tenants(&["acme.test"]));
    let trouble = until_trouble(&gateway, "acme.test", "unreachable").await;
    assert_eq!((&trouble["served"], &trouble["failures"]), (&true.into(), &1.into()), "{trouble}");
    assert!(site.served_by("acme.test", &old).await.is_some(), "Pebble is down, and the old one serves");
    site.pebble.start().await;
    site.until_served("acme.test", &gateway).await;
    assert!(site.served_by("acme.test", &old).await.is_none(), "it was replaced");
    assert_eq!(facts(&gateway).await["failing"], 0);
}

#[tokio::test]
async fn a_refused_order_leaves_the_old_certificate_and_no_other_host_waits() {
    let site = Site::with_pebble().await;
    let gateway = site.gateway("", "", "").start().await;
    let old = keep_old(&gateway, UNPROVABLE);
    gateway.write_tenants("tenants.yaml", &tenants(&[UNPROVABLE, "new.example", "acme.test", "globex.test"]));
    for host in ["acme.test", "globex.test"] {
        site.until_served(host, &gateway).await;
    }
    let trouble = until_trouble(&gateway, UNPROVABLE, "refused").await;
    assert_eq!(trouble["served"], true);
    let message = trouble["message"].as_str().unwrap();
    assert!(message.contains("urn:ietf:params:acme:error"), "the server's own words: {message}");
    assert!(site.served_by(UNPROVABLE, &old).await.is_some());
    assert_eq!(until_trouble(&gateway, "new.example", "refused").await["served"], false);
    let status = String::from_utf8(gateway.cli(&["status", "--socket", "admin.sock"]).await.stdout).unwrap();
    assert!(status.contains("3 of 4 names have a certificate"), "{status}");
    assert!(
        status.contains("PROBLEM    new.example") && status.contains("no certificate serves it"),
        "{status}"
    );
}

#[tokio::test]
async fn a_host_that_leads_elsewhere_costs_no_order() {
    let site = Site::with_pebble().await;
    let (own, dns) = (fleetgate_tests::own_address(), site.bind.address());
    let settings = format!("  addresses: [{own}]\n  resolvers: [\"{dns}\"]\n");
    let gateway = site.gateway(&settings, "", &tenants(&["acme.test", "elsewhere.test"])).start().await;
    site.until_served("acme.test", &gateway).await;
    let trouble = until_trouble(&gateway, "elsewhere.test", "points_elsewhere").await;
    assert!(trouble["message"].as_str().unwrap().contains("192.0.2.1"), "{trouble}");
    assert_eq!(site.pebble.log().matches("Added order").count(), 1, "{}", site.pebble.log());
}

#[tokio::test]
async fn what_is_over_the_budget_waits_and_a_restart_does_not_forget_it() {
    let site = Site::with_pebble().await;
    let builder = site.gateway("  orders_per_hour: 1\n", "", &tenants(&["acme.test", "globex.test"]));
    for _ in 0..2 {
        let mut gateway = builder.clone().start().await;
        wait_for("one has a certificate, one waits", DEADLINE, async || {
            let facts = facts(&gateway).await;
            (&facts["served"], &facts["over_budget"], &facts["failing"]) == (&1.into(), &1.into(), &0.into())
        })
        .await;
        gateway.signal(Signal::KILL);
        gateway.wait_exit(DEADLINE).await;
    }
    assert_eq!(site.pebble.log().matches("Added order").count(), 1, "{}", site.pebble.log());
}

#[tokio::test]
async fn a_restart_keeps_certificates_even_without_the_server() {
    let mut site = Site::with_pebble().await;
    let builder = site.gateway("", "", &tenants(&["acme.test"]));
    let mut gateway = builder.clone().start().await;
    let first = site.until_served("acme.test", &gateway).await;
    let trust = gateway.directory().path("root.pem");
    fs::write(&trust, site.pebble.root().await).unwrap();
    site.pebble.stop().await;
    gateway.signal(Signal::TERM);
    gateway.wait_exit(DEADLINE).await;
    let gateway = builder.start().await;
    assert_eq!(site.served_by("acme.test", &trust).await, Some(first));
    // A server that came back without its memory gets a new account, and new hosts their certificates.
    site.pebble.start().await;
    gateway.write_tenants("more.yaml", &tenants(&["globex.test"]));
    site.until_served("globex.test", &gateway).await;
}

#[tokio::test]
async fn a_process_that_is_killed_in_an_order_leaves_nothing_half_done() {
    let site = Site::with_pebble().await;
    let builder = site.gateway("", "", &tenants(&["acme.test"]));
    let mut gateway = builder.clone().start().await;
    wait_for("an order is under way", DEADLINE, async || site.pebble.log().contains("Added order")).await;
    gateway.signal(Signal::KILL);
    gateway.wait_exit(DEADLINE).await;
    let whole = |path: &Path| path.extension().is_some_and(|ending| ending == "pem");
    let gateway = builder.start().await;
    site.until_served("acme.test", &gateway).await;
    let files = fs::read_dir(kept(&gateway)).unwrap().map(|file| file.unwrap().path());
    assert!(files.into_iter().all(|file| whole(&file)), "no file is left over");
    assert_eq!(facts(&gateway).await["failing"], 0);
}
