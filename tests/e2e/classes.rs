//! Which of the two ports of Odoo a path goes to.

use fleetgate_stub::{Port, StubOdoo};
use fleetgate_tests::{Connection, Gateway, Request, backend, ws_connect};

use crate::fleet;

const VERSIONS: [&str; 6] = ["14.0", "15.0", "16.0", "17.0", "18.0", "19.0"];

/// One server in a pool of each version; `v14.test` is a tenant of Odoo 14.0.
async fn versions() -> (StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let mut config = "regions: [ { name: eu } ]\npools:\n".to_owned();
    let mut tenants = String::new();
    for version in VERSIONS {
        let (major, backend) = (&version[..2], backend(&stub));
        config += &format!(
            "  v{major}:\n    odoo_version: \"{version}\"\n    database_selection: dbfilter_header\n    health: {{ enabled: false }}\n    \
             regions: {{ eu: {{ backends: [ {backend} ] }} }}\n"
        );
        tenants += &format!("- {{ id: v{major}, hosts: [v{major}.test], database: acme, pool: v{major} }}\n");
    }
    let gateway = Gateway::builder(&config).tenants("t.yaml", &tenants).start().await;
    (stub, gateway)
}

/// Ways to write a path of the bus; `{}` stands for `websocket` or `longpolling`.
fn spellings(bus: &str) -> Vec<String> {
    let encoded = format!("%{:02x}{}", bus.as_bytes()[0], &bus[1..]);
    let upper = format!("%{:02X}{}", bus.as_bytes()[0], &bus[1..]);
    vec![
        format!("/{bus}/health"),
        format!("/{bus}/"),
        format!("/{bus}/health?a=/web/login"),
        format!("//{bus}/health"),
        format!("///{bus}//health"),
        format!("/{encoded}/health"),
        format!("/{upper}/health"),
        format!("/fr/{bus}/health"),
        format!("/fr_BE/{bus}/health"),
        format!("/%66r/{encoded}/health"),
        format!("//fr//{bus}/health"),
        format!("/sr@latin/{bus}/health"),
        format!("/{bus}/no_such_route"),
    ]
}

#[tokio::test]
async fn each_version_has_its_bus_on_the_gevent_port_and_all_else_on_the_other() {
    let (stub, gateway) = versions().await;
    let elsewhere = [
        "/",
        "/odoo",
        "/web/login",
        "/web/websocket",
        "/web/longpolling/poll",
        "/bus/websocket_worker_bundle?v=1",
        "/WebSocket",
        "/LONGPOLLING/poll",
        "/%2577ebsocket",
        "/x/websocket",
        "/french/websocket",
        "/?/websocket",
        "/web/static/websocket.js",
        "/json/2/res.partner/read",
    ];
    for version in VERSIONS {
        let host = format!("v{}.test", &version[..2]);
        let (bus, other) = match version {
            "14.0" | "15.0" => ("longpolling", "websocket"),
            _ => ("websocket", "longpolling"),
        };
        let mut connection = Connection::http1(gateway.address()).await.unwrap();
        let mut http2 = Connection::http2(gateway.address()).await.unwrap();
        let cases = spellings(bus).into_iter().map(|path| (path, Port::Gevent));
        let cases = cases.chain(spellings(other).into_iter().map(|path| (path, Port::Http)));
        for (path, port) in cases.chain(elsewhere.iter().map(|path| ((*path).to_owned(), Port::Http))) {
            for method in ["GET", "POST"] {
                let request = Request::new(method, &host, &path);
                for connection in [&mut connection, &mut http2] {
                    let answer = connection.ask(&request).await.unwrap();
                    let seen = (fleet::only_request(&stub).port, answer.header("x-stub-port"));
                    assert_eq!(seen, (port, Some(port.name())), "{method} {path} of Odoo {version}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_absolute_target_does_not_hide_the_bus() {
    let (stub, gateway) = versions().await;
    for (host, target, port) in [
        ("v19.test", "http://v19.test/websocket/health", Port::Gevent),
        ("v19.test", "http://v19.test/fr/%77ebsocket/health", Port::Gevent),
        ("v15.test", "http://v15.test/longpolling/poll?hold_ms=0", Port::Gevent),
        ("v15.test", "http://v15.test/websocket/health", Port::Http),
        ("v19.test", "http://v19.test", Port::Http),
    ] {
        fleet::raw_get(&gateway, host, target, "A: b").await;
        assert_eq!(fleet::only_request(&stub).port, port, "{target}");
    }
}

#[tokio::test]
async fn a_websocket_is_opened_on_the_gevent_port_of_versions_that_have_it() {
    let (stub, gateway) = versions().await;
    for version in VERSIONS {
        let host = format!("v{}.test", &version[..2]);
        for path in ["/websocket", "/websocket?version=19.0-2", "/fr/websocket", "/%77ebsocket/"] {
            let old = matches!(version, "14.0" | "15.0");
            let opened =
                fleetgate_tests::Websocket::try_open(gateway.address(), &host, path, &[]).await.unwrap();
            assert_eq!(opened.is_err(), old, "{path} of Odoo {version}");
            let port = if old { Port::Http } else { Port::Gevent };
            assert_eq!(fleet::only_request(&stub).port, port, "{path} of Odoo {version}");
        }
    }
}

#[tokio::test]
async fn a_handshake_elsewhere_is_a_plain_request() {
    let (stub, gateway) = fleet::start().await;
    for path in ["/web/websocket", "/stub/echo", "/"] {
        let opened =
            fleetgate_tests::Websocket::try_open(gateway.address(), "acme.test", path, &[]).await.unwrap();
        assert!(opened.is_err(), "{path}");
        let received = fleet::only_request(&stub);
        assert_eq!((received.port, received.values("upgrade")), (Port::Http, vec![]), "{path}");
    }
    assert_eq!(stub.counts().websockets, 0);
}

#[tokio::test]
async fn polls_and_pages_have_clocks_of_their_own() {
    let stub = fleet::prefork("eu-1").await;
    let pool = "odoo_version: \"15.0\"\nhttp: { read_timeout: 1s }\nlongpolling: { read_timeout: 60s }";
    let gateway = fleet::before(&stub, pool, fleet::TENANTS).start().await;
    let poll = Request::call("acme.test", "/longpolling/poll?hold_ms=1600", &serde_json::json!({}));
    let page = Request::get("acme.test", "/stub/slow?ms=1600");
    let (poll, page) = tokio::join!(poll.send(gateway.address()), page.send(gateway.address()));
    assert_eq!((poll.status, poll.json()["result"]["port"].as_str()), (200, Some("gevent")));
    assert_eq!((page.status, page.text().contains("[backend_timeout ")), (504, true), "{}", page.text());
}

#[tokio::test]
async fn without_workers_one_port_serves_both() {
    let stub = fleet::threaded("eu-1").await;
    let backend = fleet::one_port(stub.http_addr());
    let gateway =
        Gateway::builder(&fleet::config(&[backend], "")).tenants("t.yaml", fleet::TENANTS).start().await;
    let page = Request::get("acme.test", "/web/login").send(gateway.address()).await;
    assert_eq!((page.status, page.header("x-stub-port")), (200, Some("http")));
    let mut socket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
    assert_eq!(socket.json().await["port"], "http");
}
