//! The admin API and the command line: what they tell is what is true.

use std::os::unix::fs::PermissionsExt;

use fleetgate_stub::fault::DeadPort;
use fleetgate_stub::{Port, StubOdoo};
use fleetgate_tests::{Answer, DEADLINE, Gateway, Request, backend, http_get, wait_for, ws_connect};
use serde_json::{Value, json};

use crate::fleet::{self, TENANTS};

/// Address of the listener for probes and metrics.
const OBSERVE: &str = "127.0.0.2:0";

/// Two servers and two pools, an old and a new Odoo, and tenants of every kind. The new pool has a region to spare.
async fn start() -> (Vec<StubOdoo>, Gateway) {
    let stubs = vec![
        fleet::prefork("new-1").await,
        fleet::prefork("new-2").await,
        fleet::prefork("old-1").await,
        fleet::prefork("spare-1").await,
    ];
    let [new_1, new_2, old, spare] = [0, 1, 2, 3].map(|index| backend(&stubs[index]));
    let config = format!(
        "\
threads: 2
observe: {{ address: \"{OBSERVE}\" }}
trusted_proxies: [ 127.0.0.0/8 ]
regions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]
pools:
  new:
    odoo_version: \"19.0\"
    database_selection: dbfilter_header
    health: {{ enabled: false }}
    database_header: true
    regions: {{ paris: {{ backends: [ {new_1}, {new_2} ] }}, dublin: {{ backends: [ {spare} ] }} }}
  old:
    odoo_version: \"15.0\"
    database_selection: host
    health: {{ enabled: false }}
    regions: {{ paris: {{ backends: [ {old} ] }} }}
"
    );
    let tenants = "\
- { id: acme, hosts: [acme.test, shop.acme.test], canonical_host: acme.test, pool: new }
- { id: globex, hosts: [globex.test], pool: old }
- { id: initech, hosts: [initech.test], pool: new, state: suspended }
- { id: repaired, hosts: [repaired.test], database: initech, pool: new, state: maintenance, maintenance: { allow: [203.0.113.7], retry_after: 90s } }
- { id: \"{1}\", hosts: [\"*.shops.test\"], database: \"{1}\", pool: new }
";
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", tenants).start().await;
    (stubs, gateway)
}

/// The text of a query parameter.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn explain(gateway: &Gateway, method: &str, url: &str, from: &str) -> Value {
    let target = format!("/v1/explain?url={}&method={method}&from={from}", encoded(url));
    gateway.admin(&target).await
}

/// Sends the request that a URL and a client stand for, through a proxy that is trusted.
async fn send(gateway: &Gateway, method: &str, url: &str, from: &str) -> Answer {
    let (scheme, rest) = url.split_once("://").unwrap();
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, target) = rest.split_at(at);
    let target = if target.is_empty() { "/" } else { target };
    let request = match target {
        "/jsonrpc" => Request::version(authority),
        _ => Request::new(method, authority, target),
    };
    let request = request.header("X-Forwarded-For", from).header("X-Forwarded-Proto", scheme);
    request.send(gateway.address()).await
}

