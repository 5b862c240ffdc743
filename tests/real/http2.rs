//! Abuse of HTTP/2 by clients in Python (h2, hpack, hyperframe), slow attacks by slowhttptest, and honest load by h2load
//! meanwhile. `.ci/setup test` installs all three.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what failed and what it saw"
)]

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{DEADLINE, Gateway, backend, wait_for};
use serde_json::Value;
use tokio::process::Command;

/// For all abuses, some of which wait for a clock of the gateway.
const ABUSE: Duration = Duration::from_secs(400);
/// For an honest load.
const LOAD: Duration = Duration::from_secs(60);
/// Memory that abuse may cost, in KiB.
const KIB_MAX: u64 = 16 * 1024;

/// A gateway with short clocks in front of a stand-in Odoo.
async fn start() -> (StubOdoo, Gateway) {
    let stub = StubOdoo::start(StubOptions::new("eu-1", ["acme"]).threaded()).await.expect("a free port");
    let config = format!(
        "threads: 2\nregions: [ {{ name: eu }} ]\n\
         connections: {{ head_timeout: 2s, idle_timeout: 4s, patience: 4s, bytes_per_second_min: 30000 }}\n\
         pools:\n  main:\n    odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
         regions: {{ eu: {{ backends: [ {} ] }} }}\n",
        backend(&stub)
    );
    let gateway = Gateway::builder(&config)
        .tenants("tenants.yaml", "- { id: acme, hosts: [acme.test, \"127.0.0.1\"] }\n")
        .start()
        .await;
    (stub, gateway)
}

async fn run(command: &mut Command, within: Duration, package: &str) -> Output {
    let what = format!("{:?}", command.as_std());
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = tokio::time::timeout(within, running).await;
    let output = ended.unwrap_or_else(|_| panic!("{what} did not end within {within:?}"));
    output.unwrap_or_else(|error| panic!("cannot run {what} ({package}; run .ci/setup test): {error}"))
}

/// The Python that `.ci/setup test` prepares.
fn python() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(root.join("target/tools/h2/bin/python"));
    command.arg(root.join("tests/real/http2/abuse.py"));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_of_http2_ends_with_its_connection_and_costs_others_nothing() {
    let (_stub, gateway) = start().await;
    let mut abuse = python();
    abuse.arg(gateway.address().to_string()).arg(gateway.pid().to_string());
    let output = run(&mut abuse, ABUSE, "h2 of PyPI").await;
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "see above");
    let report: Value = serde_json::from_str(said.lines().last().expect("a report")).expect("JSON");
    let kib = |name: &str| report.get(name).and_then(Value::as_u64).expect("a number");
    let grown = kib("kib_highest").saturating_sub(kib("kib_before"));
    assert!(grown <= KIB_MAX, "abuse took {grown} KiB");
    assert_eq!(gateway.admin("/v1/status").await.get("panics"), Some(&0.into()));
}

/// Client connections that the gateway has open.
async fn connections(gateway: &Gateway) -> u64 {
    gateway.admin("/v1/status").await.get("connections").and_then(Value::as_u64).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_attacks_are_cut_while_honest_load_is_served() {
    let (_stub, gateway) = start().await;
    let address = gateway.address();
    for (name, mode) in [
        ("heads", &["-H"][..]),
        ("bodies", &["-B", "-s", "100000"]),
        ("readers", &["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "1"]),
    ] {
        let mut attack = Command::new("slowhttptest");
        // 200 connections at once, a piece a second, for longer than they will be let.
        attack.args(["-c", "200", "-r", "200", "-i", "1", "-l", "120", "-p", "5", "-u"]);
        attack.arg(format!("http://{address}/stub/bytes?n=3000000")).args(mode);
        attack.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let mut attack =
            attack.spawn().expect("slowhttptest is there (Debian package slowhttptest; run .ci/setup test)");
        wait_for("the attackers are connected", DEADLINE, async || connections(&gateway).await >= 150).await;

        let mut load = Command::new("h2load");
        load.args(["-n", "500", "-c", "5", "-m", "2"]).arg(format!("http://{address}/stub/echo"));
        let honest = run(&mut load, LOAD, "Debian package nghttp2-client").await;
        let said = String::from_utf8_lossy(&honest.stdout).into_owned();
        assert!(said.contains("500 succeeded, 0 failed"), "beside slow {name}:\n{said}");

        let what = format!("slow {name} are cut");
        wait_for(&what, DEADLINE, async || connections(&gateway).await <= 1).await;
        println!("ok {what}");
        attack.kill().await.expect("the attack is ours to end");
    }
    assert_eq!(gateway.admin("/v1/status").await.get("panics"), Some(&0.into()));
}
