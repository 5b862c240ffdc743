//! Replacing the program while it serves.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{
    Builder, DEADLINE, Gateway, RawConnection, Request, Websocket, http_get, program, wait_for, ws_connect,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::fleet::{self, TENANTS};
use crate::visitors::Visitors;

/// Address of the listener for probes and metrics.
const OBSERVE: &str = "127.0.0.2:0";

/// A gateway, not started, whose drain is not ended by a clock.
async fn before() -> (StubOdoo, Builder) {
    let stub = fleet::prefork("eu-1").await;
    let config = fleet::config(&[fleetgate_tests::backend(&stub)], "");
    let config = format!(
        "{config}observe: {{ address: \"{OBSERVE}\" }}\ndrain: {{ timeout: 1h, websocket_spread: 500ms }}\n"
    );
    let builder = Gateway::builder(&config).tenants("tenants.yaml", TENANTS);
    (stub, builder)
}

async fn gone(pid: u64) {
    let folder = format!("/proc/{pid}");
    wait_for("the old process is gone", DEADLINE, async || {
        // A process whose parent has not asked for it is a zombie.
        fs::read_to_string(format!("{folder}/stat")).map_or(true, |stat| stat.contains(") Z "))
    })
    .await;
}

async fn open(gateway: &Gateway) -> Websocket {
    let mut socket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
    socket.json().await;
    socket
}

#[tokio::test]
async fn an_upgrade_under_load_fails_no_request_and_websockets_come_back() {
    let (_stub, builder) = before().await;
    let mut gateway = builder.start().await;
    let visitors = Visitors::come(gateway.address(), &[("acme.test", "acme"), ("globex.test", "globex")]);
    for _ in 0..2 {
        let mut sockets = Vec::new();
        for _ in 0..20 {
            sockets.push(open(&gateway).await);
        }
        visitors.served(50).await;
        let old = gateway.serving_pid().await;
        gateway.replace(DEADLINE).await;
        let closed = futures_util::future::join_all(sockets.iter_mut().map(Websocket::closed)).await;
        assert_eq!(closed, vec![Some((1012, String::new())); 20]);
        let mut back = open(&gateway).await;
        back.send("back").await.unwrap();
        assert_eq!(back.json().await["text"], "back");
        gone(old).await;
        visitors.served(50).await;
        let status = gateway.admin("/v1/status").await;
        assert_eq!((&status["phase"], &status["panics"]), (&"serving".into(), &0.into()));
    }
    assert!(gateway.wait_exit(DEADLINE).await.success());
    let (answered, failures) = visitors.leave().await;
    assert!(answered >= 200 && failures.is_empty(), "{answered} answered, {failures:#?}");
    let serving = gateway.serving_pid().await;
    let told = |event: &Value| event["pid"].as_u64() == Some(serving);
    gateway.operational_log().event("who serves now", DEADLINE, told).await;
}

#[tokio::test]
async fn a_request_in_flight_ends_at_the_old_process() {
    let (stub, builder) = before().await;
    let mut gateway = builder.start().await;
    let address = gateway.address();
    let slow = tokio::spawn(async move { http_get(address, "acme.test", "/stub/slow?ms=3000").await });
    wait_for("the slow request is at Odoo", DEADLINE, async || stub.counts().requests_in_flight == 1).await;
    let new = gateway.replace(DEADLINE).await;
    assert_eq!(http_get(address, "acme.test", "/web/login").await.status, 200);
    let answer = slow.await.unwrap();
    assert_eq!((answer.status, answer.database()), (200, Some("acme")));
    assert!(gateway.wait_exit(DEADLINE).await.success());
    assert_eq!(gateway.serving_pid().await, new);
}

