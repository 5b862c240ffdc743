//! Which tenant a host leads to, and what tenants that are not served answer.

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Answer, Connection, Gateway, Request, raw_exchange};

use crate::fleet;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

const MANY: &str = r#"
- { id: acme, hosts: [www.acme.test, acme.test, acme.example.com], canonical_host: acme.test }
- { id: globex, hosts: [globex.test, "bücher.test", "[fd00::7]", "192.0.2.7"] }
- { id: "{1}", hosts: ["*.odoo.test"] }
- { id: initech, hosts: [named.odoo.test] }
"#;

async fn many() -> (StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let gateway = fleet::before(&stub, "", MANY).start().await;
    (stub, gateway)
}

/// Asserts the answer of a host over HTTP/1.1 and over HTTP/2.
async fn both(gateway: &Gateway, request: Request, check: impl Fn(&Answer, &str)) {
    check(&request.send(gateway.address()).await, "HTTP/1.1");
    check(&request.http2().send(gateway.address()).await, "HTTP/2");
}

#[tokio::test]
async fn every_spelling_of_a_host_lands_on_its_own_database() {
    let (_stub, gateway) = many().await;
    for (host, database) in [
        ("acme.test", "acme"),
        ("ACME.Test", "acme"),
        ("acme.test.", "acme"),
        ("acme.test:8443", "acme"),
        ("Acme.TEST.:80", "acme"),
        ("globex.test", "globex"),
        ("xn--bcher-kva.test", "globex"),
        ("XN--BCHER-KVA.test:1", "globex"),
        ("[fd00::7]", "globex"),
        ("[FD00:0:0:0:0:0:0:7]:8069", "globex"),
        ("192.0.2.7", "globex"),
        ("192.0.2.7:65535", "globex"),
        ("acme.odoo.test", "acme"),
        ("GLOBEX.odoo.test.:81", "globex"),
        ("named.odoo.test", "initech"),
    ] {
        both(&gateway, Request::get(host, "/stub/echo"), |answer, version| {
            assert_eq!((answer.status, answer.database()), (200, Some(database)), "{host} over {version}");
        })
        .await;
    }
}

#[tokio::test]
async fn an_unknown_host_is_421_and_no_backend_hears_of_it() {
    let (stub, gateway) = many().await;
    for host in [
        "unknown.test",
        "test",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "[fd00::8]",
        "odoo.test",
        "a.b.odoo.test",
        "_acme.odoo.test",
        "-acme.odoo.test",
        "acme.test.example",
        "xacme.test",
        "xn--bcher-kva.testx",
    ] {
        for method in ["GET", "POST"] {
            both(&gateway, Request::new(method, host, "/web/login"), |answer, version| {
                assert_eq!(answer.status, 421, "{method} {host} over {version}");
                assert!(answer.text().contains("[unknown_host "), "{}", answer.text());
            })
            .await;
        }
    }
    assert_eq!(stub.counts().connections, 0);
}

#[tokio::test]
async fn what_is_no_host_is_400_and_no_backend_hears_of_it() {
    let (stub, gateway) = many().await;
    for host in [
        "Host: acme..test",
        "Host: .acme.test",
        "Host: acme.test..",
        "Host: acme.test:",
        "Host: acme.test:0",
        "Host: acme.test:65536",
        "Host: acme.test:80:80",
        "Host: acme.test:8x",
        "Host: user@acme.test",
        "Host: acme.test/",
        "Host: acme.test/globex.test",
        "Host: acme.test\\",
        "Host: acme.test?",
        "Host: acme.test#globex.test",
        "Host: acme%2etest",
        "Host: acme test",
        "Host: acme.test,globex.test",
        "Host: acme.test globex.test",
        "Host: *.odoo.test",
        "Host: fd00::7",
        "Host: [fd00::7",
        "Host: [fd00::7]x",
        "Host: [fd00::7%25eth0]",
        "Host: b\u{fc}cher.test",
        "Host: ",
        "X-Nothing: 1",
        "Host: acme.test\r\nHost: acme.test",
        "Host: acme.test\r\nHost: globex.test",
        "Host: acme.test\r\nhOST: globex.test",
    ] {
        let request = format!("GET /stub/echo HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n");
        let answer = raw_exchange(gateway.address(), request).await.unwrap();
        fleet::assert_status(&answer, 400, host);
    }
    let long = format!("Host: {}.test", "a".repeat(70_000));
    for (host, status) in [(long.as_str(), 431), ("Host: a\0b.test", 400)] {
        let request = format!("GET / HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n");
        let answer = raw_exchange(gateway.address(), request).await.unwrap();
        fleet::assert_status(&answer, status, &host[..12]);
    }
    assert_eq!(stub.counts().connections, 0);
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn an_absolute_target_counts_only_when_it_agrees_with_the_host() {
    let (stub, gateway) = many().await;
    let ask = async |target: &str, host: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        raw_exchange(gateway.address(), request).await.unwrap()
    };
    for (target, host) in [
        ("http://globex.test/stub/echo", "acme.test"),
        ("http://unknown.test/stub/echo", "acme.test"),
        ("http://globex.test:80/stub/echo", "globex.test:81"),
        ("http://acme.test@globex.test/stub/echo", "acme.test"),
        ("http://acme.test@globex.test/stub/echo", "globex.test"),
        ("globex.test:443", "globex.test:443"),
    ] {
        let answer = ask(target, host).await;
        fleet::assert_status(&answer, 400, target);
    }
    assert_eq!(stub.counts().connections, 0);
    let answer = ask("http://www.acme.test/odoo?a=b", "www.acme.test").await;
    fleet::assert_status(&answer, 301, "an absolute target of another host of the tenant");
    let location = "\r\nlocation: http://acme.test/odoo?a=b\r\n";
    assert!(String::from_utf8_lossy(&answer).to_ascii_lowercase().contains(location));
    let answer = ask("http://globex.test/stub/echo?a=http://acme.test/", "globex.test").await;
    fleet::assert_status(&answer, 200, "an absolute target that agrees");
    let received = &stub.received()[0];
    assert_eq!(
        received.target, "/stub/echo?a=http://acme.test/",
        "Werkzeug believes an absolute target's host"
    );
    assert_eq!(
        (received.values("host"), received.database.as_deref()),
        (vec!["globex.test"], Some("globex"))
    );
}

