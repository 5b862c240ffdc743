//! Reading one HTTP/1 answer at a time from a connection.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

const READ_BYTES: usize = 16 * 1024;
const HEADER_LINES_MAX: usize = 64;

/// What a load looks at in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the connection serves another request.
    pub(crate) keep: bool,
    head_bytes: usize,
    body_bytes: usize,
}

/// Bytes of a connection that were read but not used.
#[derive(Debug)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(READ_BYTES) }
    }

    /// Reads until an answer is whole; its body is then what [`body`](Self::body) returns until the next call.
    ///
    /// # Errors
    /// The connection ends or breaks before, or the answer is not one with a length.
    pub(crate) async fn answer(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Answer> {
        loop {
            if let Some(answer) = parse(&self.bytes)? {
                let whole = answer.head_bytes + answer.body_bytes;
                if self.bytes.len() >= whole {
                    return Ok(answer);
                }
            }
            if stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The body of the answer that was read last.
    pub(crate) fn body(&self, answer: &Answer) -> &[u8] {
        self.bytes.get(answer.head_bytes..answer.head_bytes + answer.body_bytes).unwrap_or_default()
    }

    /// Forgets an answer; what came after it stays.
    pub(crate) fn forget(&mut self, answer: &Answer) {
        let whole = (answer.head_bytes + answer.body_bytes).min(self.bytes.len());
        self.bytes.drain(..whole);
    }

    /// Whether nothing is left over.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Everything that is left over.
    pub(crate) fn into_rest(self) -> Vec<u8> {
        self.bytes
    }
}

fn parse(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let mut lines = [httparse::EMPTY_HEADER; HEADER_LINES_MAX];
    let mut head = httparse::Response::new(&mut lines);
    let head_bytes = match head.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Complete(head_bytes) => head_bytes,
        httparse::Status::Partial => return Ok(None),
    };
    let value = |name: &str| {
        let mut named = head.headers.iter().filter(|line| line.name.eq_ignore_ascii_case(name));
        named.next().and_then(|line| core::str::from_utf8(line.value).ok())
    };
    let status = head.code.unwrap_or_default();
    let body_bytes = match value("content-length").map(str::parse) {
        Some(Ok(length)) => length,
        None if status == 101 => 0,
        Some(Err(_)) | None => return Err(io::Error::other("an answer without a length")),
    };
    let keep = head.version == Some(1)
        && !value("connection").is_some_and(|connection| connection.eq_ignore_ascii_case("close"));
    Ok(Some(Answer { status, keep, head_bytes, body_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_read_one_by_one() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 503 No\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n";
        let (mut stream, mut incoming) = (&text[..], Incoming::new());
        let first = incoming.answer(&mut stream).await.unwrap();
        assert_eq!((first.status, first.keep, incoming.body(&first)), (200, true, &b"hi"[..]));
        incoming.forget(&first);
        let second = incoming.answer(&mut stream).await.unwrap();
        assert_eq!((second.status, second.keep), (503, false));
        incoming.forget(&second);
        assert!(incoming.is_empty());
        assert!(incoming.answer(&mut stream).await.is_err());
    }
}
