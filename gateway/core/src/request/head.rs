//! The head of an HTTP/1 request, byte by byte.
//!
//! Parsers are lenient, each in its own way: one takes a lone line feed for the end of a line, one folds lines, one
//! encodes the bytes of a target that nobody may send. This reader takes what RFC 9112 says and nothing else, so that
//! whoever parses the same bytes afterwards cannot read them differently.

use super::method::is_allowed;
use super::target::authority_within;
use super::{FIELDS_MAX, Fault, Fields, HEAD_BYTES_MAX, TARGET_BYTES_MAX, Version};
use crate::rejection::Rejection;
use crate::{path, query};
use core::ops::Range;
use memchr::memchr;

/// Longest method that is looked at; none of those that may pass is longer.
const METHOD_BYTES_MAX: usize = 32;
/// ` HTTP/1.1`
const VERSION_BYTES: usize = 9;

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRoom {
    bytes_max: usize,
    fields_max: usize,
}

impl HeadRoom {
    /// One of a client.
    pub const CLIENT: Self = Self { bytes_max: HEAD_BYTES_MAX, fields_max: FIELDS_MAX };
    /// One of a gateway of another site, which adds to the head of a client, as large as that may be, what it knows of the
    /// client: the certificate and what leads to its authority are 24 KiB at most.
    pub const GATEWAY: Self = Self { bytes_max: 2 * HEAD_BYTES_MAX, fields_max: FIELDS_MAX + 16 };
}

impl Default for HeadRoom {
    fn default() -> Self {
        Self::CLIENT
    }
}

/// How far a head has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Partial,
    /// The head is whole.
    Whole {
        /// Its length in bytes; what follows is the body.
        bytes: usize,
        /// Whether the body comes in chunks.
        chunked: bool,
    },
    /// The request must be refused, and the connection closed.
    Refused(Rejection),
}

/// Reads one head, which may arrive in pieces.
#[derive(Debug, Default)]
pub struct HeadReader {
    room: HeadRoom,
    /// Where the line begins that is not whole yet.
    line: usize,
    /// Up to where its end was looked for.
    searched: usize,
    /// The request line, once read.
    request: Option<RequestLine>,
    lines: usize,
    fields: Fields,
    host: Range<usize>,
}

#[derive(Debug)]
struct RequestLine {
    version: Version,
    method: Range<usize>,
    authority: Option<Range<usize>>,
}

impl HeadReader {
    /// For a head that may be so large.
    #[must_use]
    pub fn new(room: HeadRoom) -> Self {
        Self { room, ..Self::default() }
    }

    /// Looks at a head from its start, which must be the same bytes as at the last call, and more.
    pub fn read(&mut self, head: &[u8]) -> Progress {
        loop {
            let unsearched = head.get(self.searched..).unwrap_or_default();
            let Some(length) = memchr(b'\n', unsearched) else {
                self.searched = head.len();
                return self.judge_partial(head);
            };
            let (start, end) = (self.line, self.searched.saturating_add(length));
            self.line = end.saturating_add(1);
            self.searched = self.line;
            if let Err(rejection) = self.limit(self.line) {
                return Progress::Refused(rejection);
            }
            match self.take_line(head, start, end) {
                Ok(false) => {}
                Ok(true) => return self.judge_whole(head),
                Err(rejection) => return Progress::Refused(rejection),
            }
        }
    }

