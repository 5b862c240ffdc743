//! The fields of a head that say how the request is to be read.

use super::method::carries_a_body;
use super::{Fault, Framing, Version};
use crate::rejection::Rejection;

const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";

/// What the fields of a head say together. They are told one by one, then judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fields {
    framing: Framing,
    has_host: bool,
    asks_websocket: bool,
}

impl Fields {
    /// Takes a field in the order of the head; `value` without white space around it.
    ///
    /// # Errors
    /// A field that stands more than once where servers pick different ones, or that no honest client sends.
    pub fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), Rejection> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.take_host(value),
            6 if name.eq_ignore_ascii_case(b"expect") => expect_continue(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.asks_websocket |= lists_websocket(value);
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(CONTENT_LENGTH) => self.framing.take_length(value),
            17 if name.eq_ignore_ascii_case(TRANSFER_ENCODING) => self.framing.take_coding(value),
            14 if folds_to(name, CONTENT_LENGTH) => Err(Fault::FoldedName.into()),
            17 if folds_to(name, TRANSFER_ENCODING) => Err(Fault::FoldedName.into()),
            _ => Ok(()),
        }
    }

    /// Judges the whole.
    ///
    /// # Errors
    /// What the fields say does not fit together, or not the method.
    pub fn judge(&self, version: Version, method: &[u8]) -> Result<(), Rejection> {
        if self.framing.is_ambiguous() {
            return Err(Fault::LengthAndCoding.into());
        }
        // Chunks are of HTTP/1.1 (RFC 9112, section 6.1; RFC 9113, section 8.2.2).
        if self.framing.is_chunked() && version != Version::Http11 {
            return Err(Fault::TransferEncoding.into());
        }
        let length = self.framing.length();
        if version == Version::Http10 && length.is_none() && carries_a_body(method) {
            return Err(Rejection::LengthRequired);
        }
        let has_body = self.framing.is_chunked() || length.is_some_and(|length| length > 0);
        // A websocket begins where a body would (RFC 6455, section 4.1). HTTP/1.0 knows no upgrade and ignores it.
        if self.asks_websocket && version == Version::Http11 && (method != b"GET" || has_body) {
            return Err(Fault::Upgrade.into());
        }
        Ok(())
    }

    /// Where the body ends.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    fn take_host(&mut self, value: &[u8]) -> Result<(), Rejection> {
        // `user@host`: some servers take what stands before the `@` for the host.
        if self.has_host || value.contains(&b'@') {
            return Err(Fault::Authority.into());
        }
        self.has_host = true;
        Ok(())
    }
}

/// The one expectation that there is (RFC 9110, section 10.1.1).
fn expect_continue(value: &[u8]) -> Result<(), Rejection> {
    if value.eq_ignore_ascii_case(b"100-continue") { Ok(()) } else { Err(Rejection::ExpectationFailed) }
}

fn lists_websocket(value: &[u8]) -> bool {
    let protocols = value.split(|byte| matches!(byte, b',' | b'/')).map(<[u8]>::trim_ascii);
    protocols.into_iter().any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// Whether a server that folds names into variables (CGI, WSGI) takes one name for another.
fn folds_to(name: &[u8], other: &[u8]) -> bool {
    let fold = |byte: &u8| if matches!(byte, b'_' | b'.') { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == other.len() && name.iter().map(fold).eq(other.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(version: Version, method: &str, fields: &[(&str, &str)]) -> Result<(), Rejection> {
        let mut seen = Fields::default();
        for (name, value) in fields {
            seen.take(name.as_bytes(), value.as_bytes())?;
        }
        seen.judge(version, method.as_bytes())
    }

    #[test]
    fn honest_heads_pass() {
        for (version, method, fields) in [
            (Version::Http11, "GET", &[("Host", "acme.test"), ("Upgrade", "websocket")][..]),
            (Version::Http11, "GET", &[("Upgrade", "h2c"), ("Content-Length", "0")]),
            (Version::Http11, "POST", &[("Content-Length", "5"), ("Expect", "100-Continue")]),
            (Version::Http11, "POST", &[("Transfer-Encoding", "chunked"), ("Upgrade", "h2c")]),
            (Version::Http11, "POST", &[]),
            (Version::Http10, "GET", &[("Upgrade", "websocket")]),
            (Version::Http10, "POST", &[("Content-Length", "0")]),
            (Version::Http2, "POST", &[]),
            (Version::Http11, "GET", &[("X_Thing", "dropped later"), ("content-lengths", "x")]),
        ] {
            assert_eq!(judge(version, method, fields), Ok(()), "{version:?} {method} {fields:?}");
        }
    }

    #[test]
    fn heads_that_servers_read_differently_are_refused() {
        let bad = |fault: Fault| Rejection::BadRequest(fault);
        for (version, method, fields, rejection) in [
            (Version::Http11, "GET", &[("Host", "a"), ("host", "a")][..], bad(Fault::Authority)),
            (Version::Http11, "GET", &[("Host", "u@a")], bad(Fault::Authority)),
            (
                Version::Http11,
                "POST",
                &[("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
                bad(Fault::LengthAndCoding),
            ),
            (Version::Http10, "POST", &[("Transfer-Encoding", "chunked")], bad(Fault::TransferEncoding)),
            (Version::Http2, "POST", &[("transfer-encoding", "chunked")], bad(Fault::TransferEncoding)),
            (Version::Http10, "POST", &[], Rejection::LengthRequired),
            (Version::Http11, "POST", &[("Transfer_Encoding", "chunked")], bad(Fault::FoldedName)),
            (Version::Http11, "POST", &[("transfer.encoding", "x")], bad(Fault::FoldedName)),
            (Version::Http11, "POST", &[("CONTENT_LENGTH", "5")], bad(Fault::FoldedName)),
            (Version::Http11, "POST", &[("Expect", "200-ok")], Rejection::ExpectationFailed),
            (Version::Http11, "POST", &[("Expect", "100-continue, x")], Rejection::ExpectationFailed),
            (Version::Http11, "POST", &[("Upgrade", "WebSocket")], bad(Fault::Upgrade)),
            (
                Version::Http11,
                "GET",
                &[("Upgrade", "h2c, websocket/13"), ("Content-Length", "5")],
                bad(Fault::Upgrade),
            ),
        ] {
            assert_eq!(judge(version, method, fields), Err(rejection), "{version:?} {method} {fields:?}");
        }
    }
}