#[tokio::test]
async fn explain_says_what_a_request_then_meets() {
    let (stubs, gateway) = start().await;
    for (method, url, from) in [
        ("GET", "https://acme.test/web/login", "192.0.2.1"),
        ("GET", "http://acme.test/web/login?db=globex", "192.0.2.1"),
        ("GET", "http://ACME.test.:8069/web/login", "2001:db8::1"),
        ("GET", "https://acme.test:443/odoo", "192.0.2.1"),
        ("POST", "https://acme.test/jsonrpc", "192.0.2.1"),
        ("GET", "https://acme.test/json/2/res.partner/search_read", "192.0.2.1"),
        ("GET", "https://acme.test/web/static/src/a.css", "192.0.2.1"),
        ("GET", "https://acme.test/report/pdf/1", "192.0.2.1"),
        ("POST", "https://acme.test/web/hook/0c7cb2a4", "192.0.2.1"),
        ("GET", "https://acme.test/websocket/health", "192.0.2.1"),
        ("GET", "https://acme.test/fr/%77ebsocket/health", "192.0.2.1"),
        ("GET", "https://globex.test/websocket/health", "192.0.2.1"),
        ("GET", "https://globex.test/longpolling/health", "192.0.2.1"),
        ("GET", "https://globex.test/web/login", "192.0.2.1"),
        ("GET", "https://initech.shops.test/web/login", "192.0.2.1"),
        ("GET", "https://repaired.test/web/login", "203.0.113.7"),
        // Redirected: pages alone, with their port and query.
        ("GET", "https://shop.acme.test/web/login", "192.0.2.1"),
        ("HEAD", "http://shop.acme.test:8080/web/login?a=b", "192.0.2.1"),
        ("GET", "https://shop.acme.test", "192.0.2.1"),
        ("POST", "https://shop.acme.test/web/login", "192.0.2.1"),
        ("GET", "https://shop.acme.test/websocket/health", "192.0.2.1"),
        // Rejected.
        ("GET", "https://initech.test/web/login", "192.0.2.1"),
        ("GET", "https://repaired.test/web/login", "203.0.113.8"),
        ("GET", "https://nobody.test/", "192.0.2.1"),
        ("GET", "https://a.b.shops.test/", "192.0.2.1"),
        ("GET", "https://127.0.0.1/", "192.0.2.1"),
        ("GET", "https://a..b/", "192.0.2.1"),
    ] {
        let told = explain(&gateway, method, url, from).await;
        stubs.iter().for_each(StubOdoo::forget_received);
        let answer = send(&gateway, method, url, from).await;
        agree(&gateway, &stubs, &told, &answer, &format!("{method} {url} from {from}")).await;
    }
}

/// Compares an explanation with the answer, the access event, and what Odoo received.
async fn agree(gateway: &Gateway, stubs: &[StubOdoo], told: &Value, answer: &Answer, what: &str) {
    let id = answer.header("x-request-id").unwrap();
    let event = gateway.access_log().event(what, DEADLINE, |event| event["request_id"] == id).await;
    for name in ["tenant", "database", "class", "rejection"] {
        assert_eq!(told[name], event[name], "{name} of {what}\n{told:#}\n{event:#}");
    }
    let received: Vec<_> = stubs.iter().flat_map(StubOdoo::received).collect();
    match told["verdict"].as_str().unwrap() {
        "forward" => {
            assert_eq!(told["pool"], event["pool"], "{what}");
            assert!(told["backends"].as_array().unwrap().contains(&event["backend"]), "{what}\n{told:#}");
            assert_eq!(received.len(), 1, "{what}");
            let request = &received[0];
            let port = if told["port"] == "gevent" { Port::Gevent } else { Port::Http };
            assert_eq!(request.port, port, "{what}");
            let headers = told["headers"].as_array().unwrap();
            for header in headers {
                let (name, value) = (header[0].as_str().unwrap(), header[1].as_str().unwrap());
                assert_eq!(request.values(name), [value], "{name} of {what}");
            }
            for name in ["x-odoo-dbfilter", "x-odoo-database"] {
                let told = headers.iter().any(|header| header[0] == name);
                assert_eq!(request.value(name).is_some(), told, "{name} of {what}");
            }
        }
        "redirect" => {
            assert_eq!(
                (answer.status, answer.header("location")),
                (301, told["location"].as_str()),
                "{what}"
            );
            assert!(received.is_empty(), "{what}");
        }
        "reject" => {
            assert_eq!(told["status"], answer.status, "{what}\n{told:#}");
            assert!(received.is_empty(), "{what}");
        }
        other => panic!("{other} for {what}"),
    }
}

#[tokio::test]
async fn explain_lists_the_backends_in_the_order_in_which_they_are_asked() {
    let (stubs, gateway) = start().await;
    let told = explain(&gateway, "GET", "http://acme.test/web/login", "192.0.2.1").await;
    let both: Vec<String> = stubs[..2].iter().map(|stub| stub.http_addr().to_string()).collect();
    let listed: Vec<String> = told["backends"]
        .as_array()
        .unwrap()
        .iter()
        .map(|address| address.as_str().unwrap().to_owned())
        .collect();
    assert!(listed == both || listed.iter().rev().eq(&both), "{listed:?} of {both:?}");
    http_get(gateway.address(), "acme.test", "/web/login").await;
    let event = gateway.access_log().event("the page", DEADLINE, |event| event["status"] == 200).await;
    assert_eq!(event["backend"], listed[0]);
    assert_eq!((&told["region"], &told["state"]), (&json!("paris"), &json!("active")));
    assert!(told["why"].as_array().unwrap().len() >= 4, "{told:#}");
}

