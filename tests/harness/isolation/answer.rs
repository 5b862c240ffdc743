//! Answers of HTTP/1, read one by one from a connection that is kept.

use super::mark;

const LINES_MAX: usize = 96;

/// The head of an answer.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) said: Said,
    /// Whether the server leaves the connection open.
    pub(super) keep: bool,
    length: Length,
    bytes: usize,
}

/// What an answer says about who gave it.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// A stand-in Odoo answered, not the gateway.
    pub(super) from_odoo: bool,
    pub(super) mark: Option<String>,
    pub(super) database: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunks,
    UntilTheEnd,
}

/// A body, and where the next answer begins.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) body: Vec<u8>,
    pub(super) end: usize,
}

impl Said {
    /// Notes a header line.
    pub(super) fn note(&mut self, name: &str, value: &[u8]) {
        let text = || Some(String::from_utf8_lossy(value).into_owned());
        if name.eq_ignore_ascii_case("x-stub-server") {
            self.from_odoo = true;
        } else if name.eq_ignore_ascii_case(mark::HEADER) {
            self.mark = text();
        } else if name.eq_ignore_ascii_case("x-stub-database") {
            self.database = text();
        }
    }
}

impl Head {
    /// The head at the front of some bytes, if it is whole; what is wrong with it, if it is none.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, String> {
        let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
        let mut parsed = httparse::Response::new(&mut lines);
        let bytes = match parsed.parse(bytes).map_err(|error| error.to_string())? {
            httparse::Status::Complete(bytes) => bytes,
            httparse::Status::Partial => return Ok(None),
        };
        let (mut said, mut length, mut keep) = (Said::default(), None, parsed.version == Some(1));
        for line in parsed.headers.iter() {
            said.note(line.name, line.value);
            if line.name.eq_ignore_ascii_case("content-length") {
                let digits = core::str::from_utf8(line.value).ok().and_then(|text| text.parse().ok());
                let Some(digits) = digits.filter(|_| length.is_none()) else {
                    return Err("a length that is no number, or two lengths".to_owned());
                };
                length = Some(Length::Bytes(digits));
            } else if line.name.eq_ignore_ascii_case("transfer-encoding") {
                if length.is_some() {
                    return Err("a length and a coding".to_owned());
                }
                length = Some(Length::Chunks);
            } else if line.name.eq_ignore_ascii_case("connection") {
                keep = keep && !line.value.eq_ignore_ascii_case(b"close");
            }
        }
        let status = parsed.code.unwrap_or_default();
        let length = match status {
            100..=199 | 204 | 304 => Length::Bytes(0),
            _ => length.unwrap_or(Length::UntilTheEnd),
        };
        Ok(Some(Self {
            status,
            said,
            keep: keep && length != Length::UntilTheEnd && status != 101,
            length,
            bytes,
        }))
    }

    /// Whether another answer to the same request follows.
    pub(super) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The body behind the head, if it is whole. `ended` when no more bytes will come.
    pub(super) fn body(&self, bytes: &[u8], head_only: bool, ended: bool) -> Result<Option<Whole>, String> {
        let rest = bytes.get(self.bytes..).unwrap_or_default();
        let length = if head_only { Length::Bytes(0) } else { self.length };
        match length {
            Length::Bytes(length) => {
                let whole =
                    rest.get(..length).map(|body| Whole { body: body.to_vec(), end: self.bytes + length });
                Ok(whole)
            }
            Length::UntilTheEnd => Ok(ended.then(|| Whole { body: rest.to_vec(), end: bytes.len() })),
            Length::Chunks => {
                let whole = chunks(rest)?;
                Ok(whole.map(|whole| Whole { end: self.bytes + whole.end, ..whole }))
            }
        }
    }
}

fn chunks(bytes: &[u8]) -> Result<Option<Whole>, String> {
    let (mut body, mut at) = (Vec::new(), 0_usize);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((line, size))) => {
                (line, usize::try_from(size).unwrap_or(usize::MAX))
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("a chunk without a size".to_owned()),
        };
        let end = line.saturating_add(size);
        let (Some(chunk), Some(tail)) = (rest.get(line..end), rest.get(end..end.saturating_add(2))) else {
            return Ok(None);
        };
        if tail != b"\r\n" {
            return Err("a chunk longer than it says, or a trailer".to_owned());
        }
        body.extend_from_slice(chunk);
        at = at.saturating_add(end).saturating_add(2);
        if size == 0 {
            return Ok(Some(Whole { body, end: at }));
        }
    }
}