#[tokio::test]
async fn pages_are_redirected_to_the_canonical_host() {
    let (stub, gateway) = many().await;
    for (method, host, target, location) in [
        ("GET", "www.acme.test", "/", "http://acme.test/"),
        ("GET", "www.acme.test", "/odoo/a%20b?x=1&y=%2F%26", "http://acme.test/odoo/a%20b?x=1&y=%2F%26"),
        ("HEAD", "acme.example.com", "/web?debug=1", "http://acme.test/web?debug=1"),
        ("GET", "WWW.acme.test.:8443", "/shop", "http://acme.test:8443/shop"),
        ("GET", "www.acme.test:80", "/shop", "http://acme.test/shop"),
        ("GET", "www.acme.test", "//globex.test/", "http://acme.test/globex.test/"),
    ] {
        both(&gateway, Request::new(method, host, target), |answer, version| {
            let seen = (answer.status, answer.header("location"), answer.body.len());
            assert_eq!(seen, (301, Some(location), 0), "{method} {host}{target} over {version}");
        })
        .await;
    }
    assert_eq!(stub.counts().connections, 0);
}

#[tokio::test]
async fn a_redirect_keeps_the_scheme_that_the_client_used() {
    let stub = fleet::prefork("eu-1").await;
    let config = fleet::config(&[fleetgate_tests::backend(&stub)], "") + "trusted_proxies: [\"127.0.0.1\"]\n";
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", MANY).start().await;
    for (host, location) in [
        ("www.acme.test", "https://acme.test/odoo"),
        ("www.acme.test:443", "https://acme.test/odoo"),
        ("www.acme.test:8443", "https://acme.test:8443/odoo"),
    ] {
        let request = Request::get(host, "/odoo").header("X-Forwarded-Proto", "https");
        let answer = request.send(gateway.address()).await;
        assert_eq!((answer.status, answer.header("location")), (301, Some(location)), "{host}");
    }
}

#[tokio::test]
async fn what_would_not_survive_a_redirect_is_served_on_any_host() {
    let (stub, gateway) = many().await;
    let host = "www.acme.test";
    for request in [
        Request::post(host, "/web/login", "login=a&password=a"),
        Request::post(host, "/web/dataset/call_kw", "{}"),
        Request::version(host),
        Request::get(host, "/json/2/res.partner/read"),
        Request::get(host, "/web/static/src/x.js"),
        Request::get(host, "/websocket/health"),
        Request::get(host, "/payment/stripe/webhook"),
        Request::get("acme.test", "/stub/echo"),
    ] {
        stub.forget_received();
        let answer = request.send(gateway.address()).await;
        assert_ne!(answer.status, 301, "{request:?}");
        assert_eq!(stub.received().len(), 1, "{request:?}");
    }
    let socket = fleetgate_tests::ws_connect(gateway.address(), host, "/websocket", &[]).await;
    assert_eq!(socket.handshake.status, 101);
}