#[tokio::test]
async fn explain_asks_nobody_and_counts_nothing() {
    let (stubs, gateway) = start().await;
    for _ in 0..10 {
        explain(&gateway, "POST", "http://acme.test/web/login", "192.0.2.1").await;
    }
    assert_eq!(stubs.iter().map(|stub| stub.counts().connections).sum::<u64>(), 0);
    let list = gateway.admin("/v1/tenants?filter=acme").await;
    assert_eq!(list["tenants"][0]["requests"], 0);
    assert_eq!(gateway.access_log().count(), 0);
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_answered_with_why() {
    let (_stubs, gateway) = start().await;
    for (target, why) in [
        ("/v1/explain?url=acme.test", "must start with http:// or https://"),
        ("/v1/explain?url=ftp%3A%2F%2Facme.test%2F", "must start with http:// or https://"),
        ("/v1/explain?url=http%3A%2F%2F%5B", "is not a URL"),
        ("/v1/explain?url=http%3A%2F%2Facme.test%2F&method=G%20T", "is not an HTTP method"),
        ("/v1/explain?url=http%3A%2F%2Facme.test%2F&from=nowhere", "from"),
        ("/v1/explain", "url"),
        ("/v1/tenants?limit=many", "limit"),
    ] {
        let answer = gateway.try_admin(&Request::get("admin", target)).await.unwrap();
        assert_eq!(answer.status, 400, "{target}: {}", answer.text());
        assert!(answer.text().contains(why), "{target}: {}", answer.text());
    }
    let unknown = gateway.try_admin(&Request::get("admin", "/v1/nothing")).await.unwrap();
    let wrong = gateway.try_admin(&Request::get("admin", "/v1/reload")).await.unwrap();
    assert_eq!((unknown.status, wrong.status), (404, 405));
}

#[tokio::test]
async fn status_tells_what_the_process_is_doing() {
    let (stubs, gateway) = start().await;
    let status = gateway.admin("/v1/status").await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["pid"], &status["phase"]), (&json!(gateway.pid()), &json!("serving")));
    assert_eq!((&status["connections"], &status["panics"]), (&json!(0), &json!(0)));
    let listeners = json!([
        { "name": "127.0.0.1:0", "address": gateway.address().to_string() },
        { "name": OBSERVE, "address": gateway.listener(OBSERVE).to_string() },
    ]);
    assert_eq!(status["listeners"], listeners);
    assert_eq!((&status["config"]["tenants"], &status["config"]["problems"]), (&json!(5), &json!([])));
    let pool = &status["pools"][0];
    assert_eq!((&pool["name"], &pool["odoo_version"]), (&json!("new"), &json!("19.0")));
    assert_eq!((&pool["region"], &pool["standby"]), (&json!("paris"), &json!(["dublin"])));
    assert_eq!(pool["backends"].as_array().unwrap().len(), 2);
    let old = json!({
        "http": stubs[2].http_addr().to_string(),
        "websocket": stubs[2].gevent_addr().to_string(),
        "http_in_flight": 0,
        "websocket_in_flight": 0,
        "connect_failures": 0,
        "failing": false,
    });
    assert_eq!(status["pools"][1]["backends"], json!([old]));

    let address = gateway.address();
    let slow = tokio::spawn(async move { http_get(address, "globex.test", "/stub/slow?ms=600000").await });
    let poll = tokio::spawn(async move {
        Request::call("globex.test", "/longpolling/poll?hold_ms=60000", &json!({})).send(address).await
    });
    wait_for("work in flight is counted by port", DEADLINE, async || {
        let status = gateway.admin("/v1/status").await;
        let backend = &status["pools"][1]["backends"][0];
        (&backend["http_in_flight"], &backend["websocket_in_flight"], &status["connections"])
            == (&json!(1), &json!(1), &json!(2))
    })
    .await;
    slow.abort();
    poll.abort();
    wait_for("it is counted down when the clients leave", DEADLINE, async || {
        let status = gateway.admin("/v1/status").await;
        let backend = &status["pools"][1]["backends"][0];
        (&backend["http_in_flight"], &backend["websocket_in_flight"], &status["connections"])
            == (&json!(0), &json!(0), &json!(0))
    })
    .await;
}

