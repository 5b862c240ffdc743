//! Requests that no honest client sends. Each ends with a 4xx or a closed connection, and the next one is served.

use std::io;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{DEADLINE, Gateway, RawConnection, wait_for};

use crate::fleet;

/// Sends bytes, says that no more follow, and returns everything that comes back; a reset is an empty answer.
async fn answer_to(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let sent = shown(bytes.as_ref());
    let exchange = async {
        let mut raw = RawConnection::open(gateway.address()).await?;
        raw.send(bytes).await?;
        raw.finish_sending().await?;
        raw.read_to_end().await.map(<[u8]>::to_vec)
    };
    match exchange.await {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            panic!("neither an answer nor an end of {sent}: {error}")
        }
        answer => answer.unwrap_or_default(),
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(120)].escape_ascii().to_string()
}

/// Asserts that bytes are answered with 4xx or not at all, and that no backend hears of them.
async fn assert_refused(stub: &StubOdoo, gateway: &Gateway, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    let answer = answer_to(gateway, bytes).await;
    let refused = answer.is_empty() || matches!(fleet::status(&answer), Some(400..=499));
    assert!(refused, "{} was answered: {}", shown(bytes), String::from_utf8_lossy(&answer));
    assert_eq!(stub.counts().requests, 0, "{} reached Odoo: {:#?}", shown(bytes), stub.received());
}

/// A request with a head of further lines and whatever follows it.
fn request(line: &str, rest: &str) -> Vec<u8> {
    format!("{line}\r\nHost: acme.test\r\n{rest}").into_bytes()
}

