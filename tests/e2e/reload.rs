//! Taking a changed config while serving: what changes, what does not, and what a mistake costs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{
    Builder, Connection, DEADLINE, Gateway, Request, Websocket, backend, http_get, wait_for, ws_connect,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fleet::{self, TENANTS};
use crate::visitors::Visitors;

const GLOBEX: &str = "- { id: globex, hosts: [globex.test] }\n";
const BROKEN: &str = "- { id: globex, hosts: [globex.test], colour: red }\n";
const HOSTS: [(&str, &str); 2] = [("acme.test", "acme"), ("globex.test", "globex")];

/// The tenant acme with further keys.
fn acme(keys: &str) -> String {
    format!("- {{ id: acme, hosts: [acme.test], {keys} }}\n")
}

/// A gateway, not started, with a file for each tenant.
fn two_files(stub: &StubOdoo) -> Builder {
    let config = fleet::config(&[backend(stub)], "") + "observe: { address: \"127.0.0.2:0\" }\n";
    Gateway::builder(&config).tenants("acme.yaml", &acme("database: acme")).tenants("globex.yaml", GLOBEX)
}

async fn start() -> (StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let gateway = two_files(&stub).start().await;
    (stub, gateway)
}

async fn reload(gateway: &Gateway) -> Value {
    let answer = gateway.try_admin(&Request::post("admin", "/v1/reload", "")).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Reloads what is fine, and must be taken; on a busy machine the watch may have done so before.
async fn apply(gateway: &Gateway) -> Value {
    let report = reload(gateway).await;
    assert!(report["result"] == "applied" || report["result"] == "unchanged", "{report}");
    assert_eq!(report["problems"], json!([]), "{report}");
    report
}

/// Status and database of a page.
async fn served(gateway: &Gateway, host: &str) -> (u16, Option<String>) {
    let answer = http_get(gateway.address(), host, "/web/login").await;
    (answer.status, answer.database().map(str::to_owned))
}

async fn wait_served(gateway: &Gateway, host: &str, status: u16, database: Option<&str>) {
    let what = format!("{host} is answered {status} from {database:?}");
    let expected = (status, database.map(str::to_owned));
    wait_for(&what, DEADLINE, async || served(gateway, host).await == expected).await;
}

async fn metric(gateway: &Gateway, line: &str) -> Option<String> {
    let text = http_get(gateway.listener("127.0.0.2:0"), "observe", "/metrics").await.text();
    text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ').map(str::to_owned))
}

async fn echoes(socket: &mut Websocket, database: &str) {
    socket.send("are you there?").await.unwrap();
    let echo = socket.json().await;
    assert_eq!((&echo["type"], &echo["database"]), (&json!("echo"), &json!(database)));
}

async fn open(gateway: &Gateway, host: &str) -> Websocket {
    let mut socket = ws_connect(gateway.address(), host, "/websocket", &[]).await;
    socket.json().await;
    socket
}

#[tokio::test]
async fn a_change_counts_for_the_next_request_and_not_for_those_in_flight() {
    let (stub, gateway) = start().await;
    let address = gateway.address();
    let slow = tokio::spawn(async move { http_get(address, "acme.test", "/stub/slow?ms=1500").await });
    wait_for("the slow request is at Odoo", DEADLINE, async || stub.counts().requests_in_flight == 1).await;
    let mut kept = Connection::http1(address).await.unwrap();
    let page = Request::get("acme.test", "/web/login");
    assert_eq!(kept.ask(&page).await.unwrap().database(), Some("acme"));

    gateway.write_tenants("acme.yaml", &acme("database: initech"));
    apply(&gateway).await;
    assert_eq!(served(&gateway, "acme.test").await, (200, Some("initech".to_owned())));
    // Connections are not tied to a config.
    assert_eq!(kept.ask(&page).await.unwrap().database(), Some("initech"));
    for (keys, status) in
        [("state: suspended", 503), ("state: maintenance, maintenance: { retry_after: 1m }", 503), ("", 200)]
    {
        gateway.write_tenants("acme.yaml", &acme(keys));
        apply(&gateway).await;
        assert_eq!(served(&gateway, "acme.test").await.0, status, "{keys}");
    }
    let slow = slow.await.unwrap();
    assert_eq!((slow.status, slow.database()), (200, Some("acme")));
}

#[tokio::test]
async fn hosts_and_tenants_come_and_go() {
    let (_stub, gateway) = start().await;
    gateway.write_tenants("acme.yaml", "- { id: acme, hosts: [new.acme.test] }\n");
    gateway.write_tenants("initech.yaml", "- { id: initech, hosts: [initech.test, acme.test] }\n");
    apply(&gateway).await;
    for (host, database) in [("new.acme.test", "acme"), ("acme.test", "initech"), ("globex.test", "globex")] {
        assert_eq!(served(&gateway, host).await, (200, Some(database.to_owned())), "{host}");
    }
    gateway.directory().remove_tenants("initech.yaml");
    apply(&gateway).await;
    assert_eq!(served(&gateway, "initech.test").await.0, 421);
    assert_eq!(served(&gateway, "acme.test").await.0, 421);
}

#[tokio::test]
async fn backends_of_a_pool_are_exchanged() {
    let (old, gateway) = start().await;
    let mut socket = open(&gateway, "acme.test").await;
    let new = fleet::prefork("eu-2").await;
    let main = fs::read_to_string(gateway.directory().config()).unwrap();
    gateway.directory().write_config(&main.replace(&backend(&old), &backend(&new)));
    apply(&gateway).await;
    let asked = old.counts().requests;
    let answer = http_get(gateway.address(), "acme.test", "/web/login").await;
    assert_eq!((answer.status, answer.server()), (200, Some("eu-2")));
    assert_eq!(old.counts().requests, asked);
    echoes(&mut socket, "acme").await;
}

#[tokio::test]
async fn websockets_stay_open_and_on_their_database() {
    let (_stub, gateway) = start().await;
    let mut old = open(&gateway, "acme.test").await;
    gateway.write_tenants("acme.yaml", &acme("database: initech"));
    apply(&gateway).await;
    let mut new = open(&gateway, "acme.test").await;
    echoes(&mut new, "initech").await;
    echoes(&mut old, "acme").await;
    let list = gateway.admin("/v1/tenants?filter=acme").await;
    assert_eq!(list["tenants"][0]["websockets"], 2);

    gateway.write_tenants("acme.yaml", &acme("state: maintenance"));
    apply(&gateway).await;
    gateway.directory().remove_tenants("acme.yaml");
    apply(&gateway).await;
    echoes(&mut old, "acme").await;
    echoes(&mut new, "initech").await;
    let refused = Websocket::try_open(gateway.address(), "acme.test", "/websocket", &[]).await.unwrap();
    assert_eq!(refused.unwrap_err().status, 421);
    drop((old, new));
    wait_for("the backend has no websocket", DEADLINE, async || {
        gateway.admin("/v1/status").await["pools"][0]["backends"][0]["websocket_in_flight"] == 0
    })
    .await;
}

#[tokio::test]
async fn counters_are_kept() {
    let (_stub, gateway) = start().await;
    for _ in 0..3 {
        assert_eq!(served(&gateway, "acme.test").await.0, 200);
    }
    gateway.write_tenants("acme.yaml", &acme("state: suspended"));
    apply(&gateway).await;
    assert_eq!(served(&gateway, "acme.test").await.0, 503);
    gateway.write_tenants("acme.yaml", &acme("database: initech"));
    apply(&gateway).await;
    assert_eq!(served(&gateway, "acme.test").await.0, 200);
    wait_for("every request is counted", DEADLINE, async || {
        let row = gateway.admin("/v1/tenants?filter=acme").await["tenants"][0].clone();
        (&row["requests"], &row["rejections"]) == (&json!(5), &json!(1))
    })
    .await;
    assert_eq!(
        metric(&gateway, "fleetgate_tenant_requests_total{tenant=\"acme\"}").await.as_deref(),
        Some("5")
    );
    assert_eq!(metric(&gateway, "fleetgate_reloads_total{result=\"applied\"}").await.as_deref(), Some("3"));
}

#[tokio::test]
async fn a_generation_counts_changes_and_a_revision_names_content() {
    let (_stub, gateway) = start().await;
    let first = gateway.admin("/v1/status").await["config"].clone();
    assert_eq!((&first["generation"], &first["tenants"]), (&json!(1), &json!(2)));
    let unchanged = reload(&gateway).await;
    assert_eq!((&unchanged["result"], &unchanged["generation"]), (&json!("unchanged"), &json!(1)));
    gateway.write_tenants("acme.yaml", &acme("database: initech"));
    let second = apply(&gateway).await;
    assert_eq!(second["generation"], 2);
    assert_ne!(second["revision"], first["revision"]);
    gateway.write_tenants("acme.yaml", &acme("database: acme"));
    let third = apply(&gateway).await;
    assert_eq!((&third["generation"], &third["revision"]), (&json!(3), &first["revision"]));
    let status = gateway.admin("/v1/status").await;
    assert_eq!(
        (&status["config"]["generation"], &status["config"]["revision"]),
        (&json!(3), &first["revision"])
    );
    assert_eq!(metric(&gateway, "fleetgate_config_generation").await.as_deref(), Some("3"));
}

#[tokio::test]
async fn a_broken_tenant_file_under_load_costs_nobody_anything() {
    let (_stub, gateway) = start().await;
    let visitors = Visitors::come(gateway.address(), &HOSTS);
    visitors.served(50).await;
    gateway.write_tenants("globex.yaml", BROKEN);
    let report = reload(&gateway).await;
    assert_eq!((&report["result"], &report["generation"]), (&json!("refused"), &json!(1)), "{report}");
    let text = report["problems"].to_string();
    for named in ["globex.yaml:1:39", "colour", "canonical_host"] {
        assert!(text.contains(named), "`{named}` is missing in {text}");
    }
    visitors.served(50).await;

    // The others move on.
    gateway.write_tenants("initech.yaml", "- { id: initech, hosts: [initech.test] }\n");
    let report = reload(&gateway).await;
    assert_eq!(report["generation"], 2, "{report}");
    assert_eq!(served(&gateway, "initech.test").await, (200, Some("initech".to_owned())));
    visitors.served(50).await;

    let status = gateway.admin("/v1/status").await;
    assert_eq!(status["config"]["problems"], report["problems"]);
    let text = gateway.cli(&["status", "--socket", "admin.sock"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("PROBLEM") && text.contains("globex.yaml:1:"), "{text}");
    let logged = |event: &Value| {
        event["level"] == "ERROR"
            && event["place"].as_str().is_some_and(|place| place.contains("globex.yaml:1:"))
    };
    gateway.operational_log().event("the problem", DEADLINE, logged).await;
    assert_eq!(metric(&gateway, "fleetgate_config_problems").await.as_deref(), Some("1"));
    let refused = metric(&gateway, "fleetgate_reloads_total{result=\"refused\"}").await;
    assert!(refused.is_some_and(|count| count.parse::<u64>().unwrap() >= 1));

    gateway.write_tenants("globex.yaml", GLOBEX);
    let report = reload(&gateway).await;
    assert_eq!(report["problems"], json!([]), "{report}");
    assert_eq!(metric(&gateway, "fleetgate_config_problems").await.as_deref(), Some("0"));
    let (answered, failures) = visitors.leave().await;
    assert!(answered >= 150 && failures.is_empty(), "{answered} answered, {failures:#?}");
}

#[tokio::test]
async fn a_host_that_another_file_has_is_not_taken_from_it() {
    let (_stub, gateway) = start().await;
    gateway.write_tenants("thief.yaml", "- { id: thief, hosts: [acme.test], database: initech }\n");
    let report = reload(&gateway).await;
    let text = report["problems"].to_string();
    assert!(text.contains("thief.yaml") && text.contains("acme.yaml"), "{text}");
    assert_eq!(served(&gateway, "acme.test").await, (200, Some("acme".to_owned())));
}

#[tokio::test]
async fn a_broken_main_file_changes_nothing() {
    let (_stub, gateway) = start().await;
    let main = fs::read_to_string(gateway.directory().config()).unwrap();
    let before = gateway.admin("/v1/status").await["config"].clone();
    for broken in [
        String::new(),
        main.replace("19.0", "9.0"),
        main.replace("pools:", "pool:"),
        main.chars().take(main.len() / 2).collect(),
        format!("{main}\n\tthreads"),
    ] {
        gateway.directory().write("fleetgate.yaml", broken.as_bytes());
        let report = reload(&gateway).await;
        assert_eq!(report["result"], "refused", "{broken}");
        assert!(report["problems"].to_string().contains("fleetgate.yaml"), "{report}");
        let now = gateway.admin("/v1/status").await["config"].clone();
        assert_eq!((&now["generation"], &now["revision"]), (&before["generation"], &before["revision"]));
        assert_eq!(served(&gateway, "acme.test").await, (200, Some("acme".to_owned())), "{broken}");
    }
    fs::remove_file(gateway.directory().config()).unwrap();
    assert_eq!(reload(&gateway).await["result"], "refused");
    fleet::still_serves(&gateway).await;
    gateway.directory().write("fleetgate.yaml", main.as_bytes());
    let report = reload(&gateway).await;
    assert_eq!((&report["result"], &report["problems"]), (&json!("unchanged"), &json!([])), "{report}");
}

#[tokio::test]
async fn a_folder_of_tenants_that_vanishes_takes_nobody_along() {
    let (_stub, gateway) = start().await;
    let folder = gateway.directory().path("tenants.d");
    fs::rename(&folder, gateway.directory().path("away")).unwrap();
    let report = reload(&gateway).await;
    assert_eq!(report["result"], "refused", "{report}");
    assert!(report["problems"].to_string().contains("tenants.d"), "{report}");
    fleet::still_serves(&gateway).await;
    fs::rename(gateway.directory().path("away"), &folder).unwrap();
    assert_eq!(reload(&gateway).await["problems"], json!([]));
}

#[tokio::test]
async fn what_only_a_restart_changes_is_named_and_the_rest_is_taken() {
    let (_stub, gateway) = start().await;
    let main = fs::read_to_string(gateway.directory().config()).unwrap();
    let changed = main.replace("\"127.0.0.1:0\"", "\"127.0.0.3:0\"").replace("threads: 2", "threads: 1");
    gateway.directory().write_config(&format!("{changed}drain: {{ timeout: 1s }}\n"));
    gateway.write_tenants("acme.yaml", &acme("database: initech"));
    let report = apply(&gateway).await;
    assert_eq!(report["restart_needed"], json!(["listeners", "threads", "drain"]));
    assert_eq!(gateway.admin("/v1/status").await["config"]["restart_needed"], report["restart_needed"]);
    assert_eq!(served(&gateway, "acme.test").await, (200, Some("initech".to_owned())));
    let text = gateway.cli(&["status", "--socket", "admin.sock"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("RESTART") && text.contains("listeners, threads, drain"), "{text}");
    gateway.directory().write_config(&main);
    assert_eq!(apply(&gateway).await["restart_needed"], json!([]));
}

#[tokio::test]
async fn sighup_reloads_and_does_not_kill() {
    let (_stub, gateway) = start().await;
    for database in ["initech", "acme", "globex"] {
        gateway.write_tenants("acme.yaml", &acme(&format!("database: {database}")));
        gateway.signal(Signal::HUP);
        wait_served(&gateway, "acme.test", 200, Some(database)).await;
    }
    assert_eq!(gateway.admin("/v1/status").await["pid"], gateway.pid());
}

#[tokio::test]
async fn saved_files_are_seen_without_being_told() {
    let (_stub, gateway) = start().await;
    // As careful editors do: beside it, then renamed over it.
    gateway.write_tenants("acme.yaml", &acme("database: initech"));
    wait_served(&gateway, "acme.test", 200, Some("initech")).await;
    // As careless ones do.
    let file = gateway.directory().path("tenants.d/acme.yaml");
    fs::write(&file, acme("database: globex")).unwrap();
    wait_served(&gateway, "acme.test", 200, Some("globex")).await;
    // As vim does: the old file is moved away, and a new one is written.
    fs::rename(&file, gateway.directory().path("tenants.d/acme.yaml~")).unwrap();
    fs::write(&file, acme("database: acme")).unwrap();
    wait_served(&gateway, "acme.test", 200, Some("acme")).await;
    gateway.write_tenants("initech.yaml", "- { id: initech, hosts: [initech.test] }\n");
    wait_served(&gateway, "initech.test", 200, Some("initech")).await;
    gateway.directory().remove_tenants("initech.yaml");
    wait_served(&gateway, "initech.test", 421, None).await;
    let main = fs::read_to_string(gateway.directory().config()).unwrap();
    gateway
        .directory()
        .write_config(&format!("{main}tenants: [ {{ id: late, hosts: [late.test], database: acme }} ]\n"));
    wait_served(&gateway, "late.test", 200, Some("acme")).await;
}

/// A folder as Kubernetes mounts a ConfigMap: files are links through `..data`, which links to a folder of now.
fn mount(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder.join(name)).unwrap();
    fs::write(folder.join(name).join("acme.yaml"), text).unwrap();
    symlink(name, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test]
async fn a_swapped_mount_of_kubernetes_is_seen() {
    let stub = fleet::prefork("eu-1").await;
    let builder = two_files(&stub);
    builder.directory().remove_tenants("acme.yaml");
    let folder = builder.directory().path("tenants.d");
    mount(&folder, "..2026_01_01", &acme("database: acme"));
    symlink("..data/acme.yaml", folder.join("acme.yaml")).unwrap();
    let gateway = builder.start().await;
    assert_eq!(served(&gateway, "acme.test").await, (200, Some("acme".to_owned())));
    for (name, old, database) in
        [("..2026_01_02", "..2026_01_01", "initech"), ("..2026_01_03", "..2026_01_02", "globex")]
    {
        mount(&folder, name, &acme(&format!("database: {database}")));
        fs::remove_dir_all(folder.join(old)).unwrap();
        wait_served(&gateway, "acme.test", 200, Some(database)).await;
    }
}

#[tokio::test]
async fn a_hundred_reloads_under_load_fail_no_request_and_lose_no_websocket() {
    let (stub, gateway) = start().await;
    let mut sockets = Vec::new();
    for number in 0..40 {
        sockets.push((HOSTS[number % 2].1, open(&gateway, HOSTS[number % 2].0).await));
    }
    let visitors = Visitors::come(gateway.address(), &HOSTS);
    for round in 0..100 {
        let state = if round % 2 == 0 { "suspended" } else { "active" };
        let text = format!("- {{ id: initech, hosts: [initech.test], state: {state} }}\n");
        gateway.write_tenants("initech.yaml", &text);
        // The watch may have been faster.
        let report = reload(&gateway).await;
        assert_ne!(report["result"], "refused", "{report}");
        visitors.served(1).await;
    }
    let (answered, failures) = visitors.leave().await;
    assert!(answered >= 100 && failures.is_empty(), "{answered} answered, {failures:#?}");
    for (database, socket) in &mut sockets {
        echoes(socket, database).await;
    }
    assert_eq!(stub.counts().websockets_open, 40);
    let status = gateway.admin("/v1/status").await;
    assert_eq!((&status["config"]["generation"], &status["panics"]), (&json!(101), &json!(0)));
}

#[tokio::test]
async fn reloads_at_once_agree() {
    let (_stub, gateway) = start().await;
    gateway.write_tenants("acme.yaml", &acme("database: initech"));
    let request = Request::post("admin", "/v1/reload", "");
    let calls = futures_util::future::join_all((0..8).map(|_| gateway.try_admin(&request))).await;
    for answer in calls {
        assert_eq!(answer.unwrap().json()["generation"], 2);
    }
    assert_eq!(served(&gateway, "acme.test").await, (200, Some("initech".to_owned())));
}

#[tokio::test]
async fn the_command_line_reloads_and_says_what_happened() {
    let (_stub, gateway) = start().await;
    gateway.write_tenants("globex.yaml", BROKEN);
    gateway.write_tenants("acme.yaml", &acme("database: initech"));
    let output = gateway.cli(&["reload", "--socket", "admin.sock"]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("generation 2"), "{text}");
    assert!(text.contains("PROBLEM") && text.contains("globex.yaml:1:"), "{text}");
    let output = gateway.cli(&["reload", "--socket", "admin.sock", "-o", "json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["result"], &report["generation"]), (&json!("refused"), &json!(2)));
    assert_eq!(served(&gateway, "globex.test").await, (200, Some("globex".to_owned())));
}

#[tokio::test]
async fn a_file_that_is_broken_from_the_start_serves_what_is_good_in_it() {
    let stub = fleet::prefork("eu-1").await;
    let text = format!("{TENANTS}- {{ id: initech, hosts: [initech.test], database: \"no such\" }}\n");
    let gateway = fleet::before(&stub, "", &text).start().await;
    assert_eq!(served(&gateway, "acme.test").await, (200, Some("acme".to_owned())));
    assert_eq!(served(&gateway, "initech.test").await.0, 421);
    let status = gateway.admin("/v1/status").await;
    assert!(status["config"]["problems"].to_string().contains("tenants.yaml:3:"), "{status}");
}
