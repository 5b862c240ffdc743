//! A client's connection, as Pingora and the websocket tunnel use it.

use async_trait::async_trait;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::net::TcpStream;

/// Idle time after which a connection that a client keeps open is closed, in seconds.
pub const KEEPALIVE_SECONDS: u64 = 75;
/// Head and body of a small answer leave in one packet; larger writes go past the buffer.
const WRITE_BUFFER_BYTES: usize = 2_048;

/// A client's TCP connection.
///
/// Reads are not buffered, because Pingora reads into a buffer of its own; writes are, so that a small answer is
/// one system call. Pingora's own stream keeps 64 KiB per connection for this.
#[derive(Debug)]
pub struct ClientStream {
    inner: BufWriter<TcpStream>,
    http2: bool,
    digest: Arc<SocketDigest>,
}

impl ClientStream {
    /// Wraps an accepted connection. `http2` says that the client spoke HTTP/2's preface.
    #[must_use]
    pub fn new(stream: TcpStream, peer: SocketAddr, http2: bool) -> Self {
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        // The cell is new, so it takes the value.
        let _set = digest.peer_addr.set(Some(PeerAddr::Inet(peer)));
        Self { inner: BufWriter::with_capacity(WRITE_BUFFER_BYTES, stream), http2, digest: Arc::new(digest) }
    }

    /// The bare connection, once everything is written.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn into_tcp(mut self) -> io::Result<TcpStream> {
        self.inner.flush().await?;
        Ok(self.inner.into_inner())
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // A client that is gone needs no goodbye.
        let _gone = AsyncWriteExt::shutdown(&mut self.inner).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> i32 {
        self.inner.get_ref().as_raw_fd()
    }
}

impl Ssl for ClientStream {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.http2.then_some(ALPN::H2)
    }
}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl Peek for ClientStream {}
