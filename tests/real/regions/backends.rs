//! One region with two Odoo servers, one of which dies or freezes.

use std::time::Duration;

use fleetgate_tests::{DEADLINE, Gateway, wait_for};
use rustix::process::Signal;

use crate::odoo::Odoo;
use crate::readers::Readers;
use crate::site::{Site, gateway, pool, region};

/// For a server on a busy machine to be trusted again.
const BACK: Duration = Duration::from_secs(60);

async fn until_is(gateway: &Gateway, place: usize, verdict: &str) {
    wait_for(&format!("backend {place} is {verdict}"), BACK, async || {
        pool(gateway).await["regions"][0]["backends"][place]["verdict"] == verdict
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_lost_with_a_killed_odoo_and_a_frozen_one_is_found_out() {
    let site = Site::new().await;
    let (mut one, two) = tokio::join!(site.odoo("paris", &site.primary), site.odoo("paris", &site.primary));
    for database in ["acme", "globex"] {
        one.until_warm(database).await;
        two.until_warm(database).await;
    }
    let gateway = gateway("{ name: paris }", &region("paris", &[&one, &two], &site.primary)).start().await;

    let readers = Readers::start(gateway.address(), 6);
    wait_for("pages are read", DEADLINE, async || readers.read() >= 30).await;
    one.kill();
    until_is(&gateway, 0, "down").await;
    let before = readers.read();
    wait_for("pages are read without it", BACK, async || readers.read() >= before + 30).await;
    let (read, failed) = readers.end().await;
    assert!(failed.is_empty(), "{} of {read} pages: {failed:#?}", failed.len());
    println!("ok none of {read} pages was lost with a killed Odoo");

    let one = Odoo::start_at(&site.lab, &site.data("paris"), &site.primary, one.http, one.gevent).await;
    until_is(&gateway, 0, "up").await;
    // Nothing but the probes ends a wait at it: `read_timeout` is twelve minutes, and readers wait for 20 s.
    let readers = Readers::start(gateway.address(), 6);
    wait_for("pages are read", DEADLINE, async || readers.read() >= 30).await;
    two.signal(Signal::STOP);
    until_is(&gateway, 1, "down").await;
    let before = readers.read();
    wait_for("pages are read while it is frozen", BACK, async || readers.read() >= before + 30).await;
    let (read, failed) = readers.end().await;
    assert!(failed.is_empty(), "{} of {read} pages: {failed:#?}", failed.len());
    println!("ok a frozen Odoo was found out, and each of {read} pages came while it was frozen");
    two.signal(Signal::CONT);
    until_is(&gateway, 1, "up").await;
    println!("ok it was trusted again when it went on");
    drop(one);
}
