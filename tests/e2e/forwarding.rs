//! What Odoo is told about a request, and what is left as it is.

use fleetgate_stub::{Received, StubOdoo};
use fleetgate_tests::{Gateway, Request, backend, raw_exchange};

use crate::fleet;

/// A gateway that trusts the address of the tests as a proxy.
async fn behind_proxy() -> (StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let config = fleet::config(&[backend(&stub)], "") + "trusted_proxies: [\"127.0.0.1\", \"10.0.0.0/8\"]\n";
    let gateway = Gateway::builder(&config).tenants("t.yaml", fleet::TENANTS).start().await;
    (stub, gateway)
}

fn assert_told(received: &Received, host: &str, scheme: &str, client: &str, what: &str) {
    for (name, value) in [
        ("host", host),
        ("x-forwarded-host", host),
        ("x-forwarded-proto", scheme),
        ("x-forwarded-for", client),
        ("x-real-ip", client),
    ] {
        assert_eq!(received.values(name), [value], "{name} of {what}");
    }
    let others = received.headers.iter().map(|(name, _)| name.to_ascii_lowercase().replace(['_', '.'], "-"));
    let others: Vec<_> = others.filter(|name| name.contains("forwarded") || name.contains("accel")).collect();
    assert_eq!(others.len(), 3, "nothing else of the kind in {what}: {others:?}");
}

/// What a client or a sloppy proxy in front might say about itself.
const CLAIMS: &str = "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 198.51.100.2, 198.51.100.3\r\n\
    X-Forwarded-Proto: gopher\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\
    X-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 666\r\nX-Forwarded-Prefix: /evil\r\n\
    X-Forwarded-Server: evil\r\nX-Forwarded-Ssl: on\r\nX_Forwarded_For: 198.51.100.4\r\n\
    X-Forwarded_Proto: wss\r\nx.forwarded.host: evil.test\r\nX-Real-IP: 198.51.100.5\r\n\
    X_Real_IP: 198.51.100.6\r\nForwarded: for=198.51.100.7;host=evil.test;proto=https\r\n\
    X-Accel-Redirect: /x\r\nX-Sendfile: /etc/passwd\r\nProxy: http://evil.test";

