//! One line of JSON, written field by field.
//!
//! A general serialiser looks at every byte of every name for what must be escaped and sends each value through a
//! formatter: for the line of a request that was a twelfth of all that the gateway does for it.

use itoa::Buffer;
use std::fmt::Display;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// An object on one line (RFC 8259). Names of fields are plain words.
#[derive(Debug)]
pub(super) struct JsonLine(Vec<u8>);

impl JsonLine {
    /// Begins an object with room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut line = Vec::with_capacity(bytes);
        line.push(b'{');
        Self(line)
    }

    /// A field with fields of its own.
    pub(super) fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Self)) {
        self.name(name);
        self.0.push(b'{');
        write(self);
        self.0.push(b'}');
    }

    /// A field of text.
    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        self.0.push(b'"');
        self.escaped(value.as_bytes());
        self.0.push(b'"');
    }

    /// A field of text, if there is one.
    pub(super) fn maybe_text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A field of what prints without anything that must be escaped: times and addresses.
    pub(super) fn shown(&mut self, name: &'static str, value: impl Display) {
        self.name(name);
        // Writing to memory does not fail.
        let _infallible = write!(self.0, "\"{value}\"");
    }

    /// A field of an address.
    pub(super) fn address(&mut self, name: &'static str, value: IpAddr) {
        let IpAddr::V4(address) = value else { return self.shown(name, value) };
        self.name(name);
        self.0.push(b'"');
        self.octets(address);
        self.0.push(b'"');
    }

    /// A field of an address with its port.
    pub(super) fn socket(&mut self, name: &'static str, value: SocketAddr) {
        let SocketAddr::V4(socket) = value else { return self.shown(name, value) };
        self.name(name);
        self.0.push(b'"');
        self.octets(*socket.ip());
        self.0.push(b':');
        self.digits(u64::from(socket.port()));
        self.0.push(b'"');
    }

    /// A field of a number.
    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        self.digits(value);
    }

    /// A field of milliseconds, to the microsecond.
    pub(super) fn milliseconds(&mut self, name: &'static str, value: Duration) {
        let microseconds = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.number(name, microseconds / 1_000);
        let mut digits = Buffer::new();
        // The leading digit keeps the zeros behind it.
        let fraction = digits.format(1_000 + microseconds % 1_000).as_bytes();
        self.0.push(b'.');
        self.0.extend_from_slice(fraction.get(1..).unwrap_or_default());
    }

    /// A field of milliseconds, if there are any.
    pub(super) fn maybe_milliseconds(&mut self, name: &'static str, value: Option<Duration>) {
        if let Some(value) = value {
            self.milliseconds(name, value);
        }
    }

    /// The whole line, with its line feed.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }

    fn name(&mut self, name: &'static str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn digits(&mut self, value: u64) {
        self.0.extend_from_slice(Buffer::new().format(value).as_bytes());
    }

    fn octets(&mut self, address: Ipv4Addr) {
        let [first, rest @ ..] = address.octets();
        self.digits(u64::from(first));
        for octet in rest {
            self.0.push(b'.');
            self.digits(u64::from(octet));
        }
    }

    /// What must be escaped is `"`, `\` and controls (RFC 8259, section 7).
    fn escaped(&mut self, mut text: &[u8]) {
        let special = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
        while let Some((plain, [byte, rest @ ..])) =
            text.iter().position(special).and_then(|at| text.split_at_checked(at))
        {
            self.0.extend_from_slice(plain);
            // Writing to memory does not fail.
            let _infallible = write!(self.0, "\\u{byte:04x}");
            text = rest;
        }
        self.0.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn line(write: impl FnOnce(&mut JsonLine)) -> Value {
        let mut line = JsonLine::with_capacity(0);
        write(&mut line);
        let bytes = line.end();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn values_are_read_as_they_were_written() {
        let sockets = ["127.0.0.1:8069", "255.0.10.9:1", "[2001:db8::1]:65535", "[::]:0"];
        for (socket, number) in
            sockets.map(|text| text.parse::<SocketAddr>().unwrap()).into_iter().zip([0, 9, 10, u64::MAX])
        {
            let read = line(|line| {
                line.number("number", number);
                line.address("ip", socket.ip());
                line.socket("socket", socket);
                line.maybe_text("none", None);
                line.object("more", |line| line.maybe_text("some", Some("")));
            });
            let expected = json!({ "number": number, "ip": socket.ip().to_string(), "socket": socket.to_string(), "more": { "some": "" } });
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn milliseconds_have_three_places() {
        for (nanoseconds, written) in
            [(0, 0.0), (999, 0.0), (1_000, 0.001), (854_321, 0.854), (12_050_000, 12.05)]
        {
            let read = line(|line| line.milliseconds("ms", Duration::from_nanos(nanoseconds)));
            assert_eq!(read, json!({ "ms": written }));
        }
    }

    #[test]
    fn what_would_break_a_line_is_escaped() {
        let read = line(|line| line.text("text", "a\"b\\c\n\u{0}\u{7f}é"));
        assert_eq!(read, json!({ "text": "a\"b\\c\n\u{0}\u{7f}é" }));
    }
}
