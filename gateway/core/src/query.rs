//! The query of a request, as it is forwarded.

use crate::request::Fault;

/// Whether a byte may stand in a query: visible ASCII but those that every client encodes (WHATWG URL, query
/// percent-encode set), which Pingora refuses too.
pub(crate) const fn may_stand(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'#' | b'<' | b'>')
}

/// A query without its `?`, as the client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<'a>(&'a [u8]);

impl<'a> Query<'a> {
    /// Takes a raw query.
    ///
    /// # Errors
    /// [`Fault::TargetByte`] for a byte that must be encoded: a space, a control, `"`, `#`, `<`, `>`, one beyond ASCII.
    pub fn new(raw: &'a [u8]) -> Result<Self, Fault> {
        if raw.iter().copied().all(may_stand) { Ok(Self(raw)) } else { Err(Fault::TargetByte) }
    }

    /// The query as the client wrote it, and as the backend gets it.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_clients_must_encode_are_refused() {
        for raw in [&b"a b"[..], b"a\0b", b"a\tb", b"a\x7fb", b"\xc3\xa9", b"a#b", b"a\"b", b"<a>"] {
            assert_eq!(Query::new(raw), Err(Fault::TargetByte), "{raw:?}");
        }
        assert!(Query::new(b"domain=[('a','=',1)]|{}^`\\").is_ok());
    }
}
