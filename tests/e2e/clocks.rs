//! Gateways whose time of day jumps by hours, forth and back, while they serve and decide. The time that passes goes on as
//! ever, as when somebody sets the clock of a machine.

use std::path::Path;

use fleetgate_tests::{DEADLINE, Gateway, installed, wait_for};
use futures_util::future::join_all;

use crate::gateways::{Site, explained, explains};
use crate::quorum::AGREED;
use crate::regions::{pool, post, served_by};
use crate::visitors::Visitors;

/// A file of a gateway with how far its clock is off.
const OFFSET: &str = "clock";

/// What makes a program read the clock through `faketime`.
fn library() -> String {
    installed("faketime", "faketime");
    let path = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    assert!(Path::new(&path).exists(), "{path} is missing: install faketime");
    path
}

fn jump(gateway: &Gateway, offset: &str) {
    gateway.directory().write(OFFSET, offset.as_bytes());
}

async fn start(site: &Site, at: usize) -> Gateway {
    let builder = site.builder(at, &site.addresses, site.databases()).file(OFFSET, "+0s");
    let file = builder.directory().path(OFFSET);
    let variables = [
        ("LD_PRELOAD", library()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        // Only the time of day jumps.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
    ];
    variables.iter().fold(builder, |builder, (name, value)| builder.variable(name, value)).start().await
}

/// A moment so many minutes from now, as a config writes it.
fn in_minutes(minutes: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seconds = i64::try_from(now.as_secs() + 60 * minutes).unwrap();
    jiff::Timestamp::from_second(seconds).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_jump_by_hours_move_nobody_and_stop_no_move() {
    let failover =
        format!("quorum: 3, freeze: [ {{ from: \"{}\", until: \"{}\" }} ]", in_minutes(60), in_minutes(120));
    let site = Site { failover, ..Site::new().await };
    let gateways = join_all((0..3).map(|at| start(&site, at))).await;
    for gateway in &gateways {
        served_by(gateway, "paris-1").await;
    }
    let visitors: Vec<Visitors> =
        gateways.iter().map(|gateway| Visitors::come(gateway.address(), &[("acme.test", "acme")])).collect();
    let pin = ["regions", "pin", "main", "paris", "--reason", "clocks jump", "--socket", "admin.sock"];
    assert!(gateways[1].cli(&pin).await.status.success());

    // The freeze says that a jump has come to be seen.
    let frozen = async |gateway: &Gateway| !pool(gateway).await["frozen_until"].is_null();
    for (first, others) in
        [("+90m", "-7h"), ("-9h", "+90m"), ("+90m", "+0s"), ("+0s", "-30h"), ("+48h", "+0s")]
    {
        for (at, gateway) in gateways.iter().enumerate() {
            let offset = if at == 0 { first } else { others };
            jump(gateway, offset);
            wait_for("the jump is seen", DEADLINE, async || frozen(gateway).await == (offset == "+90m"))
                .await;
        }
        for (gateway, visitors) in gateways.iter().zip(&visitors) {
            visitors.served(20).await;
            assert_eq!(pool(gateway).await["route"], "serve");
            assert_eq!(explained(gateway).await.matches("is for paris").count(), 2);
        }
        explains(&gateways[1], "PINNED to paris").await;
    }
    for visitors in visitors {
        let (answered, failures) = visitors.leave().await;
        assert!(answered >= 100 && failures.is_empty(), "{answered} answered, {failures:#?}");
    }
    for gateway in &gateways {
        let log = gateway.operational_log().text();
        let (_, log) = log.split_once("\"serving\"").expect("it began to serve");
        assert!(!log.contains("agreeing") && !log.contains("is not heard"), "{log}");
    }

    // They are two days apart, and follow a promotion together.
    let unpin = ["regions", "unpin", "main", "--socket", "admin.sock"];
    assert!(gateways[1].cli(&unpin).await.status.success());
    site.primary.kill();
    site.standby.promote();
    for gateway in &gateways {
        wait_for("writes go to dublin", AGREED, async || {
            let answer = post(gateway).await;
            answer.status == 200 && answer.server() == Some("dublin-1")
        })
        .await;
    }
}
