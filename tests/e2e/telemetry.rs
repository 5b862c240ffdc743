//! What operators see of requests: one event each, bounded metrics, and no secret anywhere.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;

use fleetgate_stub::StubOdoo;
use fleetgate_stub::fault::{DeadPort, Fault, FaultyBackend};
use fleetgate_tests::{
    Builder, Connection, DEADLINE, Gateway, RawConnection, Request, Websocket, http_get, raw_exchange,
    wait_for, ws_connect,
};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::fleet::{self, event_of};
use crate::script::{self, Script, handshake};

/// Address of the listener for probes and metrics.
const OBSERVE: &str = "127.0.0.2:0";
const TENANTS: &str = "\
- { id: acme, hosts: [acme.test, shop.acme.test], canonical_host: acme.test }
- { id: globex, hosts: [globex.test], state: suspended }
- { id: initech, hosts: [initech.test], state: maintenance }
- { id: \"{1}\", hosts: [\"*.shops.test\"], database: \"{1}\" }
- { id: dead, hosts: [dead.test], pool: dead }
";

/// A gateway, not started, with tenants of every kind, one of them in a pool whose backends are all `dead`.
fn before(stub: &StubOdoo, dead: &[SocketAddr], observe: &str) -> Builder {
    let dead: Vec<String> = dead.iter().copied().map(fleet::one_port).collect();
    let (http, websocket) = (stub.http_addr(), stub.gevent_addr());
    let backend = format!("{{ http: \"{http}\", websocket: \"{websocket}\", workers: 100 }}");
    let mut config = fleet::config(&[backend], "");
    config.push_str(&format!(
        "  dead:\n    odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    health: {{ enabled: false }}\n    \
         http: {{ read_timeout: 1s }}\n    regions: {{ eu: {{ backends: [ {} ] }} }}\n",
        dead.join(", ")
    ));
    config.push_str(&format!("observe: {{ address: \"{OBSERVE}\"{observe} }}\n"));
    let tenants = TENANTS.replace("shop.acme.test], ", "shop.acme.test], pool: main, ");
    let tenants = tenants.replace("suspended }", "suspended, pool: main }");
    let tenants = tenants.replace("maintenance }", "maintenance, pool: main }");
    let tenants = tenants.replace("database: \"{1}\" }", "database: \"{1}\", pool: main }");
    Gateway::builder(&config).tenants("tenants.yaml", &tenants)
}

async fn start() -> (StubOdoo, DeadPort, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let dead = DeadPort::reserve().unwrap();
    let gateway = before(&stub, &[dead.address()], "").start().await;
    (stub, dead, gateway)
}

async fn metrics(gateway: &Gateway) -> String {
    let answer = http_get(gateway.listener(OBSERVE), "observe", "/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    answer.text()
}

/// Waits until so many requests have ended: each is counted, then its event is written.
async fn ended(gateway: &Gateway, requests: usize) {
    let what = format!("{requests} requests have ended");
    wait_for(&what, DEADLINE, async || gateway.access_log().count() == requests).await;
}

/// The value of a series, written as in the text.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Names and labels of all series.
fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

#[tokio::test]
async fn an_event_tells_all_about_a_request() {
    let (stub, _dead, gateway) = start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = Request::post("ACME.test:8080", "/stub/upload?x=1", "12345").header("traceparent", trace);
    let answer = request.send(gateway.address()).await;
    let mut event = event_of(&gateway, &answer).await;
    let mut take = |name: &str| event.as_object_mut().unwrap().remove(name).unwrap_or_default();
    assert!(take("time").as_str().unwrap().ends_with('Z'));
    assert!(take("queue_ms").as_f64().unwrap() >= 0.0);
    assert!(take("duration_ms").as_f64().unwrap() >= take("first_byte_ms").as_f64().unwrap());
    assert_eq!(take("bytes_out"), answer.body.len());
    let expected = json!({
        "event": "request",
        "request_id": answer.header("x-request-id"),
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "client": "127.0.0.1",
        "scheme": "http",
        "protocol": "HTTP/1.1",
        "method": "POST",
        "host": "acme.test",
        "path": "/stub/upload",
        "tenant": "acme",
        "database": "acme",
        "pool": "main",
        "class": "page",
        "backend": stub.http_addr().to_string(),
        "attempts": 1,
        "status": 200,
        "bytes_in": 5,
        "generation": 1,
    });
    assert_eq!(event, expected);
}

#[tokio::test]
async fn every_answer_has_its_event() {
    let (_stub, _dead, gateway) = start().await;
    let get = Request::get;
    let cases = [
        (get("acme.test", "/web/login"), 200, "acme", "page", ""),
        (get("acme.test", "/web/login").http2(), 200, "acme", "page", ""),
        (Request::new("HEAD", "acme.test", "/web/login"), 200, "acme", "page", ""),
        (get("acme.test", "/web/static/src/a.css"), 200, "acme", "static", ""),
        (Request::post("acme.test", "/jsonrpc", "{}"), 415, "acme", "rpc", "rpc_media_type"),
        (get("acme.test", "/nothing/here"), 404, "acme", "page", ""),
        (get("acme.test", "/websocket/health"), 200, "acme", "websocket", ""),
        (get("shop.acme.test", "/web/login"), 301, "acme", "", ""),
        (get("globex.test", "/"), 503, "globex", "", "tenant_suspended"),
        (get("initech.test", "/"), 503, "initech", "", "tenant_maintenance"),
        (get("acme.shops.test", "/web/login"), 200, "acme", "page", ""),
        (get("nobody.test", "/"), 421, "", "", "unknown_host"),
        (get("no..host", "/"), 400, "", "", "bad_host"),
        (get("dead.test", "/"), 503, "dead", "page", "backend_unreachable"),
    ];
    for (request, status, tenant, class, rejection) in &cases {
        let answer = request.send(gateway.address()).await;
        assert_eq!(answer.status, *status, "{request:?}");
        let event = event_of(&gateway, &answer).await;
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(event["status"], *status, "{event}");
        assert_eq!(
            (text("tenant"), text("class"), text("rejection")),
            (tenant.to_string(), class.to_string(), rejection.to_string()),
            "{event}"
        );
    }
    assert_eq!(gateway.access_log().count(), cases.len());
}

#[tokio::test]
async fn websockets_and_clients_that_leave_have_their_events_too() {
    let (stub, _dead, gateway) = start().await;
    let mut socket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
    let hello = socket.next().await.unwrap().unwrap();
    socket.send("hello").await.unwrap();
    let echo = socket.next().await.unwrap().unwrap();
    assert_eq!(gateway.access_log().count(), 0, "the event is written when the websocket ends");
    let id = socket.handshake.header("x-request-id").unwrap().to_owned();
    drop(socket);
    let event = gateway.access_log().event("websocket", DEADLINE, |event| event["request_id"] == id).await;
    assert_eq!(
        (&event["status"], &event["class"], &event["websocket_end"], &event["backend"]),
        (&json!(101), &json!("websocket"), &json!("client"), &json!(stub.gevent_addr().to_string()))
    );
    // A small frame has two bytes of head, and four of mask from a client.
    assert_eq!(event["bytes_in"], "hello".len() + 6);
    assert_eq!(event["bytes_out"], hello.len() + echo.len() + 4);

    let refused = Websocket::try_open(gateway.address(), "nobody.test", "/websocket", &[]).await.unwrap();
    let refused = event_of(&gateway, &refused.unwrap_err()).await;
    assert_eq!((&refused["status"], &refused["rejection"]), (&json!(421), &json!("unknown_host")));

    let mut leaving = RawConnection::open(gateway.address()).await.unwrap();
    leaving.send("GET /stub/slow?ms=600000 HTTP/1.1\r\nHost: acme.test\r\n\r\n").await.unwrap();
    wait_for("the slow request is at Odoo", DEADLINE, async || stub.counts().requests_in_flight == 1).await;
    drop(leaving);
    let left = gateway.access_log().event("left", DEADLINE, |event| event["path"] == "/stub/slow").await;
    assert_eq!((&left["status"], &left["tenant"]), (&json!(0), &json!("acme")));
    assert!(left["rejection"].is_null() && left["error"].is_string(), "{left}");

    let address = gateway.address();
    let upload = Request::post("acme.test", "/stub/slow?ms=600000", "x").http2();
    let leaving = tokio::spawn(async move { upload.try_send(address).await });
    wait_for("the second slow request is at Odoo", DEADLINE, async || stub.counts().requests == 3).await;
    leaving.abort();
    let left = gateway.access_log().event("left", DEADLINE, |event| event["protocol"] == "HTTP/2.0").await;
    assert_eq!((&left["status"], &left["bytes_in"]), (&json!(0), &json!(1)));
    let text = metrics(&gateway).await;
    let none = "fleetgate_requests_total{class=\"page\",pool=\"main\",status=\"none\"}";
    assert_eq!(value(&text, none), Some(2.0), "{text}");
    assert_eq!(gateway.access_log().count(), 4);
}

/// Odoo as it should not be: answers that cannot be read, each with a secret.
async fn unreadable(answer: &'static str) -> Script {
    Script::start(move |mut stream: TcpStream, _| async move {
        stream.write_all(answer.as_bytes()).await?;
        script::hold(stream).await
    })
    .await
}

/// Sends a request whose answer, if there is one, does not matter.
async fn send(gateway: &Gateway, raw: impl AsRef<[u8]>) {
    let mut connection = RawConnection::open(gateway.address()).await.unwrap();
    connection.send(raw).await.unwrap();
    connection.finish_sending().await.unwrap();
    // Closed, answered or reset: all that counts is what is written about it.
    let _ended = connection.read_to_end().await.map(|_| ()).is_ok();
}

/// Requests that cannot be read, each with a secret.
async fn send_unreadable(gateway: &Gateway) {
    send(
        gateway,
        "GET /?token=SECRET29 HTTP/1.1\r\nHost: acme.test\r\nCookie: SECRET30\r\nbad header\r\n\r\n",
    )
    .await;
    send(gateway, "GET /?token=SECRET31 HTTP/9.9\r\nAuthorization: SECRET32\r\n\r\n").await;
    send(
        gateway,
        "POST / HTTP/1.1\r\nHost: acme.test\r\nTransfer-Encoding: chunked\r\n\r\nSECRET33\r\nSECRET34",
    )
    .await;
    send(gateway, "POST / HTTP/1.1\r\nHost: acme.test\r\nContent-Length: SECRET35\r\n\r\nSECRET36").await;
    send(
        gateway,
        "POST /web/login HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 90\r\n\r\npassword=SECRET37",
    )
    .await;
    send(gateway, "GET http://user:SECRET38@acme.test/ HTTP/1.1\r\nHost: acme.test\r\n\r\n").await;
    send(gateway, "GET / HTTP/1.1\r\nHost: acme.test\r\nHost: SECRET39\r\n\r\n").await;
    send(gateway, "GET / HTTP/1.1\r\nHost: acme.test\r\nCookie: session_id=SECRET40").await;
    send(gateway, format!("{}GET /?SECRET41 HTTP/1.1\r\n\r\n", handshake("acme.test", "/websocket", "")))
        .await;
}

#[tokio::test]
async fn no_secret_is_written_anywhere() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nSet-Cookie: session_id=SECRET01\r\nno header SECRET01\r\n\r\n", "info"),
        ("HTTP/1.1 200 SECRET02\r\nContent-Length: SECRET02\r\n\r\n", "info"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nSECRET03\r\nSECRET03\r\n",
            "warn,fleetgate=debug",
        ),
        ("SECRET04\r\n\r\n", "info"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nSECRET05", "info"),
    ];
    futures_util::future::join_all(cases.map(|(answer, log)| keeps_secrets(answer, log))).await;
}

/// Sends secrets in every place, also to an Odoo that answers what cannot be read, and looks for them in all that is
/// written.
async fn keeps_secrets(answer: &'static str, log: &str) {
    let stub = fleet::prefork("eu-1").await;
    let odoo = unreadable(answer).await;
    let token = ", bearer_token: SECRET06";
    // Two that fail: what is asked of the one is asked of the other too.
    let dead = DeadPort::reserve().unwrap();
    let builder = before(&stub, &[odoo.address(), dead.address()], token).variable("FLEETGATE_LOG", log);
    let gateway = builder.start().await;
    let address = gateway.address();
    let secret = Request::post("acme.test", "/stub/echo?access_token=SECRET07&db=acme", "password=SECRET08")
        .header("Cookie", "session_id=SECRET09; other=SECRET10")
        .header("Authorization", "Bearer SECRET11")
        .header("Referer", "http://acme.test/?token=SECRET12")
        .header("User-Agent", "curl/SECRET13")
        .header("X-Api-Key", "SECRET14")
        .header("X-Odoo-Dbfilter", "SECRET15")
        .header("X-Forwarded-For", "SECRET16")
        .header("X-Request-Id", "SECRET17")
        .header("traceparent", "SECRET18");
    assert_eq!(secret.send(address).await.status, 200);
    assert_eq!(secret.clone().http2().send(address).await.status, 200);
    // Tokens in paths: hooks of any length, and long segments of anything else, however long the path is.
    let token = "SECRET19-1f7a-4c57-9a75-f6ee8a1d0b2c";
    let long = format!("/{}/{token}", "a/".repeat(245));
    for path in
        ["/web/hook/SECRET20", &format!("/survey/start/{token}"), &format!("/fr/web/hook/{token}"), &long]
    {
        Request::get("acme.test", path).send(address).await;
    }
    Request::get("shop.acme.test", "/web/login?token=SECRET21").send(address).await;
    let _answered = Request::get("dead.test", "/x?token=SECRET43").try_send(address).await.is_ok();
    for host in ["nobody.test", "globex.test", "dead.test"] {
        let request =
            Request::post(host, "/x?token=SECRET22", "SECRET23").header("Cookie", "session_id=SECRET24");
        // What the unreadable Odoo does to the answer is another test's matter.
        let _answered = request.try_send(address).await.is_ok();
    }
    let headers = [("Cookie", "session_id=SECRET25"), ("X-Token", "SECRET26")];
    drop(ws_connect(address, "acme.test", "/websocket?token=SECRET27", &headers).await);
    drop(Websocket::try_open(address, "dead.test", "/websocket?token=SECRET28", &headers).await);
    send_unreadable(&gateway).await;
    let observe = gateway.listener(OBSERVE);
    let wrong = Request::get("observe", "/metrics").header("Authorization", "Bearer SECRET42");
    assert_eq!(wrong.send(observe).await.status, 401);
    let right = Request::get("observe", "/metrics").header("Authorization", "Bearer SECRET06");
    let metrics = right.send(observe).await;
    assert_eq!(metrics.status, 200);
    let status = gateway.admin("/v1/status").await.to_string();
    let tenants = gateway.admin("/v1/tenants").await.to_string();
    // The last request of all, so that everything before has been written.
    event_of(&gateway, &http_get(address, "acme.test", "/web/health").await).await;
    let access = gateway.access_log().text();
    let operations = gateway.operational_log().text();
    for (name, text) in [
        ("access", &access),
        ("operations", &operations),
        ("metrics", &metrics.text()),
        ("status", &status),
        ("tenants", &tenants),
    ] {
        let leaks: Vec<&str> = text.lines().filter(|line| line.contains("SECRET")).collect();
        assert!(leaks.is_empty(), "{name} with {answer:?}: {leaks:#?}");
    }
    fleet::still_serves(&gateway).await;
}

/// Sends requests on eight connections, each asked for by its number.
async fn flood(gateway: &Gateway, number: usize, request: impl Fn(usize) -> Request) {
    let each = |worker: usize| {
        let request = &request;
        async move {
            let mut connection = Connection::http1(gateway.address()).await.unwrap();
            for number in (worker..number).step_by(8) {
                if connection.is_closed() {
                    connection = Connection::http1(gateway.address()).await.unwrap();
                }
                connection.ask(&request(number)).await.unwrap();
            }
        }
    };
    futures_util::future::join_all((0..8).map(each)).await;
}

#[tokio::test]
async fn series_are_bounded_however_many_hosts_and_paths_are_asked_for() {
    let (_stub, _dead, gateway) = start().await;
    let kinds = |number: usize| match number % 6 {
        0 => Request::get(&format!("nobody-{number}.test"), "/"),
        1 => Request::get(&format!("t{number}.shops.test"), &format!("/x/{number}?{number}")),
        2 => Request::get("acme.test", &format!("/web/{number}/static/{number}.css")),
        3 => Request::new(&format!("METHOD{number}"), "globex.test", &format!("/{number}")),
        4 => Request::get("dead.test", &format!("/{number}")),
        _ => Request::get("acme.test", &format!("/stub/status?code={}", 400 + number % 100)),
    };
    flood(&gateway, 6, kinds).await;
    ended(&gateway, 6).await;
    // The files are looked at once more when their watch begins.
    wait_for("the config is watched", DEADLINE, async || metrics(&gateway).await.contains("unchanged")).await;
    let first = series(&metrics(&gateway).await);
    flood(&gateway, 2_000, kinds).await;
    ended(&gateway, 2_006).await;
    let text = metrics(&gateway).await;
    let grown: Vec<String> = series(&text).difference(&first).cloned().collect();
    assert!(grown.is_empty(), "{grown:#?}");
    assert_eq!(value(&text, "fleetgate_rejections_total{code=\"unknown_host\"}"), Some(335.0));
    assert_eq!(value(&text, "fleetgate_tenant_requests_total{tenant=\"{1}\"}"), Some(335.0));
    assert_eq!(value(&text, "fleetgate_panics_total"), Some(0.0));
    assert_eq!(value(&text, "fleetgate_access_log_dropped_total"), Some(0.0));
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let (stub, dead, gateway) = start().await;
    for _ in 0..3 {
        http_get(gateway.address(), "acme.test", "/web/login").await;
    }
    http_get(gateway.address(), "acme.test", "/nothing").await;
    http_get(gateway.address(), "globex.test", "/").await;
    http_get(gateway.address(), "nobody.test", "/").await;
    http_get(gateway.address(), "dead.test", "/").await;
    let socket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
    ended(&gateway, 7).await;
    let main = |name: &str, labels: &str| format!("fleetgate_{name}{{{labels}}}");
    let (http, gevent) = (stub.http_addr(), stub.gevent_addr());
    let text = metrics(&gateway).await;
    for (series, expected) in [
        (main("requests_total", "class=\"page\",pool=\"main\",status=\"2xx\""), 3.0),
        (main("requests_total", "class=\"page\",pool=\"main\",status=\"4xx\""), 1.0),
        (main("requests_total", "class=\"page\",pool=\"dead\",status=\"5xx\""), 1.0),
        (main("requests_total", "class=\"websocket\",pool=\"main\",status=\"1xx\""), 1.0),
        (main("request_seconds_count", "class=\"page\",pool=\"main\""), 4.0),
        (main("rejections_total", "code=\"tenant_suspended\""), 1.0),
        (main("rejections_total", "code=\"unknown_host\""), 1.0),
        (main("rejections_total", "code=\"backend_unreachable\""), 1.0),
        (main("tenant_requests_total", "tenant=\"acme\""), 5.0),
        (main("tenant_requests_total", "tenant=\"globex\""), 1.0),
        (main("tenant_websockets", "tenant=\"acme\""), 1.0),
        (main("backend_in_flight", &format!("backend=\"{http}\",pool=\"main\",port=\"http\"")), 0.0),
        (main("backend_in_flight", &format!("backend=\"{gevent}\",pool=\"main\",port=\"gevent\"")), 1.0),
        (
            main(
                "backend_connect_failures_total",
                &format!("backend=\"{}\",pool=\"dead\",port=\"http\"", dead.address()),
            ),
            1.0,
        ),
        ("fleetgate_tenants".to_owned(), 5.0),
        ("fleetgate_config_generation".to_owned(), 1.0),
        ("fleetgate_config_problems".to_owned(), 0.0),
        ("fleetgate_connections_total".to_owned(), 8.0),
    ] {
        assert_eq!(value(&text, &series), Some(expected), "{series} in\n{text}");
    }
    drop(socket);
    let closed = main("websockets_closed_total", "pool=\"main\",reason=\"client\"");
    wait_for("the end is counted", DEADLINE, async || {
        let text = metrics(&gateway).await;
        value(&text, &closed) == Some(1.0) && value(&text, "fleetgate_connections") == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_about_the_metrics() {
    let (_stub, _dead, gateway) = start().await;
    for host in ["acme.test", "globex.test", "dead.test", "nobody.test"] {
        http_get(gateway.address(), host, "/web/login").await;
    }
    drop(ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await);
    wait_for("the websocket has ended", DEADLINE, async || {
        metrics(&gateway).await.contains("fleetgate_websockets_closed_total{")
    })
    .await;
    let text = metrics(&gateway).await;
    let promtool = tokio::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = promtool.expect("promtool is missing: apt-get install prometheus");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
    let output = promtool.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}

/// Metrics of what does not happen in the test below, and of pools whose servers are probed; tests of their own look at
/// them.
const NEVER_HERE: [(&str, &str); 16] = [
    ("fleetgate_admission_shed_total", "counter"),
    ("fleetgate_connections_cut_total", "counter"),
    ("fleetgate_connections_refused_total", "counter"),
    ("fleetgate_gateway_state", "gauge"),
    ("fleetgate_limit_refusals_total", "counter"),
    ("fleetgate_pool_moves_total", "counter"),
    ("fleetgate_pool_overruled_checks_total", "counter"),
    ("fleetgate_pool_route", "gauge"),
    ("fleetgate_region_backends", "gauge"),
    ("fleetgate_region_check_state", "gauge"),
    ("fleetgate_region_database_lag_seconds", "gauge"),
    ("fleetgate_region_database_state", "gauge"),
    ("fleetgate_region_held_total", "counter"),
    ("fleetgate_region_login_state", "gauge"),
    ("fleetgate_region_near_misses_total", "counter"),
    ("fleetgate_region_state", "gauge"),
];

#[tokio::test]
async fn the_metrics_reference_lists_every_metric() {
    let stub = fleet::prefork("eu-1").await;
    let dead = DeadPort::reserve().unwrap();
    let secure = "listeners:\n  - { address: \"127.0.0.1:0\" }\n  - { address: \"127.0.0.3:0\", tls: { certificates: certs } }\n";
    let builder = before(&stub, &[dead.address()], &format!(" }}\n{secure}#"));
    crate::tls::certify(&builder.directory().folder().join("certs"), "acme", &["acme.test"]);
    let gateway = builder.start().await;
    for host in ["acme.test", "globex.test"] {
        http_get(gateway.address(), host, "/web/login").await;
        http_get(gateway.address(), host, "/web/database/manager").await;
    }
    drop(ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await);
    wait_for("the websocket has ended", DEADLINE, async || {
        metrics(&gateway).await.contains("fleetgate_websockets_closed_total{")
    })
    .await;
    let text = metrics(&gateway).await;
    let served: BTreeSet<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    let listed: BTreeSet<(&str, &str)> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap()))
        .collect();
    let unseen = BTreeSet::from(NEVER_HERE);
    assert_eq!(served, listed.difference(&unseen).copied().collect());
}

#[tokio::test]
async fn metrics_can_ask_for_a_token_and_probes_do_not() {
    let stub = fleet::prefork("eu-1").await;
    let dead = DeadPort::reserve().unwrap();
    let builder = before(&stub, &[dead.address()], ", bearer_token: \"file:token\"");
    let gateway = builder.file("token", "0123456789abcdef\n").start().await;
    let observe = gateway.listener(OBSERVE);
    for (authorization, status) in [
        (None, 401),
        (Some("Bearer 0123456789abcde"), 401),
        (Some("0123456789abcdef"), 401),
        (Some("Bearer 0123456789abcdef"), 200),
    ] {
        let request = Request::get("observe", "/metrics");
        let request =
            authorization.into_iter().fold(request, |request, value| request.header("Authorization", value));
        let answer = request.send(observe).await;
        assert_eq!((answer.status, answer.text().contains("fleetgate_")), (status, status == 200));
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(http_get(observe, "observe", path).await.status, 200);
    }
}

#[tokio::test]
async fn scrapes_at_once_agree() {
    let (_stub, _dead, gateway) = start().await;
    for _ in 0..7 {
        http_get(gateway.address(), "acme.test", "/web/login").await;
    }
    ended(&gateway, 7).await;
    let tenant = "fleetgate_tenant_requests_total{tenant=\"acme\"}";
    let scrape = async |_| {
        let mut connection = Connection::http1(gateway.listener(OBSERVE)).await.unwrap();
        for _ in 0..100 {
            let text = connection.ask(&Request::get("observe", "/metrics")).await.unwrap().text();
            assert_eq!(value(&text, tenant), Some(7.0), "{text}");
        }
    };
    futures_util::future::join_all((0..4).map(scrape)).await;
}

#[tokio::test]
async fn errors_say_what_went_wrong_without_the_bytes() {
    let stub = fleet::prefork("eu-1").await;
    for (fault, code) in [
        (Fault::ResetAfterRequest, "backend_reset"),
        (Fault::Garbage, "backend_invalid"),
        (Fault::BlackHole, "backend_timeout"),
    ] {
        let odoo = FaultyBackend::start(fault).await.unwrap();
        let gateway = before(&stub, &[odoo.address()], "").start().await;
        let answer = Request::post("dead.test", "/web/login", "x").send(gateway.address()).await;
        let event = event_of(&gateway, &answer).await;
        assert_eq!(event["rejection"], code, "{event}");
        let error = event["error"].as_str().unwrap();
        assert!(error.len() < 120, "{error}");
        assert!(!raw_exchange(gateway.address(), "GET / HTTP/1.0\r\n\r\n").await.unwrap().is_empty());
    }
}
