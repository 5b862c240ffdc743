//! Connections as Pingora and the websocket tunnel use them: those of clients, and those of backends.

mod backend;
mod client_certificate;
mod gate;
mod transport;

pub use backend::BackendStream;
pub use client_certificate::ClientCertificate;
pub use transport::Transport;

use async_trait::async_trait;
use fleetgate_core::host::HostKey;
use fleetgate_core::rejection::Rejection;
use gate::Gate;
use pingora::http::ResponseHeader;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::time::timeout;

/// Idle time after which a connection that a client keeps open is closed, in seconds.
pub const KEEPALIVE_SECONDS: u64 = 75;
/// Head and body of a small answer leave in one packet; larger writes go past the buffer.
const WRITE_BUFFER_BYTES: usize = 2_048;
/// For the rest of a request that was refused, before its connection is closed for good.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes read at a time while lingering.
const LINGER_BYTES: usize = 4_096;

/// A client's TCP connection.
///
/// Reads are not buffered, because Pingora reads into a buffer of its own; writes are, so that a small answer is
/// one system call. Pingora's own stream keeps 64 KiB per connection for this.
#[derive(Debug)]
pub struct ClientStream {
    inner: BufWriter<Transport>,
    /// Checks what a client of HTTP/1 sends; frames of HTTP/2 are checked by who reads them.
    gate: Option<Gate>,
    digest: Arc<SocketDigest>,
    origin: Arc<ProxyDigest>,
}

/// What is known of a connection before its first request.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The name that the client asked for in its TLS handshake; `None` without TLS.
    pub server_name: Option<HostKey>,
    /// Whether the connection came through TLS.
    pub tls: bool,
    /// Whether the client was asked for a certificate in its handshake.
    pub asked_certificate: bool,
    /// The certificate that it has shown, whatever it is worth.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Whether its listener sends requests on to `https://`.
    pub redirect_to_https: bool,
}

impl Origin {
    /// What is known of the connection of a session. Pingora hands it to each session as data of its own.
    #[must_use]
    pub fn of(digest: Option<&Digest>) -> Option<&Self> {
        digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }
}

impl ClientStream {
    /// Wraps an accepted connection. `http2` says that the client speaks HTTP/2.
    ///
    /// # Errors
    /// Never in practice: Pingora refuses a status of its own.
    pub fn new(stream: Transport, peer: SocketAddr, http2: bool, origin: Origin) -> pingora::Result<Self> {
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        let origin = ProxyDigest::new(Box::new(ResponseHeader::build(200, None)?), Some(Box::new(origin)));
        // The cell is new, so it takes the value.
        let _set = digest.peer_addr.set(Some(PeerAddr::Inet(peer)));
        Ok(Self {
            inner: BufWriter::with_capacity(WRITE_BUFFER_BYTES, stream),
            gate: (!http2).then(Gate::default),
            digest: Arc::new(digest),
            origin: Arc::new(origin),
        })
    }

    /// Expects the head of a further request next.
    pub fn await_request(&mut self) {
        self.gate = self.gate.take().map(|_| Gate::default());
    }

    /// Why the request that Pingora reads from here must be refused, whatever it looks like; `None` when it is sound.
    /// The connection must be closed after the answer.
    #[must_use]
    pub fn refused(&self) -> Option<Rejection> {
        self.gate.as_ref()?.refused()
    }

    /// The bare connection, once everything is written.
    ///
    /// # Errors
    /// The client is gone, or has sent more than was read.
    pub async fn into_transport(mut self) -> io::Result<Transport> {
        if self.gate.as_ref().is_some_and(Gate::holds_bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes of the client were not read"));
        }
        self.inner.flush().await?;
        Ok(self.inner.into_inner())
    }
}

impl ClientStream {
    /// Reads what a refused client is still sending. Closing a connection with unread bytes resets it, and a reset takes
    /// the answer away (RFC 9112, section 9.6).
    async fn linger(&mut self) {
        let mut scratch = [0; LINGER_BYTES];
        let stream = self.inner.get_mut();
        let rest = async { while stream.read(&mut scratch).await.is_ok_and(|bytes| bytes > 0) {} };
        if timeout(LINGER, rest).await.is_err() {
            tracing::debug!("a refused client sends for too long");
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, gate, .. } = &mut *self;
        // Who waits for the client has said what there is to say: Pingora leaves the head of an answer with a length in
        // the buffer until the first of its body. A flush that is not done yet goes on with the next poll.
        if !inner.buffer().is_empty()
            && let Poll::Ready(Err(error)) = Pin::new(&mut *inner).poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        let mut read = |buf: &mut ReadBuf<'_>| Pin::new(inner.get_mut()).poll_read(cx, buf);
        match gate {
            Some(gate) => gate.poll_read(buf, read),
            None => read(buf),
        }
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
        if self.refused().is_some() {
            self.linger().await;
        }
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> i32 {
        self.inner.get_ref().as_raw_fd()
    }
}

impl Ssl for ClientStream {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.gate.is_none().then_some(ALPN::H2)
    }
}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.origin))
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl Peek for ClientStream {}
