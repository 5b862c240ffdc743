//! HTTP/2 frames that no honest client sends: what they carry must not become lines of HTTP/1 on the way to Odoo.

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{DEADLINE, Frames, FramesOutcome as Outcome, Gateway, wait_for};

use crate::fleet;

/// Sends one request as frames, and says what became of it.
async fn outcome(gateway: &Gateway, fields: &[(&str, &str)], data: &[(&str, bool)]) -> Outcome {
    Frames::request(fields, data).outcome(gateway.address()).await
}

/// Sends a part of one request as frames, takes it back, and says what became of it.
async fn cut_off(gateway: &Gateway, fields: &[(&str, &str)], data: &str) -> Outcome {
    Frames::cut_off(fields, data).outcome(gateway.address()).await
}

/// The fields of an honest GET, some replaced by others of the same name (or taken out), others put behind.
fn get<'a>(replaced: &[(&'a str, Option<&'a str>)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let honest =
        [(":method", "GET"), (":scheme", "http"), (":authority", "acme.test"), (":path", "/stub/echo")];
    let kept = honest.into_iter().filter_map(|(name, value)| {
        match replaced.iter().find(|(replaced, _)| *replaced == name) {
            Some((_, other)) => other.map(|other| (name, other)),
            None => Some((name, value)),
        }
    });
    kept.chain(more.iter().copied()).collect()
}

/// Asserts that a request is not served, and that no backend hears of it.
pub(crate) async fn assert_refused(stub: &StubOdoo, gateway: &Gateway, fields: &[(&str, &str)]) {
    let before = stub.counts().requests;
    let outcome = outcome(gateway, fields, &[]).await;
    let shown = format!("{fields:.120?}");
    assert_ne!(outcome, Outcome::Answered { ok: true }, "{shown}");
    assert_eq!(stub.counts().requests, before, "{shown} reached Odoo: {:#?}", stub.received());
}

#[tokio::test]
async fn honest_frames_are_served() {
    let (stub, gateway) = fleet::start().await;
    let ok = Outcome::Answered { ok: true };
    assert_eq!(outcome(&gateway, &get(&[], &[("te", "trailers")]), &[]).await, ok);
    assert_eq!(fleet::only_request(&stub).values("te").len(), 0);
    assert_eq!(outcome(&gateway, &get(&[], &[("host", "acme.test")]), &[]).await, ok);
    assert_eq!(fleet::only_request(&stub).values("host"), ["acme.test"]);
    let post = get(&[(":method", Some("POST"))], &[("content-length", "10")]);
    assert_eq!(outcome(&gateway, &post, &[("hello", false), ("world", true)]).await, ok);
    assert_eq!(fleet::only_request(&stub).body_bytes, 10);
}

