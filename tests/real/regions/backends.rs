//! One region with two Odoo servers, one of which dies or freezes.

use std::time::{Duration, Instant};

use fleetgate_tests::{DEADLINE, Gateway, Request, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::browser::Browser;
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

/// Calls a method as the administrator of acme, by a program and over HTTP.
async fn call(gateway: &Gateway, model: &str, method: &str, arguments: Value, keywords: Value) -> Value {
    let arguments = json!(["acme", 2, "admin-acme", model, method, arguments, keywords]);
    let call = json!({ "service": "object", "method": "execute_kw", "args": arguments });
    let answer = Request::call("acme.example.com", "/jsonrpc", &call).send(gateway.address()).await.json();
    assert!(answer.get("error").is_none(), "{answer}");
    answer["result"].clone()
}

async fn say(gateway: &Gateway, text: &str) {
    let channels = json!([[["channel_type", "=", "channel"]]]);
    let channel = call(gateway, "discuss.channel", "search", channels, json!({ "limit": 1 })).await;
    let message = json!({ "body": text, "message_type": "comment", "subtype_xmlid": "mail.mt_comment" });
    call(gateway, "discuss.channel", "message_post", json!([channel]), message).await;
}

/// Where the one websocket that is open is.
async fn websocket_at(gateway: &Gateway) -> Option<usize> {
    let status = gateway.admin("/v1/status").await;
    let backends = status["pools"][0]["backends"].as_array().unwrap();
    backends.iter().position(|backend| backend["websocket_in_flight"] == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whose_gevent_process_freezes_gets_messages_again_without_a_click() {
    let site = Site::new().await;
    let (one, two) = tokio::join!(site.odoo("paris", &site.primary), site.odoo("paris", &site.primary));
    one.until_warm("acme").await;
    two.until_warm("acme").await;
    let gateway = gateway("{ name: paris }", &region("paris", &[&one, &two], &site.primary)).start().await;
    let mut browser = Browser::start("told.mjs", &site, gateway.address());
    browser.says("reads a discussion").await;
    wait_for("a websocket is open", DEADLINE, async || websocket_at(&gateway).await.is_some()).await;
    say(&gateway, "before the frost").await;
    browser.tell("before the frost").await;
    browser.says("shows before the frost").await;

    let frozen = websocket_at(&gateway).await.unwrap();
    let odoo = [&one, &two][frozen];
    let begun = Instant::now();
    odoo.signal_gevent(Signal::STOP);
    say(&gateway, "during the frost").await;
    browser.tell("during the frost").await;
    let lost = |event: &Value| event["websocket_end"] == "lost";
    let event = gateway.access_log().event("the websocket is closed", BACK, lost).await;
    assert_eq!(event["backend"], odoo.gevent.to_string());
    println!("ok the websocket was closed {:.1} s after its process froze", begun.elapsed().as_secs_f64());
    browser.says("shows during the frost").await;
    println!("ok what was said meanwhile was shown {:.1} s after it froze", begun.elapsed().as_secs_f64());
    wait_for("it is open elsewhere", DEADLINE, async || websocket_at(&gateway).await == Some(1 - frozen))
        .await;
    say(&gateway, "after the frost").await;
    browser.tell("after the frost").await;
    browser.says("shows after the frost").await;
    odoo.signal_gevent(Signal::CONT);
    until_is(&gateway, frozen, "up").await;
}
