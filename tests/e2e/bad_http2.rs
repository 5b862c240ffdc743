//! HTTP/2 frames that no honest client sends: what they carry must not become lines of HTTP/1 on the way to Odoo.

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{DEADLINE, Gateway, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fleet;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A field in the plainest form of HPACK: not indexed, not compressed (RFC 7541, section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = Vec::new();
        match u8::try_from(text.len()) {
            Ok(short @ ..127) => bytes.push(short),
            _ => {
                bytes.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    [vec![0], text(name), text(value)].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a stream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// With a head of the answer: whether its status is 200.
    Answered { ok: bool },
    /// The stream was reset.
    Reset,
    /// The connection ended, or all was seen and nothing said.
    Gone,
}

/// Sends one request as frames, and says what became of it.
async fn outcome(gateway: &Gateway, fields: &[(&str, &str)], data: &[(&str, bool)]) -> Outcome {
    let flags = if data.is_empty() { END_HEADERS | END_STREAM } else { END_HEADERS };
    let mut frames = head(flags, fields);
    for (part, last) in data {
        frames.extend(frame(DATA, u8::from(*last), 1, part.as_bytes()));
    }
    exchange(gateway, &frames).await
}

/// Sends a part of one request as frames, takes it back, and says what became of it.
async fn cut_off(gateway: &Gateway, fields: &[(&str, &str)], data: &str) -> Outcome {
    let mut frames = head(END_HEADERS, fields);
    frames.extend(frame(DATA, 0, 1, data.as_bytes()));
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    frames.extend(frame(RST_STREAM, 0, 1, &CANCEL));
    // The acknowledgement comes after everything before it was seen.
    frames.extend(frame(PING, 0, 0, b"are-you-"));
    exchange(gateway, &frames).await
}

fn head(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    frame(HEADERS, flags, 1, &fields)
}

async fn exchange(gateway: &Gateway, frames: &[u8]) -> Outcome {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, b""));
    bytes.extend_from_slice(frames);
    let exchange = async {
        let mut stream = TcpStream::connect(gateway.address()).await?;
        stream.write_all(&bytes).await?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut payload).await?;
            match head[3] {
                // 0x88 is `:status: 200` in the static table.
                HEADERS => return Ok(Outcome::Answered { ok: payload.first() == Some(&0x88) }),
                RST_STREAM => return Ok(Outcome::Reset),
                GOAWAY | PING => return Ok(Outcome::Gone),
                _ => {}
            }
        }
    };
    let ended: Result<std::io::Result<Outcome>, _> = tokio::time::timeout(DEADLINE, exchange).await;
    ended.expect("neither an answer nor an end").unwrap_or(Outcome::Gone)
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