#[tokio::test]
async fn line_breaks_in_fields_do_not_become_lines() {
    let (stub, gateway) = fleet::start().await;
    for value in [
        "a\r\nX-Odoo-dbfilter: forged",
        "a\nX-Odoo-dbfilter: forged",
        "a\rX-Odoo-dbfilter: forged",
        "a\r\n\r\nGET /hidden HTTP/1.1\r\nHost: globex.test\r\n\r\n",
        "a\0b",
    ] {
        for name in ["x", "cookie", "user-agent", "content-type"] {
            assert_refused(&stub, &gateway, &get(&[], &[(name, value)])).await;
        }
        for pseudo in [":method", ":path", ":authority", ":scheme"] {
            assert_refused(&stub, &gateway, &get(&[(pseudo, Some(value))], &[])).await;
        }
        let path = format!("/{value}");
        assert_refused(&stub, &gateway, &get(&[(":path", Some(&path))], &[])).await;
        let authority = format!("acme.test{value}");
        assert_refused(&stub, &gateway, &get(&[(":authority", Some(&authority))], &[])).await;
    }
    for name in [
        "x\r\nx-odoo-dbfilter",
        "x: y\r\nx-odoo-dbfilter",
        "x y",
        "x:",
        "x\0",
        "X-Upper",
        "",
        " x",
        "x\u{e9}",
    ] {
        assert_refused(&stub, &gateway, &get(&[], &[(name, "forged")])).await;
    }
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn heads_that_are_no_request_are_refused() {
    let (stub, gateway) = fleet::start().await;
    for missing in [":method", ":path", ":scheme", ":authority"] {
        assert_refused(&stub, &gateway, &get(&[(missing, None)], &[])).await;
    }
    for (pseudo, value) in [
        (":method", ""),
        (":method", "G T"),
        (":method", "GET / HTTP/1.1"),
        (":method", "CONNECT"),
        (":path", ""),
        (":path", "*"),
        (":path", "odoo"),
        (":path", "?a"),
        (":path", "/a b"),
        (":path", "http://globex.test/"),
        (":path", "/ HTTP/1.1"),
        (":authority", ""),
        (":authority", "acme.test:"),
        (":authority", "acme.test:0"),
        (":authority", "user@acme.test"),
        (":authority", "acme.test,globex.test"),
        (":authority", "acme.test/globex.test"),
        (":authority", "acme.test globex.test"),
        (":authority", "http://acme.test"),
    ] {
        assert_refused(&stub, &gateway, &get(&[(pseudo, Some(value))], &[])).await;
    }
    let long = "x".repeat(9_000);
    let many: Vec<_> = (0..8).map(|_| ("x", long.as_str())).collect();
    for more in [
        &[(":path", "/second")][..],
        &[(":authority", "globex.test")],
        &[("x", "y"), (":path", "/late")],
        &[(":unknown", "x")],
        &[(":status", "200")],
        &[(":protocol", "websocket")],
        &[("host", "globex.test")],
        &[("host", "acme.test"), ("host", "globex.test")],
        &[("connection", "close")],
        &[("connection", "x-odoo-dbfilter")],
        &[("keep-alive", "timeout=5")],
        &[("proxy-connection", "close")],
        &[("transfer-encoding", "chunked")],
        &[("upgrade", "websocket")],
        &[("te", "chunked")],
        &[("content-length", "5")],
        &[("content-length", "-1")],
        &[("content-length", "5, 5")],
        &[("content-length", "0"), ("content-length", "0")],
        &[("content-length", "99999999999999999999999")],
        &many,
    ] {
        assert_refused(&stub, &gateway, &get(&[], more)).await;
    }
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_says_is_never_a_whole_request() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        let hidden = "GET /hidden HTTP/1.1\r\nHost: globex.test\r\n\r\n";
        for (length, data) in [
            ("5", vec![("hel", true)]),
            ("5", vec![("hello world", true)]),
            ("5", vec![("hello", false), (hidden, true)]),
            ("0", vec![(hidden, true)]),
            ("5", vec![("", true)]),
        ] {
            for method in ["POST", "GET"] {
                let path = format!("/stub/echo?{length}");
                let fields =
                    get(&[(":method", Some(method)), (":path", Some(&path))], &[("content-length", length)]);
                let outcome = outcome(&gateway, &fields, &data).await;
                assert_ne!(outcome, Outcome::Answered { ok: true }, "{method} {length}: {data:?}");
            }
        }
        // A client that gives up in the middle of its upload.
        for (more, data) in [(&[("content-length", "10")][..], "hel"), (&[], "hel"), (&[], "")] {
            let outcome = cut_off(&gateway, &get(&[(":method", Some("POST"))], more), data).await;
            assert_ne!(outcome, Outcome::Answered { ok: true }, "{more:?}");
        }
        wait_for("the backend is left", DEADLINE, async || stub.counts().connections_open == 0).await;
        for received in stub.received() {
            // A length of 0 is a whole request, and what follows it belongs to nobody.
            let whole = received.complete && received.target != "/stub/echo?0";
            assert!(!whole && received.target != "/hidden", "{received:#?}");
        }
        assert_eq!(stub.counts().malformed, 0);
        fleet::still_serves(&gateway).await;
    }
}