#[tokio::test]
async fn request_lines_from_hell_are_refused() {
    let (stub, gateway) = fleet::start().await;
    for line in [
        "GET",
        "GET /",
        "GET / ",
        "GET / HTTP",
        "GET / HTTP/",
        "GET / HTTP/1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/3",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/1.1 x",
        "GET  HTTP/1.1",
        "GET HTTP/1.1",
        " / HTTP/1.1",
        "/ HTTP/1.1",
        "G\0T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET odoo HTTP/1.1",
        "GET ?a=b HTTP/1.1",
        "GET acme.test:80 HTTP/1.1",
        "GET \\odoo HTTP/1.1",
        "GET ftp://acme.test/odoo HTTP/1.1",
        "GET http:/acme.test/odoo HTTP/1.1",
        "GET http://acme.test\\@globex.test/ HTTP/1.1",
        "CONNECT acme.test:80 HTTP/1.1",
        "CONNECT /odoo HTTP/1.1",
        "PRI * HTTP/2.0",
        "<policy-file-request/>",
    ] {
        assert_refused(&stub, &gateway, request(line, "\r\n")).await;
    }
    let long = "a".repeat(2 << 20);
    for line in [format!("GET /{long} HTTP/1.1"), format!("{long} / HTTP/1.1")] {
        assert_refused(&stub, &gateway, request(&line, "\r\n")).await;
    }
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn bytes_of_other_protocols_are_refused() {
    let (stub, gateway) = fleet::start().await;
    for bytes in [
        &b""[..],
        b"\0",
        b"\r\n\r\n\r\n\r\n",
        b"\n",
        b"\xff\xfe\xfd\xfc\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x01\x02\x03\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"EHLO acme.test\r\n\r\n",
        b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\nGET / HTTP/1.1\r\nHost: acme.test\r\n\r\n",
        b"\r\n\r\n\0\r\n\r\nSSH\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: acme.test",
        b"GET / HTTP/1.1\r\nHost: acme.test\r\n",
        b"GET / HTTP/1.1\r\nHost: acme.test\r\n\r",
        b"GET / HTTP/1.1",
        b"G",
        b"PRI",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\nHost: acme.test\r\n\r\n",
    ] {
        let answer = answer_to(&gateway, bytes).await;
        // HTTP/2 says its goodbyes in frames.
        let refused = fleet::status(&answer).is_none_or(|status| (400..500).contains(&status));
        assert!(refused, "{} was answered: {}", shown(bytes), String::from_utf8_lossy(&answer));
        assert_eq!(stub.counts().requests, 0, "{} reached Odoo", shown(bytes));
    }
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn heads_from_hell_are_refused() {
    let (stub, gateway) = fleet::start().await;
    let fields = |count: usize| (0..count).map(|at| format!("X-{at}: y\r\n")).collect::<String>();
    for rest in [
        "No colon\r\n\r\n".to_owned(),
        ": no name\r\n\r\n".to_owned(),
        "Space : before colon\r\n\r\n".to_owned(),
        "Sp ace: in name\r\n\r\n".to_owned(),
        "Nu\0l: in name\r\n\r\n".to_owned(),
        "Nul: in\0value\r\n\r\n".to_owned(),
        "Bell: \x07\r\n\r\n".to_owned(),
        "Return: a\rb\r\n\r\n".to_owned(),
        "Fold: a\r\n b\r\n\r\n".to_owned(),
        "Fold: a\r\n\tb\r\n\r\n".to_owned(),
        " Fold: first\r\n\r\n".to_owned(),
        "N\u{e9}: x\r\n\r\n".to_owned(),
        format!("Long: {}\r\n\r\n", "x".repeat(2 << 20)),
        format!("{}: long\r\n\r\n", "x".repeat(70_000)),
        format!("{}\r\n", fields(300)),
    ] {
        assert_refused(&stub, &gateway, request("GET /odoo HTTP/1.1", &rest)).await;
    }
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn bodies_that_could_be_read_in_two_ways_are_refused() {
    let (stub, gateway) = fleet::start().await;
    let hidden = "GET /stub/echo?hidden HTTP/1.1\r\nHost: acme.test\r\n\r\n";
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 5;x",
        "Content-Length: \u{665}",
        "Content-Length: ",
        "Content-Length: 99999999999999999999999",
        "Content-Length : 5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding:\tchunked",
        "Content-Length: 5\r\nTransfer_Encoding: chunked",
        "Content-Length: 5\r\nContent_Length: 0",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, x",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
    ] {
        let rest = format!("{framing}\r\n\r\n0\r\n\r\n{hidden}");
        assert_refused(&stub, &gateway, request("POST /stub/echo HTTP/1.1", &rest)).await;
    }
    let old = request("POST / HTTP/1.0", &format!("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"));
    assert_refused(&stub, &gateway, old).await;
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn framing_that_is_odd_but_clear_is_one_request_and_no_more() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        let hidden = "GET /stub/echo?hidden HTTP/1.1\r\nHost: acme.test\r\n\r\n";
        for (framing, body, bytes) in [
            ("transfer-ENCODING:  chunked ", "5\r\nhello\r\n0\r\n\r\n", 5),
            ("Transfer-Encoding: CHUNKED", "5;a=b\r\nhello\r\n0\r\nX-Odoo-dbfilter: forged\r\n\r\n", 5),
            ("Content-Length: 005", "hello", 5),
        ] {
            let rest = format!("{framing}\r\n\r\n{body}{hidden}");
            let mut raw = RawConnection::open(gateway.address()).await.unwrap();
            raw.send(request("POST /stub/echo HTTP/1.1", &rest)).await.unwrap();
            let answer = raw.read_to_end().await.unwrap();
            fleet::assert_status(answer, 200, framing);
            let received = fleet::only_request(&stub);
            let seen = (received.body_bytes, received.complete, received.values("x-odoo-dbfilter"));
            assert_eq!(seen, (bytes, true, vec!["^acme$"]), "{framing}");
            let framings =
                received.values("content-length").len() + received.values("transfer-encoding").len();
            assert_eq!(framings, 1, "{framing}: {:?}", received.headers);
        }
        fleet::still_serves(&gateway).await;
    }
}

#[tokio::test]
async fn broken_chunks_are_never_a_whole_request() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        for chunks in [
            "zz\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "5 5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            "5\r\nhel",
            "5\r\nhello\r\n",
            "5\r\nhello\r\n0\r\n",
            "\r\n\r\n",
            "5\r\nhello\r\n\r\n\r\n",
            "5;a\nb\r\nhello\r\n0\r\n\r\n",
            "5\nhello\n0\n\n",
        ] {
            let rest = format!("Transfer-Encoding: chunked\r\n\r\n{chunks}");
            let answer = answer_to(&gateway, request("POST /stub/upload HTTP/1.1", &rest)).await;
            let fine = answer.is_empty() || matches!(fleet::status(&answer), Some(400..=499));
            assert!(fine, "{chunks:?} was answered: {}", String::from_utf8_lossy(&answer));
            wait_for("the backend is left", DEADLINE, async || stub.counts().requests_in_flight == 0).await;
            let whole = stub.received().iter().any(|received| received.complete);
            assert!(!whole, "{chunks:?} was made whole: {:#?}", stub.received());
        }
        fleet::still_serves(&gateway).await;
    }
}

