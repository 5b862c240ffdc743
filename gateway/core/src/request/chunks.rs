//! The chunks of a body of HTTP/1.1 (RFC 9112, section 7.1), checked as they pass.

use super::CONTENT_LENGTH_MAX;

/// Most hexadecimal digits of a chunk's size.
const SIZE_DIGITS_MAX: u8 = 16;
/// Longest extension of a chunk, in bytes. Extensions are dropped; a long one is an attack.
const EXTENSION_BYTES_MAX: u8 = 128;
/// Longest trailer section, in bytes. Trailers are dropped.
const TRAILER_BYTES_MAX: u16 = 8 * 1024;

/// The chunks are not well-formed: where the body ends is anybody's guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunks of the body are broken")]
pub struct BrokenChunks;

/// Follows the framing of a body without looking at what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkReader(State);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
        size: u64,
    },
    /// White space or an extension after the size.
    Extension {
        bytes: u8,
        begun: bool,
        size: u64,
    },
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataReturn,
    DataEnd,
    Trailer {
        bytes: u16,
        empty: bool,
    },
    TrailerEnd {
        bytes: u16,
        empty: bool,
    },
    Done,
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self(State::Size { digits: 0, size: 0 })
    }
}

impl ChunkReader {
    /// Takes the next bytes of the body. Bytes after its end are not looked at.
    ///
    /// # Errors
    /// The framing is broken; the reader must not be used again.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), BrokenChunks> {
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first()
            && !self.is_done()
        {
            if let State::Data { left } = self.0 {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                rest = rest.get(here..).unwrap_or_default();
                let left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
                self.0 = if left == 0 { State::DataReturn } else { State::Data { left } };
            } else {
                self.0 = self.0.after(byte).ok_or(BrokenChunks)?;
                rest = tail;
            }
        }
        Ok(())
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0 == State::Done
    }
}

impl State {
    /// The state after one byte of framing.
    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size { digits, size }, _) => after_size(digits, size, byte),
            (Self::Extension { size, .. }, b'\r') => Some(Self::SizeEnd { size }),
            (Self::Extension { bytes, begun, size }, b' ' | b'\t' | b';') => {
                let begun = begun || byte == b';';
                (bytes < EXTENSION_BYTES_MAX).then_some(Self::Extension { bytes: bytes + 1, begun, size })
            }
            (Self::Extension { bytes, begun: true, size }, b'!'..=b'~') => (bytes < EXTENSION_BYTES_MAX)
                .then_some(Self::Extension { bytes: bytes + 1, begun: true, size }),
            (Self::SizeEnd { size: 0 }, b'\n') => Some(Self::Trailer { bytes: 0, empty: true }),
            (Self::SizeEnd { size }, b'\n') => Some(Self::Data { left: size }),
            (Self::DataReturn, b'\r') => Some(Self::DataEnd),
            (Self::DataEnd, b'\n') => Some(Self::Size { digits: 0, size: 0 }),
            (Self::Trailer { bytes, empty }, b'\r') => Some(Self::TrailerEnd { bytes, empty }),
            (Self::Trailer { bytes, .. }, b' '..=b'~' | b'\t' | 0x80..) => {
                (bytes < TRAILER_BYTES_MAX).then_some(Self::Trailer { bytes: bytes + 1, empty: false })
            }
            (Self::TrailerEnd { empty: true, .. }, b'\n') => Some(Self::Done),
            (Self::TrailerEnd { bytes, .. }, b'\n') => Some(Self::Trailer { bytes, empty: true }),
            _ => None,
        }
    }
}

