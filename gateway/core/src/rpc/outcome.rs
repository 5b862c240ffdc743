//! What becomes of a call.

use super::answer::RpcAnswer;
use crate::guard::Guard;
use core::ops::Range;

/// What becomes of a call once its body is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RpcOutcome {
    /// It goes to Odoo.
    Forward {
        /// What must be replaced in the body on the way, when the client used the alias.
        replace: Option<Replacement>,
    },
    /// It is answered here, in the protocol of the client.
    Answer(RpcAnswer),
    /// It cannot be decided, so nobody gets it.
    Refuse(RpcRefusal),
    /// Its body is for what a guard keeps from clients, whatever the path.
    Guarded(Guard),
}

/// Bytes of a body that are replaced by others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Which bytes, counted from the start of the body.
    pub range: Range<u64>,
    /// What stands there instead; ready to be copied, nothing must be escaped any more.
    pub bytes: Box<[u8]>,
}

/// Why a call is denied. Clients are all told the same; logs tell the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// It names a database that is not the tenant's, or none.
    Database,
    /// It is for a service or method that is not open to tenants.
    Method,
    /// Its model or method is on the tenant's own list.
    Listed,
}

impl Denial {
    /// Name in logs and metrics; never changes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Method => "method",
            Self::Listed => "listed",
        }
    }
}

/// Why a call cannot be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RpcRefusal {
    /// `Content-Encoding`: Odoo does not decode it, so nobody can mean it.
    #[error("the body must not be compressed")]
    ContentEncoding,
    /// `Content-Type` of a JSON route is not JSON, as Odoo itself demands.
    #[error("the Content-Type must be application/json")]
    ContentType,
    /// An XML document in another encoding than UTF-8, US-ASCII or ISO-8859-1, where ASCII is not ASCII.
    #[error("the XML must be encoded in UTF-8")]
    Charset,
    /// JSON that is no UTF-8, or that begins with a byte order mark.
    #[error("the JSON must be UTF-8 without a byte order mark")]
    Utf8,
    /// A document type, or an entity that only one could define.
    #[error("the XML must have no document type and no entities of its own")]
    Doctype,
    /// The document ends early, goes on after its end, or breaks its grammar.
    #[error("the body is malformed")]
    Malformed,
    /// Well-formed, but not the one shape of a call that everybody reads alike.
    #[error("the body is no call as the protocol defines it")]
    Shape,
    /// A key stands twice where the database is named: readers differ in which one counts.
    #[error("a key of the JSON stands there twice")]
    DuplicateKey,
    /// Nested deeper than any honest call.
    #[error("the body is nested too deeply")]
    Depth,
    /// A call of a service on a path that is no route of calls.
    #[error("calls are not taken on this path")]
    Stray,
    /// A tag with too many attributes, too many keys, or a name that is too long.
    #[error("a name, a tag or a list of keys in the body is too long")]
    Length,
}

impl RpcRefusal {
    /// One of each, for documents and tests.
    pub const ALL: [Self; 11] = [
        Self::ContentEncoding,
        Self::ContentType,
        Self::Charset,
        Self::Utf8,
        Self::Doctype,
        Self::Malformed,
        Self::Shape,
        Self::DuplicateKey,
        Self::Depth,
        Self::Stray,
        Self::Length,
    ];

    /// Name in logs and metrics; never changes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ContentEncoding => "content_encoding",
            Self::ContentType => "content_type",
            Self::Charset => "charset",
            Self::Utf8 => "utf8",
            Self::Doctype => "doctype",
            Self::Malformed => "malformed",
            Self::Shape => "shape",
            Self::DuplicateKey => "duplicate_key",
            Self::Depth => "depth",
            Self::Stray => "stray",
            Self::Length => "length",
        }
    }

    /// Whether the encoding of the body is to blame (415), and not what it says (400).
    #[must_use]
    pub const fn is_about_media(self) -> bool {
        matches!(self, Self::ContentEncoding | Self::ContentType | Self::Charset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<&str> = RpcRefusal::ALL.iter().map(|refusal| refusal.code()).collect();
        codes.extend([Denial::Database, Denial::Method, Denial::Listed].map(Denial::code));
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}
