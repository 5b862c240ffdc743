//! Certificates that come.

use std::fs;
use std::process::Stdio;

use fleetgate_tests::{Authority, DEADLINE, KEY_NAME, KEY_SECRET, Request, raw_exchange};
use tokio::process::Command;

use crate::site::{Site, facts, until_trouble};

const ACME: &str = "- { id: acme, hosts: [acme.test] }\n";

#[tokio::test]
async fn one_line_gives_a_new_host_a_certificate_and_nobody_else_one() {
    let site = Site::with_pebble().await;
    let gateway = site.gateway("", "", ACME).start().await;
    let first = site.until_served("acme.test", &gateway).await;
    gateway.write_tenants("more.yaml", "- { id: globex, hosts: [globex.test, shop.globex.test] }\n");
    for host in ["globex.test", "shop.globex.test"] {
        site.until_served(host, &gateway).await;
    }
    assert_eq!(site.served("acme.test").await.as_ref(), Some(&first), "what is good is not ordered again");
    assert_eq!(site.served("nobody.test").await, None, "a client that asks for a name starts no order");
    let said = facts(&gateway).await;
    assert_eq!(
        (&said["names"], &said["served"], &said["issued"]),
        (&3.into(), &3.into(), &3.into()),
        "{said}"
    );
    // What is not a pending token goes its normal way.
    let answer = Request::get("acme.test", "/.well-known/acme-challenge/x").send(site.plain).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (301, Some("https://acme.test/.well-known/acme-challenge/x"))
    );
    let answer = raw_exchange(
        site.plain,
        "GET /.well-known/acme-challenge/ HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.await.unwrap().starts_with(b"HTTP/1.1 421"));
}

#[tokio::test]
async fn a_host_can_be_proved_by_a_handshake_alone() {
    let site = Site::with_pebble().await;
    let gateway = site.gateway("  challenges: [tls-alpn-01]\n", "", ACME).start().await;
    site.until_served("acme.test", &gateway).await;
    gateway.operational_log().wait_for_text("tls-alpn-01", fleetgate_tests::DEADLINE).await;
}

#[tokio::test]
async fn a_tenant_that_requires_client_certificates_is_proved_by_a_handshake_like_others() {
    let site = Site::with_pebble().await;
    let clients = Authority::new("clients");
    let tenants = "- { id: acme, hosts: [acme.test], client_certificates: { ca: clients.pem } }\n";
    let builder = site.gateway("  challenges: [tls-alpn-01]\n", "", tenants);
    let gateway = builder.file("clients.pem", &clients.pem).start().await;
    gateway.operational_log().wait_for_text("a certificate was issued", 2 * DEADLINE).await;
    let folder = tempfile::tempdir().unwrap();
    let (trust, shown) = (folder.path().join("root.pem"), folder.path().join("client.pem"));
    fs::write(&trust, site.pebble.root().await).unwrap();
    let client = clients.sign("a client");
    fs::write(&shown, client.chain + &client.key).unwrap();
    assert!(site.served_to("acme.test", &trust, Some(&shown)).await.is_some());
    assert_eq!(site.served_to("acme.test", &trust, None).await, None, "nobody else gets in");
    // What proves a name opens nothing: the connection ends with the handshake.
    let mut handshake = Command::new("openssl");
    handshake.args(["s_client", "-connect", &site.secure.to_string(), "-servername", "acme.test"]);
    handshake.args(["-alpn", "acme-tls/1", "-ign_eof"]).stdin(Stdio::null());
    let output = handshake.output().await.expect("openssl is there: install the package openssl");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && !said.contains("BEGIN CERTIFICATE"), "{said}");
}

/// Dynamic updates of the zone `test` with a key.
fn zone(site: &Site, secret: &str) -> String {
    format!(
        "dns_zones:\n  - {{ zone: test, server: \"{}\", key_name: {KEY_NAME}, key_secret: \"{secret}\", \
         propagation_wait: 0s }}\n",
        site.bind.address()
    )
}

#[tokio::test]
async fn a_star_gets_one_certificate_whatever_its_tenants_are_called() {
    let site = Site::with_pebble().await;
    let stars = "- { id: \"{1}\", hosts: [\"*.odoo.test\"] }\n";
    let gateway = site.gateway("", &zone(&site, KEY_SECRET), stars).start().await;
    let first = site.until_served("shop.odoo.test", &gateway).await;
    for host in ["acme.odoo.test", "globex.odoo.test"] {
        assert_eq!(site.served(host).await.as_ref(), Some(&first), "{host} has the star's certificate");
    }
    gateway.write_tenants("more.yaml", "- { id: initech, hosts: [initech.odoo.test], database: acme }\n");
    gateway.operational_log().wait_for_text("reloaded", DEADLINE).await;
    assert!(site.served("initech.odoo.test").await.is_some(), "a host below the star needs none of its own");
    let said = facts(&gateway).await;
    assert_eq!((&said["names"], &said["issued"]), (&1.into(), &1.into()), "{said}");
    let log = site.bind.log();
    assert!(log.contains("adding an RR at '_acme-challenge.odoo.test' TXT"), "{log}");
    assert!(
        log.contains("deleting an RR at _acme-challenge.odoo.test TXT"),
        "the proof was taken back: {log}"
    );
}

#[tokio::test]
async fn a_wrong_key_of_a_zone_is_named_and_hosts_that_need_no_record_do_not_wait() {
    let site = Site::with_pebble().await;
    let tenants = "- { id: \"{1}\", hosts: [\"*.odoo.test\"] }\n- { id: globex, hosts: [globex.test] }\n";
    let gateway = site.gateway("", &zone(&site, "d3Jvbmc="), tenants).start().await;
    site.until_served("globex.test", &gateway).await;
    let trouble = until_trouble(&gateway, "*.odoo.test", "zone").await;
    assert!(trouble["message"].as_str().unwrap().contains("BADSIG"), "{trouble}");
    assert!(trouble["advice"].as_str().unwrap().contains("`dns_zones`"), "{trouble}");
}