fn after_size(digits: u8, size: u64, byte: u8) -> Option<State> {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b'\r' if digits > 0 => return Some(State::SizeEnd { size }),
        b' ' | b'\t' | b';' if digits > 0 => {
            return Some(State::Extension { bytes: 0, begun: byte == b';', size });
        }
        _ => return None,
    };
    let size = size.checked_mul(16)?.checked_add(u64::from(digit))?;
    (digits < SIZE_DIGITS_MAX && size <= CONTENT_LENGTH_MAX)
        .then_some(State::Size { digits: digits + 1, size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether a body is well-formed and whole, given at once and byte by byte.
    fn whole(body: &[u8]) -> Result<bool, BrokenChunks> {
        let mut at_once = ChunkReader::default();
        let read = at_once.read(body).map(|()| at_once.is_done());
        let mut by_bytes = ChunkReader::default();
        let read_by_bytes =
            body.chunks(1).try_for_each(|byte| by_bytes.read(byte)).map(|()| by_bytes.is_done());
        assert_eq!(read, read_by_bytes, "{}", body.escape_ascii());
        read
    }

    #[test]
    fn well_formed_chunks_pass() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;a=b\r\nhello\r\n0;\r\n\r\n",
            "5 \t;a=\"b c\"\r\nhello\r\n000\r\n\r\n",
            "5  \r\nhello\r\n0\r\n\r\n",
            "A\r\n0\r\n\r\n12345\r\n0\r\nX: y\r\nZ:\r\n\r\n",
            "0\r\n\r\nGET / HTTP/1.1\n\n",
        ] {
            assert_eq!(whole(body.as_bytes()), Ok(true), "{body:?}");
        }
        for body in
            ["", "5", "5\r\nhel", "5\r\nhello\r", "5\r\nhello\r\n", "0\r\n", "0\r\n\r", "0\r\nX: y\r\n"]
        {
            assert_eq!(whole(body.as_bytes()), Ok(false), "{body:?}");
        }
    }

    #[test]
    fn broken_chunks_are_found() {
        let long_extension = format!("5;{}\r\nhello", "a".repeat(200));
        let long_trailer = format!("0\r\n{}\r\n\r\n", "X: y\r\n".repeat(3_000));
        for body in [
            "\r\n\r\n",
            "\r\nhello",
            ";a=b\r\n",
            " 5\r\n",
            "5\nhello\r\n",
            "5\rhello",
            "5\r\nhelloX",
            "5\r\nhello\n0",
            "5\r\nhello\rX",
            "5\r\nhello0\r\n",
            "5;a\nb\r\n",
            "5;a\rb",
            "5 5\r\n",
            "5 a\r\n",
            "+5\r\n",
            "-5\r\n",
            "0x5\r\n",
            "0_5\r\n",
            "g\r\n",
            "5\0\r\n",
            "00000000000000005\r\n",
            "ffffffffffffffff\r\n",
            "10000000001\r\n",
            "0\n\r\n",
            "0\r\n\n",
            "0\r\nX: y\n\r\n",
            "0\r\nX: \0\r\n",
            &long_extension,
            &long_trailer,
        ] {
            assert_eq!(whole(body.as_bytes()), Err(BrokenChunks), "{body:?}");
        }
    }

    /// The data of a chunked body, by another parser; `None` when it is broken or not whole.
    fn decoded(mut body: &[u8]) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            let (at, size) = match httparse::parse_chunk_size(body) {
                Ok(httparse::Status::Complete(found)) => found,
                _ => return None,
            };
            body = &body[at..];
            if size == 0 {
                return Some(data);
            }
            let size = usize::try_from(size).ok()?;
            data.extend_from_slice(body.get(..size)?);
            body = body.get(size..)?.strip_prefix(b"\r\n")?;
        }
    }

    proptest! {
        #[test]
        fn what_passes_means_the_same_to_another_parser(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..5),
            spot in any::<prop::sample::Index>(),
            byte in prop::option::of(prop::sample::select(b"\r\n0159afF;+-_x \0".to_vec())),
            cut in any::<bool>(),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(whole(&body), Ok(true));
            prop_assert_eq!(decoded(&body), Some(chunks.concat()));
            let at = spot.index(body.len());
            match byte {
                Some(byte) => body[at] = byte,
                None if cut => { body.remove(at); }
                None => body.insert(at, b'\n'),
            }
            if whole(&body) == Ok(true) {
                prop_assert!(decoded(&body).is_some(), "{}", body.escape_ascii());
            }
        }
    }
}
