//! What stands in front of a request, and what is put together of its parts: both mean one thing, however they are cut.

use fleetgate_core::odoo::cookies::{join, name_session};
use fleetgate_core::proxy_protocol::{BYTES_MAX, Header, header, parse};

/// Words of a header of the PROXY protocol.
pub const PROXY_WORDS: [&str; 16] = [
    "PROXY ",
    "TCP4 ",
    "TCP6 ",
    "UNKNOWN",
    "192.0.2.7 ",
    "2001:db8::7 ",
    "::ffff:192.0.2.7 ",
    "65535",
    "443\r\n",
    "\r\n",
    "\r\n\r\n\0\r\nQUIT\n",
    "\x21\x11\0\x0c",
    "\x20\0\0\0",
    "\x21\x21\0\x24",
    "\0",
    "GET / HTTP/1.1\r\n",
];

/// Words of cookies; a line is a field.
pub const COOKIE_WORDS: [&str; 12] =
    ["session_id", "=", ";", "; ", ",", "\n", "\"", " ", "\t", "a=1", "session_id=x", "\u{e9}"];

/// A header ends at one place and names one client: less of it is the start of one, and what follows changes nothing.
pub fn proxy_protocol(input: &[u8]) {
    let Header::Whole { client, bytes } = parse(input) else { return };
    assert!(bytes <= input.len().min(BYTES_MAX), "a header of {bytes} bytes out of {}", input.len());
    for cut in 0..bytes {
        assert_eq!(parse(&input[..cut]), Header::Incomplete, "{cut} bytes of a header of {bytes}");
    }
    assert_eq!(parse(&input[..bytes]), parse(input));
    let ours = header(client, client);
    let Header::Whole { client: again, bytes } = parse(&ours) else {
        panic!("our own header is none: {ours:?}")
    };
    let canonical = client.map(|client| (client.ip().to_canonical(), client.port()));
    assert_eq!((again.map(|client| (client.ip(), client.port())), bytes), (canonical, ours.len()));
}

/// Fields that are joined hold the same cookies in the same order, and the session if it was there before.
pub fn cookies(input: &[u8]) {
    let fields = || input.split(|byte| *byte == b'\n');
    let joined = join(fields());
    let of = |field: &[u8]| -> Vec<Vec<u8>> {
        field.split(|byte| *byte == b';').map(|cookie| cookie.trim_ascii().to_vec()).collect()
    };
    assert_eq!(of(&joined), fields().flat_map(of).collect::<Vec<_>>());
    assert_eq!(name_session(std::iter::once(&joined[..])), name_session(fields()));
    assert!(!joined.contains(&b'\n'), "a field became two");
}
