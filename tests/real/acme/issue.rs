//! Certificates that come.

use fleetgate_tests::{Request, raw_exchange};

use crate::site::{Site, facts};

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
