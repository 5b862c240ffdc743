//! The body of a request: its framing, its digest, and as much of it as RPC needs.

use bytes::{Buf, Bytes, BytesMut};

use super::head::Head;

/// How much of a body is kept for RPC; the rest is only counted and hashed.
pub(crate) const BODY_KEPT_MAX: usize = 4 * 1024 * 1024;
const BODY_START_MAX: usize = 4 * 1024;
const CHUNK_LINE_MAX: usize = 8 * 1024;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The framing is ambiguous or broken: two lengths, a length and chunks, or a chunk size that is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FramingError;

/// A body as it was read.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
    pub(crate) kept: BytesMut,
    /// True once the end of the body was read.
    pub(crate) complete: bool,
    rest: Rest,
}

#[derive(Debug, PartialEq, Eq)]
enum Rest {
    Bytes(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
}

impl Body {
    /// An empty body in the framing that the head announces. RFC 9112, section 6.
    pub(crate) fn announced(head: &Head) -> Result<Self, FramingError> {
        let coding = head.joined("transfer-encoding");
        let length = head.joined("content-length");
        let rest = match (coding, length) {
            (Some(_), Some(_)) => return Err(FramingError),
            (Some(coding), None) if coding.trim().eq_ignore_ascii_case("chunked") => Rest::ChunkSize,
            (Some(_), None) => return Err(FramingError),
            (None, Some(length)) => Rest::Bytes(parse_digits(length.trim(), 10)?),
            (None, None) => Rest::Bytes(0),
        };
        let complete = rest == Rest::Bytes(0);
        Ok(Self { bytes: 0, hash: FNV_OFFSET, kept: BytesMut::new(), complete, rest })
    }

    /// The first bytes, at most 4 KiB.
    pub(crate) fn start(&self) -> Bytes {
        Bytes::copy_from_slice(self.kept.get(..BODY_START_MAX).unwrap_or(&self.kept))
    }

    /// Takes what belongs to this body from the front of `buffer`. More bytes are needed until `complete`.
    pub(crate) fn take(&mut self, buffer: &mut BytesMut) -> Result<(), FramingError> {
        while !self.complete {
            let advanced = match self.rest {
                Rest::Bytes(left) => {
                    let left = left - self.absorb(buffer, left);
                    self.rest = Rest::Bytes(left);
                    self.complete = left == 0;
                    self.complete
                }
                Rest::Chunk(left) => {
                    let left = left - self.absorb(buffer, left);
                    self.rest = if left == 0 { Rest::ChunkEnd } else { Rest::Chunk(left) };
                    left == 0
                }
                Rest::ChunkSize | Rest::ChunkEnd | Rest::Trailers => match take_line(buffer)? {
                    Some(line) => {
                        self.step(&line)?;
                        true
                    }
                    None => false,
                },
            };
            if !advanced {
                return Ok(());
            }
        }
        Ok(())
    }

    fn step(&mut self, line: &[u8]) -> Result<(), FramingError> {
        self.rest = match self.rest {
            Rest::ChunkSize => {
                let line = std::str::from_utf8(line).map_err(|_| FramingError)?;
                match parse_digits(line.split(';').next().unwrap_or_default().trim(), 16)? {
                    0 => Rest::Trailers,
                    size => Rest::Chunk(size),
                }
            }
            Rest::ChunkEnd if line.is_empty() => Rest::ChunkSize,
            Rest::ChunkEnd | Rest::Bytes(_) | Rest::Chunk(_) => return Err(FramingError),
            Rest::Trailers => {
                self.complete = line.is_empty();
                Rest::Trailers
            }
        };
        Ok(())
    }

    fn absorb(&mut self, buffer: &mut BytesMut, max: u64) -> u64 {
        let take = usize::try_from(max).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get(..take).unwrap_or_default();
        self.hash = fnv1a(self.hash, part);
        let room = BODY_KEPT_MAX - self.kept.len();
        self.kept.extend_from_slice(part.get(..room).unwrap_or(part));
        buffer.advance(take);
        let taken = u64::try_from(take).unwrap_or(u64::MAX);
        self.bytes += taken;
        taken
    }
}

/// FNV-1a over 64 bits, continued from `hash`.
fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

fn take_line(buffer: &mut BytesMut) -> Result<Option<BytesMut>, FramingError> {
    let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") else {
        return if buffer.len() > CHUNK_LINE_MAX { Err(FramingError) } else { Ok(None) };
    };
    let line = buffer.split_to(end);
    buffer.advance(2);
    Ok(Some(line))
}

// Stricter than the parser of the standard library, which takes a leading plus.
fn parse_digits(text: &str, radix: u32) -> Result<u64, FramingError> {
    if !text.chars().all(|digit| digit.is_digit(radix)) {
        return Err(FramingError);
    }
    u64::from_str_radix(text, radix).map_err(|_| FramingError)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{Body, FramingError};
    use crate::odoo::head::Head;

    fn body(headers: &str) -> Result<Body, FramingError> {
        let mut bytes = BytesMut::from(format!("POST / HTTP/1.1\r\n{headers}\r\n").as_str());
        Body::announced(&Head::take(&mut bytes).unwrap().unwrap())
    }

    #[test]
    fn chunks_that_arrive_byte_by_byte_are_joined() {
        let mut body = body("Transfer-Encoding: chunked\r\n").unwrap();
        let mut buffer = BytesMut::new();
        for byte in b"4;x=y\r\nWiki\r\n5\r\npedia\r\n0\r\nTrailer: t\r\n\r\nNEXT" {
            buffer.extend_from_slice(&[*byte]);
            body.take(&mut buffer).unwrap();
        }
        assert!(body.complete);
        assert_eq!((&body.kept[..], body.bytes), (&b"Wikipedia"[..], 9));
        assert_eq!(&buffer[..], b"NEXT");
    }

    #[test]
    fn length_leaves_the_next_request_in_the_buffer() {
        let mut body = body("Content-Length: 3\r\n").unwrap();
        let mut buffer = BytesMut::from("abcGET /");
        body.take(&mut buffer).unwrap();
        assert!(body.complete);
        assert_eq!(&buffer[..], b"GET /");
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for headers in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: +3\r\n",
            "Transfer-Encoding: xchunked\r\n",
        ] {
            assert_eq!(body(headers).unwrap_err(), FramingError, "{headers}");
        }
    }

    #[test]
    fn hash_is_fnv_1a() {
        let mut body = body("Content-Length: 6\r\n").unwrap();
        body.take(&mut BytesMut::from("foobar")).unwrap();
        assert_eq!(body.hash, 0x8594_4171_f739_67e8);
    }
}
