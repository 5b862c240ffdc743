//! Accepts connections and runs HTTP, then maybe a websocket, on each.

use super::capacity::{Capacity, Full, Place};
use super::entrance::{Entered, Entrance};
use super::listen::{Acceptor, ListenSocket};
use super::passthrough::Passing;
use super::proxy_protocol;
use crate::connection::{ClientStream, Socket};
use crate::proxy::{Gateway, Tunnel};
use crate::snapshot::SnapshotStore;
use crate::telemetry::metrics::{Metrics, PassthroughResult};
use crate::telemetry::pace::Pace;
use fleetgate_core::forwarded::is_trusted;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// First pause after a connection could not be accepted, as when open files are used up. It doubles each time.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
/// Longest such pause: what is used up comes back with the next connection that ends.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What all listeners share.
#[derive(Clone)]
pub struct Front {
    state: Arc<FrontState>,
    refusals: Arc<Pace>,
}

/// The parts of a [`Front`].
pub struct FrontState {
    /// Pingora's proxy around our own.
    pub proxy: Arc<HttpProxy<Gateway>>,
    /// Counts connections.
    pub metrics: Arc<Metrics>,
    /// How many there may be.
    pub capacity: Arc<Capacity>,
    /// For the first byte of a request.
    pub idle_timeout: Duration,
    /// Says which peers are trusted proxies, whose connections are not those of one client.
    pub store: Arc<SnapshotStore>,
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
        Self { state: Arc::new(state), refusals: Arc::default() }
    }

    /// Accepts connections until told to stop, and then those that the kernel has made already: closing the socket
    /// would reset them.
    ///
    /// # Errors
    /// The socket cannot be used by the runtime.
    pub async fn accept(self, socket: ListenSocket, entrance: Arc<Entrance>) -> io::Result<()> {
        let socket = Acceptor::new(socket)?;
        let (failures, mut pause) = (Pace::default(), ACCEPT_PAUSE_MIN);
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.state.stop_accepting.cancelled() => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = ACCEPT_PAUSE_MIN;
                    self.begin(stream, peer, &entrance);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.state.metrics.count_accept_failure();
                    if let Some(times) = failures.note() {
                        tracing::error!(%error, times, "cannot accept connections; if files are used up, raise the limit of open files or lower `connections.max`");
                    }
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(ACCEPT_PAUSE_MAX);
                }
            }
        }
        let rest = socket.into_rest()?;
        while let Some((stream, peer)) = rest.next()? {
            self.begin(stream, peer, &entrance);
        }
        Ok(())
    }

    fn begin(&self, stream: Socket, peer: Option<SocketAddr>, entrance: &Arc<Entrance>) {
        let place = self.state.capacity.enter().and_then(|mut place| {
            if !entrance.is_balancer(peer) {
                self.count_client(&mut place, peer)?;
            }
            Ok(place)
        });
        match place {
            Ok(place) => {
                let (front, entrance) = (self.clone(), Arc::clone(entrance));
                self.state
                    .connections
                    .spawn(async move { front.serve(stream, peer, &entrance, place).await });
            }
            Err(full) => self.refuse(full, peer),
        }
    }

    /// Counts a connection as one of its client, unless that is a proxy which stands for many, or a peer of a unix
    /// socket, who cannot be told from others.
    fn count_client(&self, place: &mut Place, client: Option<SocketAddr>) -> Result<(), Full> {
        match client {
            Some(client) if !is_trusted(client.ip(), &self.state.store.load().fleet.trusted_proxies) => {
                place.belongs_to(client.ip())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Notes a connection that is closed for want of room. Nothing of it is read, and it costs no task.
    fn refuse(&self, full: Full, client: Option<SocketAddr>) {
        self.state.metrics.count_refused_connection(full.as_str());
        if let Some(times) = self.refusals.note() {
            let key = match full {
                Full::Total => "connections.max",
                Full::Client => "connections.max_per_client",
            };
            let last = client.map_or_else(|| "a unix socket".to_owned(), |client| client.ip().to_string());
            tracing::warn!(times, key, last, "connections were refused: there are as many as there may be");
        }
    }

    async fn serve(self, stream: Socket, peer: Option<SocketAddr>, entrance: &Entrance, mut place: Place) {
        let _counted = self.state.metrics.count_connection();
        if stream.set_nodelay().is_err() {
            return;
        }
        let entered = tokio::select! {
            entered = self.enter(stream, peer, entrance, &mut place) => entered,
            () = self.state.give_up_silent.cancelled() => return,
        };
        let (stream, http2) = match entered {
            None => return,
            Some(Entered::Passing(passing)) => return self.pass(passing).await,
            Some(Entered::Http { stream, http2 }) => (stream, http2),
        };
        if entrance.serves_gateways() {
            place.belongs_to_many();
        }
        let stream: Stream = stream;
        if http2 {
            // Pingora runs the streams of the connection until it ends; nothing is left to reuse.
            let _ended = self.state.proxy.process_new(stream, &self.state.draining).await;
            return;
        }
        if let Some((stream, tunnel)) = self.serve_http1(stream).await {
            tunnel.run(stream).await;
        }
    }

    async fn enter(
        &self,
        mut stream: Socket,
        peer: Option<SocketAddr>,
        entrance: &Entrance,
        place: &mut Place,
    ) -> Option<Entered> {
        let mut client = peer;
        if entrance.is_balancer(peer) {
            let named = proxy_protocol::client_of(&mut stream).await;
            // A balancer that speaks for itself is its own client.
            client = named.inspect_err(|error| warn_of_balancer(error, peer)).ok()?.or(peer);
            if let Err(full) = self.count_client(place, client) {
                self.refuse(full, client);
                return None;
            }
        }
        entrance.enter(stream, client, &self.state.metrics).await
    }

    /// Passes a connection on to who answers it, until it ends.
    async fn pass(&self, passing: Passing) {
        match passing.connect().await {
            Ok(server) => {
                self.state.metrics.count_passthrough(PassthroughResult::Passed);
                passing.run(server, self.state.draining.clone()).await;
            }
            Err(error) => {
                self.state.metrics.count_passthrough(PassthroughResult::Unreachable);
                tracing::warn!(%error, address = %passing.to.address, "a connection cannot be passed on: is the server of `passthrough` running?");
            }
        }
    }

    /// Runs requests until the connection ends or becomes a websocket.
    async fn serve_http1(&self, mut stream: Stream) -> Option<(ClientStream, Box<Tunnel>)> {
        loop {
            let mut session = ServerSession::new_http1(stream);
            session.set_keepalive(Some(self.state.idle_timeout.as_secs().max(1)));
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

fn warn_of_balancer(error: &io::Error, balancer: Option<SocketAddr>) {
    let balancer = balancer.map_or_else(|| "a unix socket".to_owned(), |balancer| balancer.to_string());
    tracing::warn!(%error, balancer, "a balancer did not say whose a connection is; it was closed");
}

/// Whether an error of `accept` is about the connection alone: the next one may be fine (`accept(2)`, "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable
    )
}
