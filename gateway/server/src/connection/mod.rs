//! Connections as Pingora and the websocket tunnel use them: those of clients, and those of backends.

mod backend;
mod client_certificate;
mod deadline;
mod gate;
mod paced;
mod socket;
mod transport;

pub use backend::BackendStream;
pub use client_certificate::ClientCertificate;
pub use paced::Paced;
pub use socket::Socket;
pub use transport::Transport;
use transport::socket_of;

use crate::telemetry::metrics::{Cut, Metrics};
use async_trait::async_trait;
use deadline::Deadline;
use fleetgate_core::config::Connections;
use fleetgate_core::forwarded::PeerTrust;
use fleetgate_core::host::HostKey;
use fleetgate_core::http2::FrameMeter;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::request::HeadRoom;
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
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::time::timeout;

/// Head and body of a small answer leave in one packet; larger writes go past the buffer.
const WRITE_BUFFER_BYTES: usize = 2_048;
/// For the rest of a request that was refused, before its connection is closed for good.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes read at a time while lingering.
const LINGER_BYTES: usize = 4_096;

/// A client's connection.
///
/// Reads are not buffered, because Pingora reads into a buffer of its own; writes are, so that a small answer is
/// one system call. Pingora's own stream keeps 64 KiB per connection for this.
#[derive(Debug)]
pub struct ClientStream {
    inner: BufWriter<Paced>,
    checks: Checks,
    head: Deadline,
    digest: Arc<SocketDigest>,
    origin: Arc<ProxyDigest>,
}

/// What is checked of the bytes of a client before anybody reads them.
#[derive(Debug)]
enum Checks {
    /// All of them.
    Http1(Gate),
    /// Heads of frames; frames themselves are checked by who reads them.
    Http2(Box<Frames>),
}

#[derive(Debug)]
struct Frames {
    meter: FrameMeter,
    began: Instant,
}

impl Checks {
    fn gate(&self) -> Option<&Gate> {
        match self {
            Self::Http1(gate) => Some(gate),
            Self::Http2(_) => None,
        }
    }
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
    /// What its peer is believed about the client.
    pub peer_trust: PeerTrust,
    /// Whether its peer is a gateway of another site.
    pub gateway: bool,
}

impl Origin {
    /// What is known of the connection of a session. Pingora hands it to each session as data of its own.
    #[must_use]
    pub fn of(digest: Option<&Digest>) -> Option<&Self> {
        digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }
}

impl ClientStream {
    /// Wraps an accepted connection. `peer` is the address of the client, if it is known; `http2` says that it speaks
    /// HTTP/2.
    ///
    /// # Errors
    /// Never in practice: Pingora refuses a status of its own.
    pub fn new(
        stream: Transport,
        peer: Option<SocketAddr>,
        http2: bool,
        origin: Origin,
        clocks: &Connections,
        metrics: &Arc<Metrics>,
    ) -> pingora::Result<Self> {
        let digest = SocketDigest::from_raw_fd(socket_of(&stream).as_raw_fd());
        let room = if origin.gateway { HeadRoom::GATEWAY } else { HeadRoom::CLIENT };
        let origin = ProxyDigest::new(Box::new(ResponseHeader::build(200, None)?), Some(Box::new(origin)));
        // The cell is new, so it takes the value.
        let _set = digest.peer_addr.set(peer.map(PeerAddr::Inet));
        let frames = || Box::new(Frames { meter: FrameMeter::default(), began: Instant::now() });
        let paced = Paced::new(stream, clocks.floor, Arc::clone(metrics));
        Ok(Self {
            inner: BufWriter::with_capacity(WRITE_BUFFER_BYTES, paced),
            checks: if http2 { Checks::Http2(frames()) } else { Checks::Http1(Gate::new(room)) },
            head: Deadline::new(clocks.head_timeout),
            digest: Arc::new(digest),
            origin: Arc::new(origin),
        })
    }

    /// Expects the head of a further request next.
    pub fn await_request(&mut self) {
        self.head.stop();
        if let Checks::Http1(gate) = &mut self.checks {
            gate.await_request();
        }
    }

    /// Why the request that Pingora reads from here must be refused, whatever it looks like; `None` when it is sound.
    /// The connection must be closed after the answer.
    #[must_use]
    pub fn refused(&self) -> Option<Rejection> {
        self.checks.gate()?.refused()
    }

    /// The bare connection, once everything is written.
    ///
    /// # Errors
    /// The client is gone, or has sent more than was read.
    pub async fn into_paced(mut self) -> io::Result<Paced> {
        if self.checks.gate().is_some_and(Gate::holds_bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes of the client were not read"));
        }
        self.inner.flush().await?;
        Ok(self.inner.into_inner())
    }
}

impl ClientStream {
    /// A client of HTTP/2 confirms what it reads, and may.
    fn note_written(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Checks::Http2(frames), Poll::Ready(Ok(bytes))) = (&mut self.checks, written) {
            frames.meter.sent(*bytes);
        }
    }

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
        let Self { inner, checks, head, .. } = &mut *self;
        // Who waits for the client has said what there is to say: Pingora leaves the head of an answer with a length in
        // the buffer until the first of its body. A flush that is not done yet goes on with the next poll.
        if !inner.buffer().is_empty()
            && let Poll::Ready(Err(error)) = Pin::new(&mut *inner).poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        match checks {
            Checks::Http1(gate) => {
                let read = gate.poll_read(buf, |buf| Pin::new(inner.get_mut()).poll_read(cx, buf));
                let owed = gate.holds_part_of_head().then_some(0);
                if read.is_ready() || !head.has_passed(owed, cx) {
                    return read;
                }
                gate.give_up();
                gate.poll_read(buf, |_| Poll::Pending)
            }
            Checks::Http2(frames) => {
                let before = buf.filled().len();
                let read = Pin::new(inner.get_mut()).poll_read(cx, buf);
                match read {
                    Poll::Ready(Ok(())) => {
                        let new = buf.filled().get(before..).unwrap_or_default();
                        if frames.meter.feed(new, frames.began.elapsed()).is_err() {
                            return Poll::Ready(Err(inner.get_mut().cut(Cut::Flood)));
                        }
                        read
                    }
                    Poll::Pending if head.has_passed(frames.meter.owed(), cx) => {
                        Poll::Ready(Err(inner.get_mut().cut(Cut::SlowHead)))
                    }
                    Poll::Pending | Poll::Ready(Err(_)) => read,
                }
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note_written(&written);
        written
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
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note_written(&written);
        written
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
        socket_of(self.inner.get_ref().transport()).as_raw_fd()
    }
}

impl Ssl for ClientStream {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        matches!(self.checks, Checks::Http2(_)).then_some(ALPN::H2)
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