    /// Takes a line that ends at its line feed; true for the empty one that ends the head.
    fn take_line(&mut self, head: &[u8], start: usize, end: usize) -> Result<bool, Rejection> {
        let line = head.get(start..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Fault::LineEnd)?;
        self.lines = self.lines.saturating_add(1);
        if self.request.is_none() {
            // One empty line before a request is left over from the one before (RFC 9112, section 2.2).
            if !line.is_empty() || self.lines > 1 {
                self.request = Some(request_line(line, start)?);
                self.lines = 0;
            }
            return Ok(false);
        }
        if line.is_empty() {
            return Ok(true);
        }
        if self.lines > self.room.fields_max {
            return Err(Rejection::HeadTooLarge);
        }
        if matches!(line, [b' ' | b'\t', ..]) {
            return Err(Fault::FoldedLine.into());
        }
        let colon = memchr(b':', line).ok_or(Fault::FieldName)?;
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(Fault::FieldName.into());
        }
        let value = value.strip_prefix(b":").unwrap_or_default();
        if !value.iter().fold(true, |fine, &byte| fine & is_value(byte)) {
            return Err(Fault::FieldValue.into());
        }
        let padding = value.iter().take_while(|byte| **byte == b' ').count();
        let value = trim(value);
        if name.eq_ignore_ascii_case(b"host") {
            let at = start.saturating_add(colon).saturating_add(1).saturating_add(padding);
            self.host = at..at.saturating_add(value.len());
        }
        self.fields.take(name, value)?;
        Ok(false)
    }

    fn judge_whole(&self, head: &[u8]) -> Progress {
        let judged = self.request.as_ref().map(|request| {
            let text = |range: &Range<usize>| head.get(range.clone()).unwrap_or_default();
            if request.authority.as_ref().is_some_and(|authority| text(authority) != text(&self.host)) {
                return Err(Fault::Authority.into());
            }
            self.fields.judge(request.version, text(&request.method))
        });
        match judged {
            Some(Err(rejection)) => Progress::Refused(rejection),
            Some(Ok(())) => Progress::Whole { bytes: self.line, chunked: self.fields.framing().is_chunked() },
            None => Progress::Partial,
        }
    }

    /// What is no request is refused before its end: it may never come.
    fn judge_partial(&self, head: &[u8]) -> Progress {
        let line = head.get(self.line..).unwrap_or_default();
        let judged = self.limit(head.len()).and_then(|()| {
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            if self.request.is_none() && !text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
                return Err(Fault::RequestLine.into());
            }
            Ok(())
        });
        judged.map_or_else(Progress::Refused, |()| Progress::Partial)
    }

    fn limit(&self, bytes: usize) -> Result<(), Rejection> {
        if self.request.is_none() && bytes > METHOD_BYTES_MAX + 1 + TARGET_BYTES_MAX + VERSION_BYTES + 4 {
            return Err(Rejection::TargetTooLong);
        }
        if bytes > self.room.bytes_max { Err(Rejection::HeadTooLarge) } else { Ok(()) }
    }
}

/// `GET /odoo HTTP/1.1`: three words, one space between them, and visible ASCII in the target.
fn request_line(line: &[u8], start: usize) -> Result<RequestLine, Rejection> {
    let method_end = memchr(b' ', line).ok_or(Fault::RequestLine)?;
    let (method, rest) = line.split_at_checked(method_end).unwrap_or_default();
    let (target, version) = rest
        .len()
        .checked_sub(VERSION_BYTES)
        .and_then(|at| rest.split_at_checked(at))
        .ok_or(Fault::RequestLine)?;
    let version = match version {
        b" HTTP/1.1" => Version::Http11,
        b" HTTP/1.0" => Version::Http10,
        _ => return Err(Fault::RequestLine.into()),
    };
    let target = target.strip_prefix(b" ").filter(|target| !target.is_empty()).ok_or(Fault::RequestLine)?;
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(Fault::RequestLine.into());
    }
    if target.len() > TARGET_BYTES_MAX {
        return Err(Rejection::TargetTooLong);
    }
    let (path, query) =
        memchr(b'?', target).and_then(|at| target.split_at_checked(at)).unwrap_or((target, b""));
    let fine = path.iter().copied().all(path::may_stand) && query.iter().copied().all(query::may_stand);
    if !fine {
        return Err(Fault::TargetByte.into());
    }
    if !is_allowed(method) {
        return Err(Rejection::MethodNotAllowed);
    }
    let at_target = start.saturating_add(method_end).saturating_add(1);
    let authority = match authority_within(target) {
        _ if target.first() == Some(&b'/') => None,
        // A backslash after it: some servers read on, and take what follows for the host.
        Some(within) if within.is_empty() || target.get(within.end) == Some(&b'\\') => {
            return Err(Fault::TargetForm.into());
        }
        Some(within) => Some(at_target.saturating_add(within.start)..at_target.saturating_add(within.end)),
        None => return Err(Fault::TargetForm.into()),
    };
    Ok(RequestLine { version, method: start..start.saturating_add(method_end), authority })
}

/// Without the spaces around it. A tab may stand there too (RFC 9110, section 5.6.3), but no client writes one, and
/// servers disagree about it: before a value that says where the body ends it is part of that value.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = value {
        value = rest;
    }
    value
}

/// `tchar` of RFC 9110, section 5.6.2.
#[rustfmt::skip]
const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
            | b'*' | b'+' | b'^' | b'`' | b'|' | b'~'
    )
}

