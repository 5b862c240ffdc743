//! Request ids and W3C trace context.

use uuid::Uuid;

/// Bytes of a `traceparent` of version 00 (W3C Trace Context, section 3.2).
const TRACEPARENT_BYTES: usize = 55;
/// Longest request id that is taken over from a trusted proxy.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Name of a request in logs, in the answer, and at Odoo.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// Takes over the id of a trusted proxy if it is a plain token, else makes one that sorts by time (UUIDv7).
    #[must_use]
    pub fn new(inbound: Option<&[u8]>) -> Self {
        let plain = |id: &&str| {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(token)
        };
        let inbound = inbound.and_then(|id| std::str::from_utf8(id).ok()).filter(plain);
        inbound.map_or_else(Self::generate, |id| Self(id.into()))
    }

    fn generate() -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text: &str = Uuid::now_v7().hyphenated().encode_lower(&mut text);
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The trace id of a well-formed `traceparent`; `None` when the header must not be passed on.
#[must_use]
pub fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(traceparent).ok()?;
    let mut fields = text.split('-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let hex = |field: &str, len: usize| {
        field.len() == len && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let shaped = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let known = version != "ff" && (version != "00" || text.len() == TRACEPARENT_BYTES);
    let set = trace.bytes().any(|byte| byte != b'0') && parent.bytes().any(|byte| byte != b'0');
    (shaped && known && set).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_are_taken_over() {
        assert_eq!(RequestId::new(Some(b"abc-123")).as_str(), "abc-123");
        for id in [&b"a b"[..], b"", b"a\"b", b"\xff", &[b'a'; 65]] {
            assert_eq!(RequestId::new(Some(id)).as_str().len(), 36);
        }
    }

    #[test]
    fn a_trace_parent_is_well_formed_or_dropped() {
        let good = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(good), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in [
            &b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"[..],
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            b"00-short-x-01",
            b"",
        ] {
            assert_eq!(trace_id(bad), None);
        }
    }
}
