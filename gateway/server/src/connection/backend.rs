//! A backend's connection, as Pingora uses it.

use super::Transport;
use super::transport::socket_of;
use async_trait::async_trait;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};

/// Head and body of a small request leave in one record; larger writes go past the buffer.
const WRITE_BUFFER_BYTES: usize = 2_048;

/// A connection to a backend that was not made by Pingora.
#[derive(Debug)]
pub struct BackendStream {
    inner: BufWriter<Transport>,
    digest: Arc<SocketDigest>,
}

impl BackendStream {
    /// Wraps a connection to an address.
    #[must_use]
    pub fn new(transport: Transport, address: SocketAddr) -> Self {
        let digest = SocketDigest::from_raw_fd(socket_of(&transport).as_raw_fd());
        // The cell is new, so it takes the value.
        let _set = digest.peer_addr.set(Some(PeerAddr::Inet(address)));
        Self { inner: BufWriter::with_capacity(WRITE_BUFFER_BYTES, transport), digest: Arc::new(digest) }
    }
}

impl AsyncRead for BackendStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for BackendStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for BackendStream {
    async fn shutdown(&mut self) {
        // A backend that is gone needs no goodbye.
        let _gone = AsyncWriteExt::shutdown(&mut self.inner).await;
    }
}

impl UniqueID for BackendStream {
    fn id(&self) -> i32 {
        socket_of(self.inner.get_ref()).as_raw_fd()
    }
}

impl GetTimingDigest for BackendStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for BackendStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for BackendStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl Ssl for BackendStream {}

impl Peek for BackendStream {}
