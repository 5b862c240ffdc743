//! What a client of HTTP/1 says before anything is decided: however it is cut it means the same, and what passes means
//! the same to another reader.

use fleetgate_core::host::HostKey;
use fleetgate_core::request::{ChunkReader, HeadReader, Progress};

/// Words of a head.
pub const HEAD_WORDS: [&str; 26] = [
    "GET / HTTP/1.1\r\n",
    "POST /jsonrpc HTTP/1.1\r\n",
    "GET http://acme.test/ HTTP/1.0\r\n",
    "Host: acme.test\r\n",
    "Host: zen.test\r\n",
    "host:\tacme.test:8069\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 05, 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\x0bchunked\r\n",
    "Connection: close, x\r\n",
    "Upgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "X-Odoo-dbfilter: .*\r\n",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    "\0",
    "%2f",
    "//",
    "?",
    "#",
    "\u{e9}",
];

/// Words of a body in chunks.
pub const CHUNK_WORDS: [&str; 16] = [
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "\r\n",
    "\n",
    "\r",
    ";",
    ";a=b",
    "\"",
    "0x",
    "+1",
    "00",
    "FFFFFFFFFFFFFFFF",
    " ",
    "X: y\r\n",
    "a\r\n0123456789\r\n",
    "1",
];

/// Words of an authority.
pub const HOST_WORDS: [&str; 18] = [
    "acme.test",
    ".",
    ":",
    ":80",
    "[::1]",
    "[",
    "]",
    "xn--",
    "%",
    "@",
    "127.0.0.1",
    "0x7f",
    "A",
    "_",
    "-",
    "*",
    "\u{e9}",
    "\0",
];

fn read_head(head: &[u8], step: usize) -> Progress {
    let mut reader = HeadReader::default();
    let mut seen = 0;
    loop {
        seen = (seen + step).min(head.len());
        match reader.read(&head[..seen]) {
            Progress::Partial if seen < head.len() => {}
            said @ (Progress::Partial | Progress::Whole { .. } | Progress::Refused(_)) => return said,
        }
    }
}

/// A head: the first byte chooses the cuts.
///
/// # Panics
/// A promise is broken.
pub fn head(input: &[u8]) {
    let Some((&step, head)) = input.split_first() else { return };
    let whole = read_head(head, head.len().max(1));
    let cut = read_head(head, usize::from(step).max(1));
    // A refusal may name another fault when less was seen, but it is one all the same.
    match (whole, cut) {
        (Progress::Refused(_), Progress::Refused(_)) => {}
        (whole, cut) => assert_eq!(cut, whole, "cut into {step}"),
    }
    let Progress::Whole { bytes, chunked } = whole else { return };
    let passed = &head[..bytes];
    let text =
        std::str::from_utf8(passed).unwrap_or_else(|_| String::from_utf8_lossy(passed).into_owned().leak());
    assert!(text.ends_with("\r\n\r\n"), "it ends in the middle");
    let lines: Vec<&str> = text.split("\r\n").skip_while(|line| line.is_empty()).collect();
    assert!(lines.iter().all(|line| !line.contains(['\r', '\n', '\0'])), "a line hides another");
    let fields: Vec<(String, &str)> = lines[1..lines.len() - 2]
        .iter()
        .map(|line| line.split_once(':').expect("a field has a colon"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
        .collect();
    let named =
        |name: &str| fields.iter().filter(|field| field.0 == name).map(|field| field.1).collect::<Vec<_>>();
    // Without one it is answered with `bad_host`.
    assert!(named("host").len() <= 1, "the host is not clear");
    assert!(
        !fields.iter().any(|(name, _)| name.is_empty() || name.contains([' ', '\t'])),
        "a name has a space"
    );
    let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
    assert!(lengths.is_empty() || codings.is_empty(), "the body's end is not clear");
    assert!(lengths.len() <= 1 && lengths.iter().all(|length| length.parse::<u64>().is_ok()), "{lengths:?}");
    assert_eq!(chunked, !codings.is_empty());
    assert!(codings.iter().all(|coding| coding.eq_ignore_ascii_case("chunked")), "{codings:?}");
}

/// Where a body in chunks ends for somebody who only reads sizes.
fn end_of(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = body.get(at..)?.windows(2).position(|end| end == b"\r\n")?;
        let digits = body[at..at + line].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&body[at..at + digits]).ok()?;
        let size = usize::try_from(u64::from_str_radix(size, 16).ok()?).ok()?;
        at += line + 2;
        if size > 0 {
            at = at.checked_add(size)?.checked_add(2)?;
            continue;
        }
        // Trailers, up to an empty line.
        loop {
            let line = body.get(at..)?.windows(2).position(|end| end == b"\r\n")?;
            at += line + 2;
            if line == 0 {
                return Some(at);
            }
        }
    }
}

/// A body in chunks: the first byte chooses the cuts.
///
/// # Panics
/// A promise is broken.
pub fn chunks(input: &[u8]) {
    let Some((&step, body)) = input.split_first() else { return };
    let read = |step: usize| {
        let mut reader = ChunkReader::default();
        let fine = body.chunks(step.max(1)).try_for_each(|piece| reader.read(piece)).is_ok();
        (fine, fine && reader.is_done())
    };
    let whole = read(body.len());
    assert_eq!(read(usize::from(step)), whole, "cut into {step}");
    let mut reader = ChunkReader::default();
    let mut end = 0;
    for byte in body {
        if reader.is_done() || reader.read(&[*byte]).is_err() {
            break;
        }
        end += 1;
    }
    assert_eq!(reader.is_done() && whole.0, whole.1, "byte by byte");
    if whole == (true, true) {
        assert_eq!(Some(end), end_of(body), "the end is not clear");
    }
}

/// An authority.
///
/// # Panics
/// A promise is broken.
pub fn host(input: &[u8]) {
    let Ok((key, port)) = HostKey::parse(input) else { return };
    let text = key.as_str();
    assert!(!text.is_empty() && text.len() <= 253 && text.is_ascii(), "{text:?}");
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.:[]".contains(&byte);
    assert!(text.bytes().all(fine), "{text:?}");
    assert!(!text.ends_with('.') && !text.starts_with('.'), "{text:?}");
    let again = HostKey::parse(text.as_bytes()).expect("a host in its one form is a host");
    assert_eq!((again.0.as_str(), again.1), (text, None), "it has another form");
    let with_port = format!("{}:{}", text.to_ascii_uppercase(), port.unwrap_or(8069));
    let again = HostKey::parse(with_port.as_bytes()).expect("a host in capitals and a port");
    assert_eq!((again.0.as_str(), again.1), (text, Some(port.unwrap_or(8069))));
}
