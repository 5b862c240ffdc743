//! HTTP/2 in frames, for what no library would send.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::connection::in_time;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Bytes of a frame's head (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;

/// What a stream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramesOutcome {
    /// With a head of the answer: whether its status is 200.
    Answered {
        /// The status is 200.
        ok: bool,
    },
    /// The stream was reset.
    Reset,
    /// The connection ended, or all was seen and nothing said.
    Gone,
}

/// One request as HTTP/2 frames on a connection of its own.
#[derive(Clone, Debug)]
pub struct Frames(Vec<u8>);

impl Frames {
    /// The fields of a request in the plainest form of HPACK, with `data` in frames of which the marked ones end the
    /// stream; without data, the fields end it.
    pub fn request(fields: &[(&str, &str)], data: &[(&str, bool)]) -> Self {
        let flags = if data.is_empty() { END_HEADERS | END_STREAM } else { END_HEADERS };
        let mut frames = head(flags, fields);
        for (part, last) in data {
            frames.extend(frame(DATA, u8::from(*last), 1, part.as_bytes()));
        }
        Self(frames)
    }

    /// A part of a request, taken back.
    pub fn cut_off(fields: &[(&str, &str)], data: &str) -> Self {
        const CANCEL: [u8; 4] = [0, 0, 0, 8];
        let mut frames = head(END_HEADERS, fields);
        frames.extend(frame(DATA, 0, 1, data.as_bytes()));
        frames.extend(frame(RST_STREAM, 0, 1, &CANCEL));
        // The acknowledgement comes after everything before it was seen.
        frames.extend(frame(PING, 0, 0, b"are-you-"));
        Self(frames)
    }

    /// Sends them and says what became of the request. Panics when it is neither answered nor ended in time.
    pub async fn outcome(&self, address: SocketAddr) -> FramesOutcome {
        match in_time("an answer or an end", self.send(address)).await {
            Ok(outcome) => outcome,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => panic!("{error}"),
            Err(_) => FramesOutcome::Gone,
        }
    }

    async fn send(&self, address: SocketAddr) -> io::Result<FramesOutcome> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, b""));
        bytes.extend_from_slice(&self.0);
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&bytes).await?;
        loop {
            let mut head = [0; HEAD_BYTES];
            stream.read_exact(&mut head).await?;
            let [high, middle, low, kind, ..] = head;
            let length =
                usize::try_from(u32::from_be_bytes([0, high, middle, low])).map_err(io::Error::other)?;
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await?;
            match kind {
                // 0x88 is `:status: 200` in the static table.
                HEADERS => return Ok(FramesOutcome::Answered { ok: payload.first() == Some(&0x88) }),
                RST_STREAM => return Ok(FramesOutcome::Reset),
                GOAWAY | PING => return Ok(FramesOutcome::Gone),
                _ => {}
            }
        }
    }
}

fn head(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    frame(HEADERS, flags, 1, &fields)
}

/// A field that is neither indexed nor compressed (RFC 7541, section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = Vec::new();
        match u8::try_from(text.len()) {
            Ok(short @ ..127) => bytes.push(short),
            _ => {
                bytes.push(127);
                let mut rest = text.len() - 127;
                while let Ok(continued) = u8::try_from((rest % 128) | 128)
                    && rest >= 128
                {
                    bytes.push(continued);
                    rest /= 128;
                }
                bytes.extend(u8::try_from(rest));
            }
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    [vec![0], text(name), text(value)].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[high, middle, low, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}
