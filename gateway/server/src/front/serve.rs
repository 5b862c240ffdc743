//! Accepts connections and runs HTTP, then maybe a websocket, on each.

use super::Listener;
use crate::connection::{ClientStream, KEEPALIVE_SECONDS};
use crate::proxy::{Gateway, Tunnel};
use crate::telemetry::metrics::Metrics;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Start of the preface with which a client opens HTTP/2 without TLS (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// For the first bytes of a connection.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before a preface that arrives byte by byte is looked at again.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// Pause after the kernel refused a connection, when file descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all listeners share.
#[derive(Clone)]
pub struct Front {
    state: Arc<FrontState>,
}

/// The parts of a [`Front`].
pub struct FrontState {
    /// Pingora's proxy around our own.
    pub proxy: Arc<HttpProxy<Gateway>>,
    /// Counts connections.
    pub metrics: Arc<Metrics>,
    /// Ends the accepting of connections.
    pub stop_accepting: CancellationToken,
    /// Ends connections that have not begun a request: browsers open some for later.
    pub give_up_silent: CancellationToken,
    /// Tells Pingora that connections should not be kept.
    pub draining: watch::Receiver<bool>,
    /// Knows when the last connection ended.
    pub connections: TaskTracker,
}

impl Front {
    /// Prepares a front.
    #[must_use]
    pub fn new(state: FrontState) -> Self {
        Self { state: Arc::new(state) }
    }

    /// Accepts connections until told to stop, and then those that the kernel has made already: closing the socket
    /// would reset them.
    ///
    /// # Errors
    /// The socket cannot be used by the runtime.
    pub async fn accept(self, listener: Listener) -> std::io::Result<()> {
        let socket = TcpListener::from_std(listener.socket)?;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.state.stop_accepting.cancelled() => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.begin(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; raise the limit of open files if this repeats");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let socket = socket.into_std()?;
        while let Ok((stream, peer)) = socket.accept() {
            stream.set_nonblocking(true)?;
            self.begin(TcpStream::from_std(stream)?, peer);
        }
        Ok(())
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr) {
        let front = self.clone();
        self.state.connections.spawn(async move { front.serve(stream, peer).await });
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let _counted = self.state.metrics.count_connection();
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let deadline = Instant::now() + FIRST_BYTES_TIMEOUT;
        let first_bytes = tokio::select! {
            seen = timeout_at(deadline, speaks_http2(&stream)) => seen,
            () = self.state.give_up_silent.cancelled() => return,
        };
        let Ok(Some(http2)) = first_bytes else { return };
        let stream: Stream = Box::new(ClientStream::new(stream, peer, http2));
        if http2 {
            // Pingora runs the streams of the connection until it ends; nothing is left to reuse.
            let _ended = self.state.proxy.process_new(stream, &self.state.draining).await;
            return;
        }
        if let Some((stream, tunnel)) = self.serve_http1(stream).await {
            tunnel.run(stream).await;
        }
    }

    /// Runs requests until the connection ends or becomes a websocket.
    async fn serve_http1(&self, mut stream: Stream) -> Option<(ClientStream, Box<Tunnel>)> {
        loop {
            let mut session = ServerSession::new_http1(stream);
            session.set_keepalive(Some(KEEPALIVE_SECONDS));
            let reused = self.state.proxy.process_new_http(session, &self.state.draining).await?;
            let (next, settings) = reused.consume();
            let context = settings.and_then(|mut settings| settings.take_user_context());
            let mut next = next.into_any().downcast::<ClientStream>().ok()?;
            if let Some(tunnel) = context.and_then(|context| context.downcast::<Tunnel>().ok()) {
                return Some((*next, tunnel));
            }
            next.await_request();
            stream = next;
        }
    }
}

/// Looks at the first bytes without taking them. `None` when the client left.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut start = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut start).await.ok().filter(|&seen| seen > 0)?;
        let (seen, preface) = (start.get(..seen)?, HTTP2_PREFACE.get(..seen)?);
        if seen != preface {
            return Some(false);
        }
        if seen.len() == HTTP2_PREFACE.len() {
            return Some(true);
        }
        // More cannot come from a client that has finished, and a peek does not tell.
        if stream.ready(Interest::READABLE).await.ok()?.is_read_closed() {
            return None;
        }
        sleep(PREFACE_PAUSE).await;
    }
}
