//! Accepts connections and runs HTTP, then maybe a websocket, on each.

use super::Entrance;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
    pub async fn accept(self, socket: std::net::TcpListener, entrance: Arc<Entrance>) -> std::io::Result<()> {
        let socket = TcpListener::from_std(socket)?;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.state.stop_accepting.cancelled() => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.begin(stream, peer, &entrance),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; raise the limit of open files if this repeats");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let socket = socket.into_std()?;
        while let Ok((stream, peer)) = socket.accept() {
            stream.set_nonblocking(true)?;
            self.begin(TcpStream::from_std(stream)?, peer, &entrance);
        }
        Ok(())
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr, entrance: &Arc<Entrance>) {
        let (front, entrance) = (self.clone(), Arc::clone(entrance));
        self.state.connections.spawn(async move { front.serve(stream, peer, &entrance).await });
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr, entrance: &Entrance) {
        let _counted = self.state.metrics.count_connection();
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let entered = tokio::select! {
            entered = entrance.enter(stream, peer) => entered,
            () = self.state.give_up_silent.cancelled() => return,
        };
        let Some((stream, http2)) = entered else { return };
        let stream: Stream = Box::new(stream);
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
