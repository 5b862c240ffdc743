//! Hosts that leave, and what becomes of their certificates.

use std::fs;

use fleetgate_tests::{DEADLINE, wait_for};

use crate::failure::kept;
use crate::site::{Site, facts};

const BOTH: &str = "- { id: acme, hosts: [acme.test] }\n- { id: globex, hosts: [globex.test] }\n";
const ACME: &str = "- { id: acme, hosts: [acme.test] }\n";

#[tokio::test]
async fn the_certificate_of_a_host_that_nobody_has_is_given_up_and_no_other() {
    let site = Site::with_pebble().await;
    let gateway = site.gateway("  unwanted_kept_for: 0s\n", "", BOTH).start().await;
    for host in ["acme.test", "globex.test"] {
        site.until_served(host, &gateway).await;
    }
    let folder = kept(&gateway);
    gateway.write_tenants("tenants.yaml", ACME);
    wait_for("the certificate is gone", DEADLINE, async || !folder.join("globex.test.pem").exists()).await;
    let given_up = |event: &serde_json::Value| event["name"] == "globex.test";
    gateway.operational_log().event("a certificate was given up", DEADLINE, given_up).await;
    assert!(site.served("acme.test").await.is_some(), "what is wanted stays");
    assert_eq!(site.served("globex.test").await, None);
    assert_eq!(facts(&gateway).await["issued"], 2, "and is not ordered again");
}

#[tokio::test]
async fn a_host_that_comes_back_in_time_has_its_certificate_still() {
    let site = Site::with_pebble().await;
    let gateway = site.gateway("", "", BOTH).start().await;
    let mut first = Vec::new();
    for host in ["acme.test", "globex.test"] {
        first.push(site.until_served(host, &gateway).await);
    }
    let folder = kept(&gateway);
    let noted = || fs::read_to_string(folder.parent().unwrap().join("unwanted.json")).unwrap_or_default();
    gateway.write_tenants("tenants.yaml", ACME);
    wait_for("it is noted that nobody wants it", DEADLINE, async || noted().contains("globex.test")).await;
    assert!(!noted().contains("acme.test"), "{}", noted());
    gateway.write_tenants("tenants.yaml", BOTH);
    wait_for("it is noted that somebody does", DEADLINE, async || !noted().contains("globex.test")).await;
    assert_eq!(site.served("globex.test").await.as_ref(), first.last());
    assert_eq!(facts(&gateway).await["issued"], 2, "nothing was ordered again");
}