#[tokio::test]
async fn a_backend_that_refuses_connections_is_shown() {
    let stub = fleet::prefork("eu-1").await;
    let dead = DeadPort::reserve().unwrap();
    let config = fleet::config(&[fleet::one_port(dead.address()), backend(&stub)], "");
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).start().await;
    let address = gateway.address();
    let slow = tokio::spawn(async move { http_get(address, "acme.test", "/stub/slow?ms=600000").await });
    wait_for("a slow request is at the live one", DEADLINE, async || stub.counts().requests_in_flight == 1)
        .await;
    // Now the dead one is the least busy, unless it was asked before.
    assert_eq!(http_get(address, "acme.test", "/web/login").await.status, 200);
    slow.abort();
    let text = cli(&gateway, &["status"]).await;
    let line = text.lines().find(|line| line.contains(&dead.address().to_string())).unwrap();
    assert!(line.contains("failed connections") && line.contains("REFUSES CONNECTIONS"), "{text}");
}

#[tokio::test]
async fn tenants_are_found_by_id_database_and_host() {
    let (_stubs, gateway) = start().await;
    let socket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
    let ids = async |query: &str| -> (u64, Vec<String>) {
        let list = gateway.admin(&format!("/v1/tenants{query}")).await;
        let rows = list["tenants"].as_array().unwrap().iter();
        (list["total"].as_u64().unwrap(), rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect())
    };
    let all = ["acme", "globex", "initech", "repaired", "{1}"].map(str::to_owned);
    assert_eq!(ids("").await, (5, all.to_vec()));
    assert_eq!(ids("?filter=shop").await, (2, vec!["acme".to_owned(), "{1}".to_owned()]));
    assert_eq!(ids("?filter=initech").await, (2, vec!["initech".to_owned(), "repaired".to_owned()]));
    assert_eq!(ids("?filter=nobody").await, (0, vec![]));
    assert_eq!(ids("?limit=2").await, (5, all[..2].to_vec()));
    assert_eq!(ids("?limit=2&offset=3").await, (5, all[3..].to_vec()));
    assert_eq!(ids("?offset=9").await, (5, vec![]));
    assert_eq!(ids("?limit=0").await, (5, vec![]));
    let mut row = gateway.admin("/v1/tenants?filter=acme").await["tenants"][0].clone();
    let place = row.as_object_mut().unwrap().remove("place").unwrap();
    assert!(place.as_str().unwrap().ends_with("/tenants.d/tenants.yaml:1"), "{place}");
    let expected = json!({
        "id": "acme", "database": "acme", "pool": "new", "state": "active",
        "hosts": ["acme.test", "shop.acme.test"], "requests": 1, "rejections": 0, "websockets": 1,
    });
    assert_eq!(row, expected);
    drop(socket);
}

