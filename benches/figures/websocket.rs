//! Websockets with as little memory and work as possible on this side.

use crate::Failure;
use crate::answer::Incoming;
use crate::fleet::host;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Websockets that are being opened at once.
const OPENING: u32 = 50;
/// First byte of a whole text message (RFC 6455, section 5.2).
const TEXT: u8 = 0x81;
/// First byte of a close frame.
const CLOSE: u8 = 0x88;
/// Second byte of a frame: the payload is masked, as that of a client is.
const MASKED: u8 = 0x80;

/// An open websocket that was greeted by the backend.
#[derive(Debug)]
pub(crate) struct Websocket {
    stream: TcpStream,
}

impl Websocket {
    /// Opens a websocket of a tenant and reads the greeting.
    pub(crate) async fn open(server: SocketAddr, tenant: u32) -> io::Result<Self> {
        timeout(PATIENCE, Self::handshake(server, tenant)).await?
    }

    async fn handshake(server: SocketAddr, tenant: u32) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let host = host(tenant);
        let request = format!(
            "GET /websocket?version=19.0-2 HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut incoming = Incoming::new();
        let answer = incoming.answer(&mut stream).await?;
        if answer.status != 101 {
            return Err(io::Error::other(format!("a websocket was answered {}", answer.status)));
        }
        incoming.forget(&answer);
        let greeting = message(&mut incoming.into_rest().as_slice().chain(&mut stream)).await?;
        if greeting.windows(5).any(|window| window == b"hello") {
            Ok(Self { stream })
        } else {
            Err(io::Error::other("a websocket was not greeted"))
        }
    }

    /// Waits until the server closes it, with or without a close frame.
    pub(crate) async fn until_closed(mut self) {
        let mut bytes = [0; 512];
        while self.stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
            if bytes.first() == Some(&CLOSE) {
                return;
            }
        }
    }

    /// Sends a text of less than 126 bytes and waits until it comes back.
    pub(crate) async fn echo(&mut self, text: &str) -> io::Result<()> {
        timeout(PATIENCE, self.exchange(text)).await?
    }

    async fn exchange(&mut self, text: &str) -> io::Result<()> {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 126);
        let length = length.ok_or_else(|| io::Error::other("too long for a small frame"))?;
        // A mask of zeros leaves the payload as it is.
        let frame = [&[TEXT, MASKED | length, 0, 0, 0, 0], text.as_bytes()].concat();
        self.stream.write_all(&frame).await?;
        let echo = message(&mut self.stream).await?;
        if echo.windows(text.len().max(1)).any(|window| window == text.as_bytes()) {
            Ok(())
        } else {
            Err(io::Error::other("a websocket gave another message back"))
        }
    }
}

/// Reads one small text message of a server.
async fn message(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let (first, length) = (stream.read_u8().await?, stream.read_u8().await?);
    if first != TEXT {
        return Err(io::Error::other(format!("a frame that begins with {first:#x}, not a text")));
    }
    let length = match length {
        0..126 => u16::from(length),
        126 => stream.read_u16().await?,
        _ => return Err(io::Error::other("a message larger than any of the stand-in Odoo")),
    };
    let mut payload = vec![0; usize::from(length)];
    stream.read_exact(&mut payload).await?;
    Ok(payload)
}

/// Opens many websockets, spread over the tenants.
pub(crate) async fn open_many(
    server: SocketAddr,
    count: u32,
    tenants: u32,
) -> Result<Vec<Websocket>, Failure> {
    let mut opening = JoinSet::new();
    for first in 0..OPENING {
        opening.spawn(async move {
            let mut opened = Vec::new();
            for number in (first..count).step_by(usize::try_from(OPENING).unwrap_or(1)) {
                opened.push(Websocket::open(server, number % tenants).await?);
            }
            io::Result::Ok(opened)
        });
    }
    let mut sockets = Vec::with_capacity(usize::try_from(count)?);
    while let Some(opened) = opening.join_next().await {
        sockets.extend(opened??);
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_and_middle_messages_are_read() {
        let long = "x".repeat(300);
        let bytes = [&b"\x81\x02hi\x81\x7e\x01\x2c"[..], long.as_bytes(), b"\x88\x00"].concat();
        let mut stream = bytes.as_slice();
        assert_eq!(message(&mut stream).await.unwrap(), b"hi");
        assert_eq!(message(&mut stream).await.unwrap(), long.as_bytes());
        assert!(message(&mut stream).await.is_err());
    }
}
