//! A backend that plays what a test wrote, for what neither the stand-in Odoo nor any of its faults does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// `Sec-WebSocket-Accept` for the key of RFC 6455, section 1.3, which [`HANDSHAKE_KEY`] is.
pub(crate) const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// The key of RFC 6455, section 1.3.
pub(crate) const HANDSHAKE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A server on a loopback port. Dropping it cuts every connection.
#[derive(Debug)]
pub(crate) struct Script {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Script {
    /// Plays `part` on every connection, once the head of a request was read, and closes after it.
    pub(crate) async fn start<P, F>(part: P) -> Self
    where
        P: Fn(TcpStream, String) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let part = Arc::new(part);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let part = Arc::clone(&part);
                connections.spawn(async move {
                    let head = read_head(&mut stream).await?;
                    part(stream, head).await
                });
            }
        });
        Self { address, task }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A handshake as a browser writes it, with the key of [`HANDSHAKE_KEY`].
pub(crate) fn handshake(host: &str, path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nUpgrade: websocket\r\n\
         Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {HANDSHAKE_KEY}\r\n\
         {more}\r\n"
    )
}

/// Reads until the other side closes.
pub(crate) async fn hold(mut stream: TcpStream) -> io::Result<()> {
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}