/// Bytes of a field's value: no controls but the tab (RFC 9110, section 5.5).
const fn is_value(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(head: &[u8]) -> Progress {
        HeadReader::default().read(head)
    }

    fn refusal(head: &str) -> Option<Rejection> {
        match read(head.as_bytes()) {
            Progress::Refused(rejection) => Some(rejection),
            Progress::Partial | Progress::Whole { .. } => None,
        }
    }

    #[test]
    fn an_honest_head_is_whole_at_its_empty_line() {
        let head = "GET /odoo?a=b HTTP/1.1\r\nHost: acme.test\r\nX-Empty:\r\nX-Odd: a\tb\u{e9}\r\n\r\n";
        assert_eq!(read(head.as_bytes()), Progress::Whole { bytes: head.len(), chunked: false });
        let with_body = "\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: Chunked \r\n\r\n0\r\n\r\n";
        assert_eq!(read(with_body.as_bytes()), Progress::Whole { bytes: with_body.len() - 5, chunked: true });
        let url = "GET http://acme.test:80/x HTTP/1.0\r\nHost:  acme.test:80 \r\n\r\n";
        assert_eq!(read(url.as_bytes()), Progress::Whole { bytes: url.len(), chunked: false });
        for end in 0..head.len() {
            assert_eq!(read(&head.as_bytes()[..end]), Progress::Partial, "{end}");
        }
    }

    #[test]
    fn lines_that_parsers_smooth_over_are_refused() {
        let bad = |fault| Some(Rejection::BadRequest(fault));
        for (head, rejection) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", bad(Fault::LineEnd)),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", bad(Fault::LineEnd)),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", bad(Fault::LineEnd)),
            ("\nGET / HTTP/1.1\r\n", bad(Fault::LineEnd)),
            ("\r\n\r\nGET / HTTP/1.1\r\n", bad(Fault::RequestLine)),
            ("GET /\r\n", bad(Fault::RequestLine)),
            ("GET / HTTP/2.0\r\n", bad(Fault::RequestLine)),
            ("GET / HTTP/1.2\r\n", bad(Fault::RequestLine)),
            ("GET / HTTP/1.10\r\n", bad(Fault::RequestLine)),
            ("GET / http/1.1\r\n", bad(Fault::RequestLine)),
            ("GET / HTTP/1.1 \r\n", bad(Fault::RequestLine)),
            ("GET  HTTP/1.1\r\n", bad(Fault::RequestLine)),
            ("GET\t/\tHTTP/1.1\r\n", bad(Fault::RequestLine)),
            ("G(T / HTTP/1.1\r\n", bad(Fault::RequestLine)),
            ("GET  / HTTP/1.1\r\n", bad(Fault::TargetByte)),
            ("GET /a b HTTP/1.1\r\n", bad(Fault::TargetByte)),
            ("GET /a\tb HTTP/1.1\r\n", bad(Fault::TargetByte)),
            ("GET /a\0b HTTP/1.1\r\n", bad(Fault::TargetByte)),
            ("GET /\u{e9} HTTP/1.1\r\n", bad(Fault::TargetByte)),
            ("GET /#a HTTP/1.1\r\n", bad(Fault::TargetByte)),
            ("GET /a\rb HTTP/1.1\r\n", bad(Fault::TargetByte)),
            ("get / HTTP/1.1\r\n", Some(Rejection::MethodNotAllowed)),
            ("CONNECT acme.test:80 HTTP/1.1\r\n", Some(Rejection::MethodNotAllowed)),
            ("GET / HTTP/1.1\r\n Host: a\r\n", bad(Fault::FoldedLine)),
            ("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n", bad(Fault::FoldedLine)),
            ("GET / HTTP/1.1\r\nHost : a\r\n", bad(Fault::FieldName)),
            ("GET / HTTP/1.1\r\nHost\t: a\r\n", bad(Fault::FieldName)),
            ("GET / HTTP/1.1\r\n: a\r\n", bad(Fault::FieldName)),
            ("GET / HTTP/1.1\r\nno colon\r\n", bad(Fault::FieldName)),
            ("GET / HTTP/1.1\r\nN\0l: a\r\n", bad(Fault::FieldName)),
            ("GET / HTTP/1.1\r\nN\u{e9}: a\r\n", bad(Fault::FieldName)),
            ("GET / HTTP/1.1\r\nA: \0\r\n", bad(Fault::FieldValue)),
            ("GET / HTTP/1.1\r\nA: \x01\r\n", bad(Fault::FieldValue)),
            ("GET / HTTP/1.1\r\nA: \x7f\r\n", bad(Fault::FieldValue)),
            ("GET / HTTP/1.1\r\nA: b\rC: d\r\n", bad(Fault::FieldValue)),
            ("POST / HTTP/1.1\r\nTransfer-Encoding:\tchunked\r\n", bad(Fault::TransferEncoding)),
            ("POST / HTTP/1.1\r\nContent-Length: 5\t\r\n", bad(Fault::ContentLength)),
            ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", bad(Fault::Authority)),
            ("GET http://a/ HTTP/1.1\r\nX: a\r\n\r\n", bad(Fault::Authority)),
            ("POST / HTTP/1.0\r\nHost: a\r\n\r\n", Some(Rejection::LengthRequired)),
        ] {
            assert_eq!(refusal(head), rejection, "{head:?}");
        }
    }

    #[test]
    fn what_can_be_no_head_is_refused_before_it_ends() {
        for head in ["\x16\x03\x01\x02\0\x01", "\0", "GET /\0", "\u{feff}GET"] {
            assert_eq!(refusal(head), Some(Fault::RequestLine.into()), "{head:?}");
        }
        let long = "a".repeat(TARGET_BYTES_MAX);
        assert_eq!(refusal(&format!("GET /{long} HTTP/1.1\r\n")), Some(Rejection::TargetTooLong));
        assert_eq!(refusal(&format!("GET /{long}{long}")), Some(Rejection::TargetTooLong));
        assert_eq!(refusal(&format!("GET {} HTTP/1.1\r\n", &long.replacen('a', "/", 1))), None);
        let lines = |count: usize| format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(count));
        assert_eq!(refusal(&lines(FIELDS_MAX)), None);
        assert_eq!(refusal(&lines(FIELDS_MAX + 1)), Some(Rejection::HeadTooLarge));
        let value = "x".repeat(HEAD_BYTES_MAX);
        assert_eq!(refusal(&format!("GET / HTTP/1.1\r\nX: {value}")), Some(Rejection::HeadTooLarge));
    }

    #[test]
    fn a_gateway_may_add_to_the_largest_head_of_a_client() {
        let head = |fields: usize, bytes: usize| {
            let value = "x".repeat(bytes);
            format!("GET / HTTP/1.1\r\nX: {value}\r\n{}\r\n", "X: y\r\n".repeat(fields - 1))
        };
        let read = |room, head: String| HeadReader::new(room).read(head.as_bytes());
        for (fields, bytes) in [(FIELDS_MAX + 16, 1), (1, HEAD_BYTES_MAX + 32_000)] {
            let added = read(HeadRoom::GATEWAY, head(fields, bytes));
            assert!(matches!(added, Progress::Whole { .. }), "{fields} {bytes}: {added:?}");
            let refused = Progress::Refused(Rejection::HeadTooLarge);
            assert_eq!(read(HeadRoom::CLIENT, head(fields, bytes)), refused);
            assert_eq!(read(HeadRoom::GATEWAY, head(fields + 1, bytes + HEAD_BYTES_MAX)), refused);
        }
    }

    /// A head with oddities here and there.
    fn head() -> impl Strategy<Value = Vec<u8>> {
        let odd = prop::sample::select(b"\r\n\t\0 :_,;#@\x0b\x7f\xe9".to_vec());
        let line = prop_oneof![
            Just("Host: acme.test".to_owned()),
            Just("Content-Length: 5".to_owned()),
            Just("Transfer-Encoding: chunked".to_owned()),
            "[A-Za-z-]{1,9}: ?[ -~]{0,12}",
        ];
        let request = prop_oneof![
            Just("GET / HTTP/1.1".to_owned()),
            Just("POST http://acme.test/x?y HTTP/1.1".to_owned()),
            Just("PUT /a%20b HTTP/1.0".to_owned()),
        ];
        let oddities = prop::collection::vec((any::<prop::sample::Index>(), odd), 0..3);
        (request, prop::collection::vec(line, 0..6), oddities).prop_map(|(request, lines, oddities)| {
            let mut head = format!("{request}\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes();
            for (at, byte) in oddities {
                let at = at.index(head.len());
                head.insert(at, byte);
            }
            head
        })
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(head in head(), size in 1_usize..9) {
            let whole = read(&head);
            let mut reader = HeadReader::default();
            let mut progress = Progress::Partial;
            for end in (size..head.len() + size).step_by(size) {
                progress = reader.read(&head[..end.min(head.len())]);
                if progress != Progress::Partial {
                    break;
                }
            }
            // Several faults may be found in another order.
            let refused = |progress| matches!(progress, Progress::Refused(_));
            prop_assert!(progress == whole || refused(progress) && refused(whole), "{progress:?} {whole:?}");
        }

        #[test]
        fn what_passes_means_the_same_to_another_parser(head in head()) {
            if let Progress::Whole { bytes, .. } = read(&head) {
                let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
                let mut request = httparse::Request::new(&mut fields);
                prop_assert_eq!(request.parse(&head), Ok(httparse::Status::Complete(bytes)));
                let lines = head[..bytes].windows(2).filter(|pair| pair == b"\r\n").count();
                prop_assert!(request.headers.len() + 2 == lines || head.starts_with(b"\r\n"));
                let target = request.path.unwrap().as_bytes();
                prop_assert!(head.windows(target.len() + 2).any(|w| w[0] == b' ' && &w[1..=target.len()] == target));
            }
        }

        #[test]
        fn any_bytes_are_read_to_an_end(head in prop::collection::vec(any::<u8>(), 0..200)) {
            let _progress = read(&head);
        }
    }
}
