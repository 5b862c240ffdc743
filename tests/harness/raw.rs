//! Exact bytes to the wire and exact bytes back, for what no library would send.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::connection::{connect, in_time};

/// A TCP connection without a protocol.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl RawConnection {
    /// Connects.
    ///
    /// # Errors
    /// When the connection is refused or does not come in time.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: connect(address).await?, received: Vec::new() })
    }

    /// Connects from one of our own addresses, such as one of 127.0.0.0/8.
    ///
    /// # Errors
    /// When the address cannot be used, the connection is refused or does not come in time.
    pub async fn open_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind((source, 0).into())?;
        let stream = in_time("a connection", socket.connect(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends bytes and keeps the connection open.
    ///
    /// # Errors
    /// When the other side is gone.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Tells the other side that no more bytes follow; reading goes on.
    ///
    /// # Errors
    /// When the other side is gone.
    pub async fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Everything received until some bytes appear in it, from the start of the connection.
    ///
    /// # Errors
    /// When the connection ends before, with what was received in the text, or they do not come in time.
    pub async fn read_until(&mut self, end: impl AsRef<[u8]>) -> io::Result<&[u8]> {
        let end = end.as_ref();
        while !self.received.windows(end.len().max(1)).any(|window| window == end) {
            if self.read_some().await? == 0 {
                let text = String::from_utf8_lossy(&self.received).into_owned();
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the connection ended after: {text}"),
                ));
            }
        }
        Ok(&self.received)
    }

    /// Everything received until the other side closes, from the start of the connection.
    ///
    /// # Errors
    /// When the connection is reset or not closed in time.
    pub async fn read_to_end(&mut self) -> io::Result<&[u8]> {
        while self.read_some().await? > 0 {}
        Ok(&self.received)
    }

    /// Forgets what was received, to look only at what comes next.
    pub fn forget(&mut self) {
        self.received.clear();
    }

    /// Reads what comes next, at least a byte; 0 once the other side has closed.
    ///
    /// # Errors
    /// When the connection is reset or nothing comes in time.
    pub async fn read_some(&mut self) -> io::Result<usize> {
        in_time("more bytes or the end of the connection", self.stream.read_buf(&mut self.received)).await
    }
}

/// Sends exact bytes on a connection of its own, and returns all bytes until the other side closes. Send
/// `Connection: close`, or have the server find a reason to close.
///
/// # Errors
/// When there is no connection, it is reset, or it is not closed in time.
pub async fn raw_exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> io::Result<Vec<u8>> {
    let mut connection = RawConnection::open(address).await?;
    connection.send(bytes).await?;
    connection.read_to_end().await.map(<[u8]>::to_vec)
}
