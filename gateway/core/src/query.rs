//! The query of a request, as it is forwarded.

use crate::request::Fault;

/// A query without its `?`: visible ASCII and no `#`, otherwise as the client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<'a>(&'a [u8]);

impl<'a> Query<'a> {
    /// Takes a raw query.
    ///
    /// # Errors
    /// [`Fault::TargetByte`] for a space, a control byte, `#` or a byte beyond ASCII.
    pub fn new(raw: &'a [u8]) -> Result<Self, Fault> {
        let clean = raw.iter().all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'#');
        if clean { Ok(Self(raw)) } else { Err(Fault::TargetByte) }
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
        for raw in [&b"a b"[..], b"a\0b", b"a\tb", b"a\x7fb", b"\xc3\xa9", b"a#b"] {
            assert_eq!(Query::new(raw), Err(Fault::TargetByte), "{raw:?}");
        }
        assert!(Query::new(b"domain=[(\"a\",\"=\",1)]|{}^`\\").is_ok());
    }
}