/// Runs a command of the binary against the gateway, which must succeed, and returns what it prints.
async fn cli(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.cli(&[arguments, &["--socket", "admin.sock"]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn cli_json(gateway: &Gateway, arguments: &[&str]) -> Value {
    serde_json::from_str(&cli(gateway, &[arguments, &["-o", "json"]].concat()).await).unwrap()
}

#[tokio::test]
async fn the_command_line_prints_json_for_programs() {
    let (_stubs, gateway) = start().await;
    let url = "https://shop.acme.test:8443/web/login?a=b&c=d";
    let from = ["--from", "203.0.113.9", "--method", "GET"];
    let told = cli_json(&gateway, &[&["explain", url][..], &from].concat()).await;
    assert_eq!(told, explain(&gateway, "GET", url, "203.0.113.9").await);
    assert_eq!(told["location"], "https://acme.test:8443/web/login?a=b&c=d");
    let tenants = cli_json(&gateway, &["tenants", "shop", "--limit", "1"]).await;
    assert_eq!(tenants, gateway.admin("/v1/tenants?filter=shop&limit=1").await);
    let mut status = [cli_json(&gateway, &["status"]).await, gateway.admin("/v1/status").await];
    status.iter_mut().for_each(|status| status["uptime_seconds"] = json!(0));
    assert_eq!(status[0], status[1]);
}

#[tokio::test]
async fn the_command_line_prints_text_for_people() {
    let (stubs, gateway) = start().await;
    let text = cli(&gateway, &["explain", "https://shop.acme.test/websocket"]).await;
    for line in [
        "request    https://shop.acme.test/websocket",
        "verdict    forward",
        "host       shop.acme.test",
        "tenant     acme",
        "database   acme",
        "pool       new, tenant active",
        "class      websocket, gevent port in paris",
        "headers    host: shop.acme.test",
        "           x-odoo-dbfilter: ^acme$",
    ] {
        assert!(text.lines().any(|found| found == line), "`{line}` is missing in\n{text}");
    }
    let text = cli(&gateway, &["explain", "https://shop.acme.test/web"]).await;
    assert!(text.contains("verdict    redirect to https://acme.test/web\n"), "{text}");
    let text = cli(&gateway, &["explain", "https://nobody.test/"]).await;
    assert!(text.contains("verdict    reject 421 unknown_host\n"), "{text}");

    let text = cli(&gateway, &["status"]).await;
    for part in [
        format!("pid {}: serving", gateway.pid()),
        "generation 1, 5 tenants".to_owned(),
        format!("listening  {}", gateway.address()),
        "pool new: Odoo 19.0 in paris, standby dublin".to_owned(),
        format!("  {}  0 requests, 0 on the bus ({})", stubs[2].http_addr(), stubs[2].gevent_addr()),
    ] {
        assert!(text.contains(&part), "`{part}` is missing in\n{text}");
    }
    let text = cli(&gateway, &["tenants"]).await;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..4], ["TENANT", "DATABASE", "POOL", "STATE"]);
    assert_eq!(rows[4], ["repaired", "initech", "new", "maintenance", "0", "0", "0", "repaired.test"]);
    let text = cli(&gateway, &["tenants", "--limit", "2"]).await;
    assert!(text.ends_with("2 of 5 tenants; narrow with a filter or raise --limit\n"), "{text}");
}

#[tokio::test]
async fn a_command_that_cannot_be_carried_out_says_what_to_do() {
    let (_stubs, gateway) = start().await;
    for command in [&["status"][..], &["tenants"], &["reload"], &["explain", "http://acme.test/"]] {
        let output = gateway.cli(&[command, &["--socket", "nowhere.sock"]].concat()).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{text}");
        assert!(text.starts_with("fleetgate: cannot reach a running gateway at nowhere.sock"), "{text}");
        assert!(text.contains("--socket") && text.contains("No such file"), "{text}");
    }
    let output = gateway.cli(&["explain", "acme.test", "--socket", "admin.sock"]).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("`acme.test` must start with http:// or https://"), "{text}");
    // A socket that nobody listens on any more.
    drop(std::os::unix::net::UnixListener::bind(gateway.directory().path("stale.sock")).unwrap());
    let output = gateway.cli(&["status", "--socket", "stale.sock"]).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("is it running"), "{text}");
}

#[tokio::test]
async fn the_socket_comes_from_the_environment_too() {
    let stub = fleet::prefork("eu-1").await;
    let gateway = fleet::before(&stub, "", TENANTS).variable("FLEETGATE_SOCKET", "admin.sock").start().await;
    let output = gateway.cli(&["status"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn only_the_owner_and_the_group_reach_the_admin_api() {
    let (stubs, gateway) = start().await;
    let mode = std::fs::metadata(gateway.directory().admin_socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    for path in ["/v1/status", "/v1/tenants", "/v1/reload"] {
        assert_eq!(http_get(gateway.listener(OBSERVE), "observe", path).await.status, 404, "{path}");
        // For clients it is a path of Odoo's like any other, and of no host of ours nothing.
        let answer = http_get(gateway.address(), "acme.test", path).await;
        assert_eq!((answer.status, answer.database()), (404, Some("acme")), "{path}");
        assert_eq!(http_get(gateway.address(), "localhost", path).await.status, 421, "{path}");
    }
    assert_eq!(stubs.iter().map(|stub| stub.counts().requests).sum::<u64>(), 3);
}

#[tokio::test]
async fn a_folder_for_the_socket_is_made() {
    let stub = fleet::prefork("eu-1").await;
    let builder = fleet::before(&stub, "", TENANTS);
    let main = std::fs::read_to_string(builder.directory().config()).unwrap();
    let socket = builder.directory().path("run/deep/admin.sock");
    let old = builder.directory().admin_socket();
    builder.directory().write_config(&main.replace(old.to_str().unwrap(), socket.to_str().unwrap()));
    // The harness looks for the socket at its usual place.
    std::os::unix::fs::symlink("run/deep/admin.sock", &old).unwrap();
    let gateway = builder.start().await;
    assert_eq!(gateway.admin("/v1/status").await["pid"], gateway.pid());
    assert!(socket.exists());
}