#[tokio::test]
async fn a_request_behind_another_is_not_taken_for_its_body() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        let first = "POST /stub/echo HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 5\r\n\r\nfirst";
        let second = "GET /stub/echo?second HTTP/1.1\r\nHost: globex.test\r\nConnection: close\r\n\r\n";
        let mut raw = RawConnection::open(gateway.address()).await.unwrap();
        raw.send(format!("{first}{second}")).await.unwrap();
        let text = String::from_utf8_lossy(raw.read_to_end().await.unwrap()).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("\"body_start\":\"first\""), "{text}");
        for received in stub.received() {
            let expected = if received.method == "POST" { ("acme", 5) } else { ("globex", 0) };
            assert_eq!((received.database.as_deref().unwrap(), received.body_bytes), expected);
        }
        fleet::still_serves(&gateway).await;
    }
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// A request with some of its bytes cut, doubled, replaced or put elsewhere.
fn mutated(dice: &mut Dice) -> Vec<u8> {
    const HONEST: &str = "POST /stub/echo?a=%20b HTTP/1.1\r\nHost: acme.test\r\nX-Odoo-dbfilter: forged\r\n\
        X-Forwarded-Host: forged.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
        Cookie: session_id=abc; x=y\r\nX-Odoo-Database: forged\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    const PIECES: [&str; 14] = [
        "\r\n",
        "\n",
        "\r",
        "\0",
        " ",
        "\t",
        ":",
        "_",
        "Host: globex.test\r\n",
        "Content-Length: 3\r\n",
        "X_Odoo_Dbfilter: forged\r\n",
        "\r\n\r\n",
        "HTTP/1.1",
        "\u{ff}",
    ];
    let mut bytes = HONEST.as_bytes().to_vec();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(bytes.len());
        match dice.roll(4) {
            0 => drop(bytes.splice(at..(at + dice.roll(4)).min(bytes.len()), [])),
            1 => bytes[at] = u8::try_from(dice.roll(256)).unwrap(),
            2 => drop(bytes.splice(at..at, PIECES[dice.roll(PIECES.len())].bytes())),
            _ => {
                let copy = bytes[at..(at + dice.roll(40)).min(bytes.len())].to_vec();
                let to = dice.roll(bytes.len());
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}

#[tokio::test]
async fn a_thousand_broken_requests_reach_the_right_database_or_none() {
    let stub = fleet::threaded("eu-1").await;
    let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
    let mut dice = Dice(20_260_101);
    let mut arrived = 0;
    for _ in 0..1_000 {
        let bytes = mutated(&mut dice);
        answer_to(&gateway, &bytes).await;
        for received in stub.received() {
            arrived += 1;
            let database = match received.value("host") {
                Some("acme.test") => "acme",
                Some("globex.test") => "globex",
                other => panic!("{other:?} reached Odoo by {}", shown(&bytes)),
            };
            let host = format!("{database}.test");
            let filter = format!("^{database}$");
            for (name, value) in [
                ("host", &host),
                ("x-forwarded-host", &host),
                ("x-odoo-dbfilter", &filter),
                ("x-forwarded-proto", &"http".to_owned()),
                ("x-forwarded-for", &"127.0.0.1".to_owned()),
            ] {
                assert_eq!(received.values(name), [value], "{name} by {}", bytes.escape_ascii());
            }
            for (name, value) in &received.headers {
                let reserved = fleetgate_core::odoo::headers::is_reserved(name);
                assert!(!reserved || !value.contains("forged"), "{name} by {}", bytes.escape_ascii());
            }
        }
        stub.forget_received();
    }
    assert!(arrived > 100, "the dice are too harsh to prove anything: {arrived}");
    assert_eq!(stub.counts().malformed, 0, "what arrives is well-formed");
    fleet::still_serves(&gateway).await;
}
