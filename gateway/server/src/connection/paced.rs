//! A client's connection that does not wait for its client for ever.

use super::transport::socket_of;
use super::{Socket, Transport};
use crate::telemetry::metrics::{Cut, Metrics};
use fleetgate_core::progress::{Floor, Progress};
use socket2::SockRef;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::TlsStream;

/// Bytes that are taken before the client has to read on, by the kernel and again by TLS. Without this a slow client fills
/// megabytes of the kernel, and for minutes nobody sees that it does not read.
const UNSENT_BYTES_MAX: u32 = 32 * 1024;

/// A transport whose client has to read at a [`Floor`], or it is cut.
///
/// Reads have no clock here: who reads knows whether the client owes something.
#[derive(Debug)]
pub struct Paced {
    transport: Transport,
    progress: Progress,
    /// While the client is waited for; the clock stands still otherwise.
    blocked: Option<Blocked>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Blocked {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

impl Paced {
    /// Watches over a transport.
    #[must_use]
    pub fn new(mut transport: Transport, floor: Floor, metrics: Arc<Metrics>) -> Self {
        // The kernel holds 208 KiB for a unix socket at most, and its peer is on this machine.
        if let Socket::Tcp(stream) = socket_of(&transport)
            && let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
        {
            tracing::debug!(%error, "a slow reader will be noticed late");
        }
        if let Transport::Right(stream) = &mut transport
            && let TlsStream::Server(stream) = &mut **stream
        {
            stream.get_mut().1.set_buffer_limit(usize::try_from(UNSENT_BYTES_MAX).ok());
        }
        Self { transport, progress: Progress::new(floor), blocked: None, metrics }
    }

    /// The transport itself.
    #[must_use]
    pub const fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Ends the connection without waiting for the client: what it has not read is dropped. Returns what to tell who uses
    /// the connection.
    pub(super) fn cut(&mut self, why: Cut) -> io::Error {
        self.metrics.count_cut(why);
        self.progress.waited(Duration::MAX, 0);
        let dropped = SockRef::from(socket_of(&self.transport)).set_linger(Some(Duration::ZERO));
        if let Err(error) = dropped {
            tracing::debug!(%error, "the system keeps what a client does not read");
        }
        io::Error::new(io::ErrorKind::TimedOut, why.as_str())
    }

    /// Looks at what became of a write.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Ok(done)) => {
                let waited = self.blocked.take().map(|blocked| blocked.since.elapsed());
                let bytes = u64::try_from(bytes(&done)).unwrap_or(u64::MAX);
                self.progress.waited(waited.unwrap_or_default(), bytes);
                Poll::Ready(Ok(done))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let left = self.progress.left();
                let begin = || Blocked { since: Instant::now(), end: Box::pin(sleep(left)) };
                if self.blocked.get_or_insert_with(begin).end.as_mut().poll(cx).is_ready() {
                    self.blocked = None;
                    return Poll::Ready(Err(self.cut(Cut::SlowReader)));
                }
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_read(cx, buf)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.transport).poll_write(cx, buf);
        self.watch(cx, written, |bytes| *bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.transport).poll_flush(cx);
        self.watch(cx, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.transport).poll_shutdown(cx);
        self.watch(cx, done, |()| 0)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        self.watch(cx, written, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}