#[tokio::test]
async fn probes_and_metrics_are_those_of_the_new_process_at_once() {
    let (stub, builder) = before().await;
    let gateway = builder.start().await;
    let (address, observe) = (gateway.address(), gateway.listener(OBSERVE));
    let slow = tokio::spawn(async move { http_get(address, "acme.test", "/stub/slow?ms=600000").await });
    wait_for("the slow request is at Odoo", DEADLINE, async || stub.counts().requests_in_flight == 1).await;
    for _ in 0..5 {
        assert_eq!(http_get(address, "globex.test", "/web/login").await.status, 200);
    }
    gateway.replace(DEADLINE).await;
    gateway.operational_log().wait_for_text("draining", DEADLINE).await;
    for _ in 0..50 {
        let ready = http_get(observe, "observe", "/readyz").await;
        assert_eq!((ready.status, ready.text().as_str()), (200, "ready\n"));
        let metrics = http_get(observe, "observe", "/metrics").await.text();
        assert!(!metrics.contains("globex"), "the old process is asked for metrics:\n{metrics}");
    }
    slow.abort();
}

#[tokio::test]
async fn the_admin_socket_answers_throughout() {
    let (_stub, builder) = before().await;
    let gateway = builder.start().await;
    let old = u64::from(gateway.pid());
    gateway.signal(Signal::QUIT);
    let mut calls = 0;
    while gateway.serving_pid().await == old {
        calls += 1;
    }
    gone(old).await;
    assert!(calls > 0);
    assert_ne!(gateway.serving_pid().await, old);
}

#[tokio::test]
async fn a_new_process_takes_a_changed_config_and_changed_listeners() {
    let (_stub, builder) = before().await;
    let gateway = builder.start().await;
    let old = gateway.address();
    let main = fs::read_to_string(gateway.directory().config()).unwrap();
    gateway.directory().write_config(&main.replace(
        "  - { address: \"127.0.0.1:0\" }",
        "  - { address: \"127.0.0.1:0\" }\n  - { address: \"127.0.0.3:0\" }",
    ));
    let first = gateway.replace(DEADLINE).await;
    let status = gateway.admin("/v1/status").await;
    let listener = |name: &str| -> SocketAddr {
        let listeners = status["listeners"].as_array().unwrap();
        let named = listeners.iter().find(|listener| listener["name"] == name).unwrap();
        named["address"].as_str().unwrap().parse().unwrap()
    };
    assert_eq!(listener("127.0.0.1:0"), old);
    let added = listener("127.0.0.3:0");
    for address in [old, added] {
        assert_eq!(http_get(address, "acme.test", "/web/login").await.status, 200);
    }
    gateway.directory().write_config(&main);
    gateway.write_tenants("tenants.yaml", "- { id: acme, hosts: [acme.test], database: initech }\n");
    gateway.replace(DEADLINE).await;
    gone(first).await;
    assert_eq!(http_get(old, "acme.test", "/web/login").await.database(), Some("initech"));
    let refused = RawConnection::open(added).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    // The new process watches the files as the first did.
    gateway.write_tenants("tenants.yaml", "- { id: acme, hosts: [acme.test], database: globex }\n");
    wait_for("a change is seen", DEADLINE, async || {
        http_get(old, "acme.test", "/web/login").await.database() == Some("globex")
    })
    .await;
}

/// Waits for the log line that an upgrade failed, and returns its error.
async fn failed_upgrade(gateway: &Gateway, number: usize) -> String {
    let failed =
        |event: &Value| event["message"].as_str().is_some_and(|text| text.contains("the upgrade failed"));
    wait_for("the upgrade fails", DEADLINE, async || {
        gateway.operational_log().events().iter().filter(|event| failed(event)).count() == number
    })
    .await;
    let events = gateway.operational_log().events();
    events.iter().rfind(|event| failed(event)).unwrap()["error"].as_str().unwrap().to_owned()
}

/// Processes that this one started and has not asked for their end.
fn children(pid: u32) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default()).collect()
}

async fn still_the_first(gateway: &Gateway) {
    assert_eq!(gateway.serving_pid().await, u64::from(gateway.pid()));
    assert_eq!(children(gateway.pid()), "", "a failed successor is left");
    fleet::still_serves(gateway).await;
}