#[tokio::test]
async fn a_suspended_tenant_says_so_and_its_backend_is_left_alone() {
    let stub = fleet::prefork("eu-1").await;
    let tenants = format!("{}- {{ id: late, hosts: [late.test], state: suspended }}\n", fleet::TENANTS);
    let gateway = fleet::before(&stub, "", &tenants).start().await;
    for (method, path) in [("GET", "/odoo"), ("POST", "/jsonrpc"), ("GET", "/websocket")] {
        both(
            &gateway,
            Request::new(method, "late.test", path).header("Accept", BROWSER),
            |answer, version| {
                let seen = (answer.status, answer.header("retry-after"));
                assert_eq!(seen, (503, Some("3600")), "{method} {path} over {version}");
                assert!(answer.text().contains("tenant_suspended"), "{}", answer.text());
                assert!(answer.text().contains("This service is suspended"), "{}", answer.text());
                assert!(!answer.text().contains("late"), "an outsider learns nothing about the tenant");
            },
        )
        .await;
    }
    assert_eq!(stub.counts().connections, 0);
    fleet::still_serves(&gateway).await;
}

const MAINTENANCE: &str = r#"
- id: acme
  hosts: [acme.test]
  state: maintenance
  maintenance:
    retry_after: 90s
    message: "Back at <b>noon</b> & \"not\" before {advice} {status}"
    allow: ["203.0.113.0/24", "2001:db8::/32"]
- { id: globex, hosts: [globex.test] }
"#;

#[tokio::test]
async fn maintenance_is_a_page_with_the_operators_words_as_text() {
    let stub = fleet::prefork("eu-1").await;
    let gateway = fleet::before(&stub, "", MAINTENANCE).start().await;
    both(&gateway, Request::get("acme.test", "/odoo").header("Accept", BROWSER), |answer, version| {
        let seen = (answer.status, answer.header("retry-after"), answer.header("content-type"));
        assert_eq!(seen, (503, Some("90"), Some("text/html; charset=utf-8")), "{version}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let page = answer.text();
        let message = "<p>Back at &lt;b&gt;noon&lt;/b&gt; &amp; &quot;not&quot; before {advice} {status}</p>";
        assert!(page.contains(message), "{page}");
        assert!(page.contains("<meta http-equiv=\"refresh\" content=\"90\">"), "{page}");
        assert!(page.contains("503 tenant_maintenance"), "{page}");
    })
    .await;
    assert_eq!(stub.counts().connections, 0);
    let other = Request::get("globex.test", "/stub/echo").send(gateway.address()).await;
    assert_eq!((other.status, other.database()), (200, Some("globex")));
}

#[tokio::test]
async fn maintenance_lets_the_allowed_through_but_believes_only_trusted_proxies() {
    let stub = fleet::prefork("eu-1").await;
    let config = fleet::config(&[fleetgate_tests::backend(&stub)], "");
    let strict = Gateway::builder(&config).tenants("t.yaml", MAINTENANCE).start().await;
    let config = config + "trusted_proxies: [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n";
    let behind = Gateway::builder(&config).tenants("t.yaml", MAINTENANCE).start().await;
    let status = async |gateway: &Gateway, header: &str, value: &str| {
        let request = Request::get("acme.test", "/stub/echo").header(header, value);
        request.send(gateway.address()).await.status
    };
    for (value, expected) in [
        ("203.0.113.9", 200),
        ("203.0.113.9:4711, 10.1.2.3", 200),
        ("[2001:db8::9]:4711", 200),
        ("::ffff:203.0.113.9", 200),
        ("203.0.113.9, 198.51.100.1", 503),
        ("203.0.113.9, unknown", 503),
        ("198.51.100.1", 503),
        ("", 503),
    ] {
        assert_eq!(status(&behind, "X-Forwarded-For", value).await, expected, "through a proxy: {value}");
        assert_eq!(status(&strict, "X-Forwarded-For", value).await, 503, "from anybody: {value}");
    }
    for header in ["X-Real-IP", "Forwarded", "X-Forwarded-Host", "True-Client-IP"] {
        assert_eq!(status(&behind, header, "203.0.113.9").await, 503, "{header}");
    }
}

#[tokio::test]
async fn an_answer_of_our_own_has_the_form_that_who_asks_can_read() {
    let (_stub, gateway) = many().await;
    for (path, accept, media) in [
        ("/odoo", BROWSER, "text/html; charset=utf-8"),
        ("/web/dataset/call_kw", "*/*", "text/plain; charset=utf-8"),
        ("/jsonrpc", "application/json", "text/plain; charset=utf-8"),
        ("/odoo", "application/problem+json", "application/problem+json"),
        ("/json/2/res.partner/read", "*/*", "application/problem+json"),
    ] {
        both(&gateway, Request::get("unknown.test", path).header("Accept", accept), |answer, version| {
            let seen = (answer.status, answer.header("content-type"));
            assert_eq!(seen, (421, Some(media)), "{path} {accept} over {version}");
            let id = answer.header("x-request-id").unwrap_or_default();
            assert!(!id.is_empty() && answer.text().contains(id), "{}", answer.text());
            if media == "application/problem+json" {
                let problem = answer.json();
                assert_eq!((&problem["status"], &problem["code"]), (&421.into(), &"unknown_host".into()));
            }
        })
        .await;
    }
}

#[tokio::test]
async fn head_is_answered_with_the_head_of_the_answer_alone() {
    let stub = fleet::prefork("eu-1").await;
    let gateway = fleet::before(&stub, "", MAINTENANCE).start().await;
    let address = gateway.address();
    let expected = [("acme.test", "503"), ("unknown.test", "421"), ("globex.test", "200")];
    // All on one connection: a body that slips out would be taken for the next answer.
    let mut raw = fleetgate_tests::RawConnection::open(address).await.unwrap();
    for (host, status) in expected {
        raw.send(format!("HEAD /web/login HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n"))
            .await
            .unwrap();
        let answer = raw.read_until("\r\n\r\n").await.unwrap();
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{host}");
        assert!(answer.ends_with(b"\r\n\r\n"), "{host}");
        raw.forget();
    }
    raw.send("GET /nothing HTTP/1.1\r\nHost: unknown.test\r\nConnection: close\r\n\r\n").await.unwrap();
    fleet::assert_status(raw.read_to_end().await.unwrap(), 421, "after three HEADs");
    for (host, _) in expected {
        let answer = Request::new("HEAD", host, "/web/login").http2().send(address).await;
        assert_eq!(answer.body.len(), 0, "{host}");
    }
}

#[tokio::test]
async fn one_connection_serves_tenants_in_turn_without_mixing_them() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        let mut connection = Connection::http1(gateway.address()).await.unwrap();
        for turn in 0..40 {
            let (host, database) = [("acme.test", "acme"), ("globex.test", "globex")][turn % 2];
            let body = format!("{host} {turn}");
            let request = Request::post(host, &format!("/stub/echo?turn={turn}"), body.clone());
            let answer = connection.ask(&request).await.unwrap();
            assert_eq!((answer.status, answer.database()), (200, Some(database)), "{turn}");
            assert_eq!(answer.json()["body_start"], body);
            let stranger = connection.ask(&Request::get("no.test", "/")).await.unwrap();
            assert_eq!((stranger.status, stranger.database()), (421, None), "{turn}");
        }
        assert!(!connection.is_closed());
    }
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_not_read_as_the_next_one() {
    let (stub, gateway) = many().await;
    let hidden = "GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\n\r\n";
    for framing in [format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len()), chunked(hidden)] {
        let request = format!("POST / HTTP/1.1\r\nHost: unknown.test\r\n{framing}");
        let answer = raw_exchange(gateway.address(), request).await.unwrap();
        fleet::assert_status(&answer, 421, "a request in the body of another");
        assert!(answer.windows(19).any(|line| line == b"\r\nConnection: close"), "the client is told");
    }
    assert_eq!(stub.counts().connections, 0);
}