#[tokio::test]
async fn odoo_is_told_each_thing_once_whatever_a_stranger_claims() {
    let (stub, gateway) = fleet::start().await;
    let answer = fleet::raw_get(&gateway, "acme.test", "/stub/echo", CLAIMS).await;
    fleet::assert_status(&answer, 200, "claims of a stranger");
    let received = fleet::only_request(&stub);
    assert_told(&received, "acme.test", "http", "127.0.0.1", "a stranger's request");
    for name in ["forwarded", "proxy", "x-sendfile", "x_real_ip"] {
        assert!(received.values(name).is_empty(), "{name}");
    }
    assert_eq!(fleet::raw_handshake(&gateway, "acme.test", CLAIMS).await, Some(101));
    assert_told(&fleet::only_request(&stub), "acme.test", "http", "127.0.0.1", "a stranger's websocket");
    let mut request = Request::get("acme.test", "/stub/echo").http2();
    for (name, value) in CLAIMS.split("\r\n").filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    request.send(gateway.address()).await;
    assert_told(&fleet::only_request(&stub), "acme.test", "http", "127.0.0.1", "a stranger over HTTP/2");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_the_client_and_the_scheme_alone() {
    let (stub, gateway) = behind_proxy().await;
    let answer = fleet::raw_get(&gateway, "acme.test", "/stub/echo", CLAIMS).await;
    fleet::assert_status(&answer, 200, "claims of a proxy");
    assert_told(&fleet::only_request(&stub), "acme.test", "https", "198.51.100.3", "a proxy's request");
    assert_eq!(fleet::raw_handshake(&gateway, "acme.test", CLAIMS).await, Some(101));
    assert_told(&fleet::only_request(&stub), "acme.test", "https", "198.51.100.3", "a proxy's websocket");
    for (forwarded_for, client) in [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 10.1.2.3, 127.0.0.1", "203.0.113.9"),
        ("[2001:DB8:0::9]:4711", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("10.9.9.9", "10.9.9.9"),
        ("203.0.113.9, unknown, 10.1.2.3", "10.1.2.3"),
        ("203.0.113.9, <script>", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        Request::get("acme.test", "/stub/echo")
            .header("X-Forwarded-For", forwarded_for)
            .send(gateway.address())
            .await;
        assert_told(&fleet::only_request(&stub), "acme.test", "http", client, forwarded_for);
    }
    for (proto, scheme) in [
        ("https", "https"),
        ("HTTPS", "https"),
        ("wss", "https"),
        ("ws", "http"),
        ("http", "http"),
        ("https, http", "http"),
        ("gopher", "http"),
    ] {
        Request::get("acme.test", "/stub/echo")
            .header("X-Forwarded-Proto", proto)
            .send(gateway.address())
            .await;
        assert_told(&fleet::only_request(&stub), "acme.test", scheme, "127.0.0.1", proto);
    }
}

#[tokio::test]
async fn the_host_is_kept_in_its_one_form_with_any_port_that_says_something() {
    let (stub, gateway) = behind_proxy().await;
    for (written, proto, told) in [
        ("acme.test", "http", "acme.test"),
        ("shop.acme.test", "http", "shop.acme.test"),
        ("ACME.Test.", "http", "acme.test"),
        ("acme.test:8443", "http", "acme.test:8443"),
        ("Acme.test.:8443", "https", "acme.test:8443"),
        ("acme.test:80", "http", "acme.test"),
        ("acme.test:443", "https", "acme.test"),
        ("acme.test:443", "http", "acme.test:443"),
        ("acme.test:80", "https", "acme.test:80"),
    ] {
        let request = Request::get(written, "/stub/echo").header("X-Forwarded-Proto", proto);
        for request in [request.clone(), request.http2()] {
            request.send(gateway.address()).await;
            assert_told(&fleet::only_request(&stub), told, proto, "127.0.0.1", written);
        }
    }
}

#[tokio::test]
async fn a_target_arrives_in_its_one_spelling() {
    let (stub, gateway) = fleet::start().await;
    for (target, arrives) in [
        ("/", "/"),
        ("/?", "/?"),
        ("/odoo?a=1&b=%2F%26&c", "/odoo?a=1&b=%2F%26&c"),
        ("//double//slash/", "/double/slash/"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%63%61f%C3%A9?%63", "/caf%C3%A9?%63"),
        ("/a;b=c,d@e:f!$&'()*+~", "/a;b=c,d@e:f!$&'()*+~"),
        ("/a|b[c]", "/a%7Cb%5Bc%5D"),
        ("/stub/echo?url=http://globex.test/&q=`^{}|\\", "/stub/echo?url=http://globex.test/&q=`^{}|\\"),
        ("/web/static/%E2%82%AC.js?%E2%82%AC", "/web/static/%E2%82%AC.js?%E2%82%AC"),
    ] {
        let answer = fleet::raw_get(&gateway, "acme.test", target, "A: b").await;
        assert!(fleet::status(&answer).is_some_and(|status| status < 500), "{target}");
        assert_eq!(fleet::only_request(&stub).target, arrives);
    }
    let long = format!("/web/webclient/translations?mods={}", "sale,".repeat(3_000));
    Request::get("acme.test", &long).send(gateway.address()).await;
    assert_eq!(fleet::only_request(&stub).target, long, "Odoo's own URLs exceed 8 KiB");
}

#[tokio::test]
async fn methods_and_other_headers_arrive_as_sent() {
    let (stub, gateway) = fleet::start().await;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = Request::new(method, "acme.test", "/stub/echo").send(gateway.address()).await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(fleet::only_request(&stub).method, method);
    }
    for method in ["TRACE", "PROPFIND", "get"] {
        let asked = Request::new(method, "acme.test", "/stub/echo");
        for answer in
            [asked.clone().send(gateway.address()).await, asked.http2().send(gateway.address()).await]
        {
            let allow = answer.header("allow").map(str::to_owned);
            let expected = Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_owned());
            assert_eq!((answer.status, allow), (405, expected), "{method}");
        }
    }
    assert!(stub.received().is_empty());
    let lines = "Accept: a/b\r\nAccept: c/d\r\nAuthorization: Bearer k\r\nOrigin: https://x.test\r\n\
                 X-Custom: \u{e9}t\u{e9}\r\nUser-Agent: \r\nTracestate: a=b\r\nRange: bytes=0-1\r\n\
                 If-None-Match: \"x\"\r\nAccept-Encoding: gzip, br\r\nX-Forwarded: kept";
    fleet::raw_get(&gateway, "acme.test", "/stub/echo", lines).await;
    let received = fleet::only_request(&stub);
    for (name, values) in [
        ("accept", &["a/b", "c/d"][..]),
        ("authorization", &["Bearer k"]),
        ("origin", &["https://x.test"]),
        ("x-custom", &["\u{e9}t\u{e9}"]),
        ("user-agent", &[""]),
        ("range", &["bytes=0-1"]),
        ("if-none-match", &["\"x\""]),
        ("accept-encoding", &["gzip, br"]),
        ("x-forwarded", &["kept"]),
    ] {
        assert_eq!(received.values(name), values, "{name}");
    }
}

#[tokio::test]
async fn headers_of_one_hop_stay_on_their_hop() {
    let (stub, gateway) = fleet::start().await;
    let lines = "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X-T\r\n\
                 Proxy-Authorization: Basic eDp5\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\
                 X-Hop: 1\r\nConnection: X-Hop, Upgrade, HTTP2-Settings";
    let answer = fleet::raw_get(&gateway, "acme.test", "/stub/echo", lines).await;
    fleet::assert_status(&answer, 200, "hop-by-hop headers");
    let received = fleet::only_request(&stub);
    for name in [
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "proxy-authorization",
        "upgrade",
        "http2-settings",
        "x-hop",
    ] {
        assert!(received.values(name).is_empty(), "{name}: {:?}", received.headers);
    }
    assert!(received.values("connection").iter().all(|value| value.eq_ignore_ascii_case("close")));
    for (name, value) in [("Keep-Alive", "timeout%3D5"), ("Proxy-Connection", "close"), ("Upgrade", "h2c")] {
        let path = format!("/stub/status?code=200&header={name}%3A{value}");
        for request in [Request::get("acme.test", &path), Request::get("acme.test", &path).http2()] {
            let answer = request.send(gateway.address()).await;
            assert_eq!((answer.status, answer.header(name)), (200, None), "{name} in {:?}", answer.version);
        }
    }
}

#[tokio::test]
async fn every_request_has_one_id_at_odoo_and_in_its_answer() {
    let (stub, gateway) = fleet::start().await;
    let mut seen = Vec::new();
    let path = "/stub/status?header=X-Request-Id%3Aof-the-backend";
    for request in [
        Request::get("acme.test", "/stub/echo"),
        Request::get("acme.test", "/stub/echo").header("X-Request-Id", "mine"),
        Request::get("acme.test", path).header("X-Request-Id", "mine").header("X-Request-Id", "again"),
        Request::get("acme.test", path).http2(),
    ] {
        let answer = request.send(gateway.address()).await;
        let id = answer.values("x-request-id").join(",");
        assert_eq!(fleet::only_request(&stub).values("x-request-id").join(","), id);
        assert!(id.len() == 36 && !seen.contains(&id), "{id}");
        let event = gateway
            .access_log()
            .event("the request", fleetgate_tests::DEADLINE, |event| event["request_id"] == id.as_str())
            .await;
        assert_eq!(event["status"], 200);
        seen.push(id);
    }
}

#[tokio::test]
async fn a_trusted_proxy_may_name_the_request() {
    let (stub, gateway) = behind_proxy().await;
    let id = async |name: &str| {
        let answer = Request::get("acme.test", "/stub/echo")
            .header("X-Request-Id", name)
            .send(gateway.address())
            .await;
        let id = answer.values("x-request-id").join(",");
        assert_eq!(fleet::only_request(&stub).values("x-request-id").join(","), id);
        id
    };
    assert_eq!(id("Edge-1_a.b").await, "Edge-1_a.b");
    for odd in ["", "a b", "a\"b", "<b>", "a,b", &"x".repeat(65)] {
        assert_ne!(id(odd).await, odd);
    }
}

#[tokio::test]
async fn a_trace_context_is_passed_on_if_it_is_one() {
    let (stub, gateway) = fleet::start().await;
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let sent = async |lines: &str| {
        let lines = format!("{lines}\r\nTracestate: vendor=1\r\nBaggage: a=b");
        let answer = fleet::raw_get(&gateway, "acme.test", "/stub/echo", &lines).await;
        fleet::assert_status(&answer, 200, &lines);
        let received = fleet::only_request(&stub);
        assert_eq!(received.values("baggage"), ["a=b"]);
        (received.values("traceparent").join(","), received.values("tracestate").join(","))
    };
    let passed = |traceparent: &str| (traceparent.to_owned(), "vendor=1".to_owned());
    assert_eq!(sent(&format!("traceparent: {good}")).await, passed(good));
    let future = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like";
    assert_eq!(sent(&format!("TraceParent: {future}")).await, passed(future));
    for broken in [
        "",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "garbage",
    ] {
        assert_eq!(sent(&format!("traceparent: {broken}")).await, Default::default(), "{broken}");
    }
    let twice = format!("traceparent: {good}\r\ntraceparent: {good}");
    assert_eq!(sent(&twice).await, Default::default(), "two traceparents are none (W3C Trace Context, 3.2)");
}

#[tokio::test]
async fn an_answer_of_odoo_is_passed_on_as_it_is() {
    let (_stub, gateway) = fleet::start().await;
    for (name, value) in [
        ("Location", "http://other.test:8069/web?x=1#y"),
        ("Location", "/relative"),
        ("Content-Disposition", "attachment; filename*=UTF-8''%C3%A9.pdf"),
        ("WWW-Authenticate", "bearer"),
        ("Content-Security-Policy", "default-src 'none'"),
        ("X-Frame-Options", "DENY"),
        ("Vary", "Cookie"),
        ("Link", "</a>; rel=preload"),
    ] {
        let query: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for code in [200, 302, 404, 418, 500, 503] {
            let path = format!("/stub/status?code={code}&header={name}%3A{query}");
            for request in [Request::get("acme.test", &path), Request::get("acme.test", &path).http2()] {
                let answer = request.send(gateway.address()).await;
                assert_eq!((answer.status, answer.values(name)), (code, vec![value]), "{:?}", answer.version);
                assert_eq!(answer.text(), format!("status {code}\n"));
                assert_eq!(answer.header("server"), None);
            }
        }
    }
    for code in [204, 304] {
        let answer =
            Request::get("acme.test", &format!("/stub/status?code={code}")).send(gateway.address()).await;
        assert_eq!((answer.status, answer.body.len()), (code, 0));
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_is_answered_and_let_go() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        let request = "GET /stub/echo HTTP/1.0\r\nHost: acme.test\r\n\r\n";
        let answer = raw_exchange(gateway.address(), request).await.unwrap();
        fleet::assert_status(&answer, 200, request);
        let text = String::from_utf8(answer).unwrap();
        assert!(text.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{text}");
        // A body without a length cannot be sent in chunks to HTTP/1.0.
        let request = "GET /stub/drip?parts=2&every_ms=1 HTTP/1.0\r\nHost: acme.test\r\n\r\n";
        let answer = raw_exchange(gateway.address(), request).await.unwrap();
        let text = String::from_utf8(answer).unwrap();
        assert!(text.ends_with("\r\n\r\npart 1\npart 2\n"), "{text}");
        assert!(!text.to_ascii_lowercase().contains("transfer-encoding"), "{text}");
        let nobody = raw_exchange(gateway.address(), "GET / HTTP/1.0\r\n\r\n").await.unwrap();
        fleet::assert_status(&nobody, 400, "HTTP/1.0 without a host");
    }
}