#[tokio::test]
async fn a_broken_config_leaves_the_old_process_serving() {
    let (_stub, builder) = before().await;
    let mut gateway = builder.start().await;
    let mut socket = open(&gateway).await;
    let main = fs::read_to_string(gateway.directory().config()).unwrap();
    gateway.directory().write("fleetgate.yaml", main.replace("19.0", "9.0").as_bytes());
    gateway.signal(Signal::QUIT);
    let error = failed_upgrade(&gateway, 1).await;
    assert!(error.contains("exit status: 2") && error.contains("log"), "{error}");
    gateway.operational_log().wait_for_text("9.0", DEADLINE).await;
    still_the_first(&gateway).await;
    socket.send("untouched").await.unwrap();
    assert_eq!(socket.json().await["text"], "untouched");

    // An address of somebody else's is as bad.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    gateway.directory().write("fleetgate.yaml", main.replace("127.0.0.1:0", &address).as_bytes());
    gateway.signal(Signal::QUIT);
    failed_upgrade(&gateway, 2).await;
    gateway.operational_log().wait_for_text(&format!("cannot listen on {address}"), DEADLINE).await;
    still_the_first(&gateway).await;

    gateway.directory().write("fleetgate.yaml", main.as_bytes());
    gateway.replace(DEADLINE).await;
    assert_eq!(socket.closed().await, Some((1012, String::new())));
    assert!(gateway.wait_exit(DEADLINE).await.success());
    fleet::still_serves(&gateway).await;
}

/// Replaces a program as a package manager does: a running program cannot be written to.
fn install(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, path).unwrap();
}

#[tokio::test]
async fn a_broken_program_leaves_the_old_process_serving() {
    let (_stub, builder) = before().await;
    let copy = builder.directory().path("fleetgate");
    fs::copy(program(), &copy).unwrap();
    let mut gateway = builder.program(&copy).start().await;

    install(&copy, b"\x7fELF, or so it says");
    gateway.signal(Signal::QUIT);
    let error = failed_upgrade(&gateway, 1).await;
    assert!(error.contains("the new process ended with exit status: 127"), "{error}");
    still_the_first(&gateway).await;

    install(&copy, b"#!/bin/sh\nexit 7\n");
    gateway.signal(Signal::QUIT);
    let error = failed_upgrade(&gateway, 2).await;
    assert!(error.contains("exit status: 7"), "{error}");
    still_the_first(&gateway).await;

    fs::remove_file(&copy).unwrap();
    gateway.signal(Signal::QUIT);
    let error = failed_upgrade(&gateway, 3).await;
    assert!(error.contains("cannot start the new program"), "{error}");
    still_the_first(&gateway).await;

    fs::copy(program(), &copy).unwrap();
    gateway.replace(DEADLINE).await;
    assert!(gateway.wait_exit(DEADLINE).await.success());
    assert_eq!(Request::get("acme.test", "/web/login").send(gateway.address()).await.status, 200);
}

#[tokio::test]
async fn a_process_told_to_end_does_not_wait_for_its_successor() {
    let (_stub, builder) = before().await;
    let copy = builder.directory().path("fleetgate");
    fs::copy(program(), &copy).unwrap();
    let mut gateway = builder.program(&copy).start().await;
    install(&copy, b"#!/bin/sh\nexec sleep 600\n");
    gateway.signal(Signal::QUIT);
    wait_for("the successor is started", DEADLINE, async || !children(gateway.pid()).is_empty()).await;
    let successor: u64 = children(gateway.pid()).trim().parse().unwrap();
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_exit(DEADLINE).await.success());
    gone(successor).await;
}

#[tokio::test]
async fn a_successor_that_never_serves_can_be_ended_with_the_old_process_serving() {
    let (_stub, builder) = before().await;
    let copy = builder.directory().path("fleetgate");
    fs::copy(program(), &copy).unwrap();
    let gateway = builder.program(&copy).start().await;
    install(&copy, b"#!/bin/sh\nexec sleep 600\n");
    gateway.signal(Signal::QUIT);
    wait_for("the successor is started", DEADLINE, async || !children(gateway.pid()).is_empty()).await;
    fleet::still_serves(&gateway).await;
    let successor: i32 = children(gateway.pid()).trim().parse().unwrap();
    kill_process(Pid::from_raw(successor).unwrap(), Signal::KILL).unwrap();
    let error = failed_upgrade(&gateway, 1).await;
    assert!(error.contains("signal: 9"), "{error}");
    still_the_first(&gateway).await;
}
