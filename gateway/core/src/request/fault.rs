//! What is wrong with a request.

/// Why a request is malformed: the `reason` of `bad_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The request line is not a method, a target and a version, with one space between.
    #[error("the request line is malformed")]
    RequestLine,
    /// A line of the head ends with a line feed alone.
    #[error("a line ends with a line feed alone")]
    LineEnd,
    /// A line of the head begins with white space: a field over two lines, for some servers.
    #[error("a field is folded over two lines")]
    FoldedLine,
    /// The name of a field is empty, or holds a byte that no name may hold, or there is no colon.
    #[error("the name of a field is malformed")]
    FieldName,
    /// The value of a field holds a control byte.
    #[error("the value of a field holds a control byte")]
    FieldValue,
    /// A name that servers may take for `Content-Length` or `Transfer-Encoding`: `_` or `.` for `-`.
    #[error("the name of a field is a disguise of one that frames the body")]
    FoldedName,
    /// The target is neither a path nor an HTTP URL.
    #[error("the target is neither a path nor an HTTP URL")]
    TargetForm,
    /// The target holds a byte that a client must encode: a space, a control, `#`, or one beyond ASCII.
    #[error("the target holds a byte that must be percent-encoded")]
    TargetByte,
    /// A `%` of the path is not followed by two hexadecimal digits.
    #[error("a `%` of the path begins no percent-encoded byte")]
    Escape,
    /// A segment of the path is `.` or `..`, encoded or not.
    #[error("a segment of the path is `.` or `..`")]
    DotSegment,
    /// `%2F` in the path: a slash for some servers, and a part of a segment for others.
    #[error("the path holds an encoded slash")]
    EncodedSlash,
    /// A backslash in the path, encoded or not: a slash for some servers.
    #[error("the path holds a backslash")]
    Backslash,
    /// An encoded control byte in the path.
    #[error("the path holds an encoded control byte")]
    Control,
    /// `Host` stands more than once, or contradicts the authority of the target.
    #[error("the request names more than one authority")]
    Authority,
    /// `Content-Length` is no number, or stands more than once.
    #[error("the length of the body is ambiguous")]
    ContentLength,
    /// The body comes in a coding other than `chunked`.
    #[error("the body comes in a transfer coding other than chunks")]
    TransferEncoding,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("the body has both a length and a transfer coding")]
    LengthAndCoding,
    /// An upgrade to a websocket by another method than GET, or with a body.
    #[error("an upgrade to a websocket must be a GET without a body")]
    Upgrade,
    /// `Connection` names a field that every request needs, no field, or too many.
    #[error("the Connection field names what cannot be left out")]
    Connection,
    /// The chunks of the body are broken.
    #[error("the chunks of the body are broken")]
    Chunks,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    Body,
}

impl Fault {
    /// One of each, for documents and tests.
    pub const ALL: [Self; 21] = [
        Self::RequestLine,
        Self::LineEnd,
        Self::FoldedLine,
        Self::FieldName,
        Self::FieldValue,
        Self::FoldedName,
        Self::TargetForm,
        Self::TargetByte,
        Self::Escape,
        Self::DotSegment,
        Self::EncodedSlash,
        Self::Backslash,
        Self::Control,
        Self::Authority,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::LengthAndCoding,
        Self::Upgrade,
        Self::Connection,
        Self::Chunks,
        Self::Body,
    ];

    /// Name in logs and documents; never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::LineEnd => "line_end",
            Self::FoldedLine => "folded_line",
            Self::FieldName => "field_name",
            Self::FieldValue => "field_value",
            Self::FoldedName => "folded_name",
            Self::TargetForm => "target_form",
            Self::TargetByte => "target_byte",
            Self::Escape => "escape",
            Self::DotSegment => "dot_segment",
            Self::EncodedSlash => "encoded_slash",
            Self::Backslash => "backslash",
            Self::Control => "control_byte",
            Self::Authority => "authority",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::LengthAndCoding => "length_and_coding",
            Self::Upgrade => "upgrade",
            Self::Connection => "connection",
            Self::Chunks => "chunks",
            Self::Body => "body",
        }
    }
}
