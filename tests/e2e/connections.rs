//! How many clients may be connected, and what becomes of one too many.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{DEADLINE, Gateway, RawConnection, backend, http_get, program, wait_for};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::fleet::{self, TENANTS};

const GET: &str = "GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\n\r\n";
const OBSERVE: &str = "127.0.0.2:0";

/// A gateway with further lines of its main file.
async fn start(more: &str) -> (StubOdoo, Gateway) {
    let stub = fleet::threaded("eu-1").await;
    let config = fleet::config(&[backend(&stub)], "") + more + "observe: { address: \"127.0.0.2:0\" }\n";
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).start().await;
    (stub, gateway)
}

fn loopback(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// A connection from an address of ours, after a header of a balancer or none, that has been served once.
async fn served(gateway: &Gateway, from: u8, header: &str) -> Option<RawConnection> {
    let mut raw = RawConnection::open_from(loopback(from), gateway.address()).await.unwrap();
    // A connection that there is no room for is closed with what was sent unread, which resets it.
    raw.send(format!("{header}{GET}")).await.ok()?;
    raw.read_until("\r\n\r\n").await.ok()?;
    Some(raw)
}

/// The value of a metric with all its labels; 0 when there is none yet.
async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = http_get(gateway.listener(OBSERVE), "observe", "/metrics").await.text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or(0)
}

const REFUSED_CLIENT: &str = "fleetgate_connections_refused_total{reason=\"client\"}";
const REFUSED_TOTAL: &str = "fleetgate_connections_refused_total{reason=\"total\"}";

#[tokio::test]
async fn a_client_has_so_many_connections_and_others_have_theirs() {
    let (_stub, gateway) = start("connections: { max_per_client: 3 }\n").await;
    let mut ours = Vec::new();
    for _ in 0..3 {
        ours.push(served(&gateway, 8, "").await.expect("a connection within the cap"));
    }
    for _ in 0..5 {
        assert!(served(&gateway, 8, "").await.is_none(), "one connection too many");
    }
    assert!(served(&gateway, 9, "").await.is_some(), "another client");
    assert_eq!(metric(&gateway, REFUSED_CLIENT).await, 5);
    gateway.operational_log().wait_for_text("connections.max_per_client", DEADLINE).await;
    ours.pop();
    wait_for("a connection that ended makes room", DEADLINE, async || {
        served(&gateway, 8, "").await.is_some()
    })
    .await;
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn there_are_so_many_connections_in_all() {
    let (_stub, gateway) = start("connections: { max: 16 }\n").await;
    let mut all = Vec::new();
    for client in 1..=16 {
        all.push(served(&gateway, client, "").await.expect("a connection within the cap"));
    }
    assert!(served(&gateway, 99, "").await.is_none());
    assert_eq!(metric(&gateway, REFUSED_TOTAL).await, 1);
    assert_eq!(gateway.admin("/v1/status").await["connections_max"], 16);
    all.clear();
    wait_for("there is room again", DEADLINE, async || served(&gateway, 99, "").await.is_some()).await;
}

#[tokio::test]
async fn trusted_proxies_stand_for_many_clients_and_balancers_name_them() {
    let (_stub, gateway) = start("connections: { max_per_client: 1 }\ntrusted_proxies: [127.0.0.8]\n").await;
    let mut proxied = Vec::new();
    for _ in 0..5 {
        proxied.push(served(&gateway, 8, "").await.expect("a connection of a proxy"));
    }

    let balanced = "connections: { max_per_client: 1 }\n\
        listeners: [ { address: \"127.0.0.1:0\", proxy_protocol: [\"127.0.0.0/8\"] } ]\n";
    let (_stub, gateway) = start(balanced).await;
    let named = |client: &str| format!("PROXY TCP4 {client} 127.0.0.1 5000 80\r\n");
    let _first = served(&gateway, 8, &named("198.51.100.7")).await.expect("the first client");
    let _second = served(&gateway, 8, &named("198.51.100.8")).await.expect("the second client");
    assert!(served(&gateway, 8, &named("198.51.100.7")).await.is_none(), "the first client again");
    assert_eq!(metric(&gateway, REFUSED_CLIENT).await, 1);
}

#[tokio::test]
async fn a_process_without_open_files_left_goes_on_when_there_are_some() {
    let (_stub, gateway) = start("").await;
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap()).unwrap();
    let limit = getrlimit(Resource::Nofile);
    assert_eq!(limit_of(pid).current, limit.maximum, "the process raises its limit");
    let observed = gateway.listener(OBSERVE);
    let _kept = served(&gateway, 1, "").await.unwrap();
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(8), maximum: limit.maximum }).unwrap();
    let mut waiting = RawConnection::open_from(loopback(3), gateway.address()).await.unwrap();
    waiting.send(GET).await.unwrap();
    gateway.operational_log().wait_for_text("cannot accept connections", DEADLINE).await;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    waiting.read_until("\r\n\r\n").await.expect("who waited is served");
    assert!(metric(&gateway, "fleetgate_accept_failures_total").await > 0);
    assert_eq!(gateway.listener(OBSERVE), observed);
    fleet::still_serves(&gateway).await;
}

fn limit_of(pid: Pid) -> Rlimit {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let number = |at: usize| line.split_whitespace().nth(at).and_then(|word| word.parse().ok());
    Rlimit { current: number(3), maximum: number(4) }
}

#[tokio::test]
async fn a_cap_that_does_not_fit_into_the_open_files_is_lowered_and_told() {
    let stub = fleet::threaded("eu-1").await;
    let builder = Gateway::builder(&(fleet::config(&[backend(&stub)], "") + "connections: { max: 5000 }\n"))
        .tenants("tenants.yaml", TENANTS);
    let script = builder.directory().path("with-few-files");
    std::fs::write(&script, format!("#!/bin/sh\nulimit -n 256\nexec {} \"$@\"\n", program().display()))
        .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let builder = builder.program(script);

    let checked = builder.cli(&["check", "--config", builder.directory().config().to_str().unwrap()]).await;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("it takes 96 connections"), "{said}");

    let gateway = builder.start().await;
    let status = gateway.admin("/v1/status").await;
    assert_eq!(status["connections_max"], 96);
    let problem = status["config"]["problems"][0]["message"].as_str().unwrap().to_owned();
    assert!(problem.contains("connections.max") && problem.contains("10256 open files"), "{problem}");
    let mut all = Vec::new();
    for client in 1..=96 {
        all.push(
            served(&gateway, client, "").await.expect("each connection that is taken reaches a backend"),
        );
    }
    assert!(served(&gateway, 97, "").await.is_none());
}