fn chunked(body: &str) -> String {
    format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

#[tokio::test]
async fn a_large_upload_that_is_refused_still_gets_its_answer() {
    let (stub, gateway) = many().await;
    let body = vec![b'u'; 4 << 20];
    for turn in 0..5 {
        both(
            &gateway,
            Request::post("unknown.test", "/web/binary/upload", body.clone()),
            |answer, version| {
                assert_eq!(answer.status, 421, "{turn} over {version}");
            },
        )
        .await;
    }
    assert_eq!(stub.counts().connections, 0);
}

#[tokio::test]
async fn streams_of_one_http2_connection_never_mix() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        let connection = Connection::http2(gateway.address()).await.unwrap();
        let streams = (0..60).map(|turn| {
            let mut stream = connection.another().unwrap();
            async move {
                let (host, database) = [("acme.test", "acme"), ("globex.test", "globex")][turn % 2];
                let path = format!("/stub/slow?ms={}&turn={turn}", turn % 7);
                let path = if turn % 3 == 0 { path } else { format!("/stub/echo?turn={turn}") };
                let request = Request::new(if turn % 5 == 0 { "POST" } else { "GET" }, host, &path);
                let answer = stream.ask(&request).await.unwrap();
                assert_eq!((answer.status, answer.database()), (200, Some(database)), "{turn}");
                if turn % 3 != 0 {
                    assert_eq!(answer.json()["target"], path, "{turn}");
                }
            }
        });
        futures_util::future::join_all(streams).await;
        assert_eq!(stub.counts().requests, 60);
    }
}
