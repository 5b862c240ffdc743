//! A running stand-in server: its listeners, its state, its end.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::bus::{Order, WebsocketEnd};
use super::connection::Connection;
use super::database::Databases;
use super::options::StubOptions;
use super::received::{Counters, Counts, Log, Port, Received, count};

/// How long [`StubOdoo::stop`] waits for requests and websockets before it cuts them.
const STOP_MAX: Duration = Duration::from_secs(2);
/// Orders to websockets that a slow socket may lag behind.
const ORDERS_MAX: usize = 1024;
/// How many ended websockets are remembered.
pub(crate) const ENDS_MAX: usize = 10_000;

/// Everything the connections of a server share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: StubOptions,
    pub(crate) databases: Databases,
    pub(crate) counters: Counters,
    pub(crate) log: Log,
    pub(crate) orders: broadcast::Sender<Order>,
    pub(crate) ends: Mutex<Vec<WebsocketEnd>>,
    /// Name and message of the exception that calls to models end with.
    pub(crate) trouble: Mutex<Option<(String, String)>>,
    workers: Option<Arc<Semaphore>>,
}

impl State {
    /// Waits for a free worker, if their number is bounded.
    pub(crate) async fn worker(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(self.workers.as_ref()?).acquire_owned().await.ok()
    }
}

/// A stand-in Odoo server. Dropping it is a crash: every connection is cut.
#[derive(Debug)]
pub struct StubOdoo {
    state: Arc<State>,
    http: SocketAddr,
    gevent: SocketAddr,
    stopping: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
}

impl StubOdoo {
    /// Starts a server on the current tokio runtime.
    ///
    /// # Errors
    /// When one of the two addresses cannot be bound.
    pub async fn start(options: StubOptions) -> io::Result<Self> {
        let http = TcpListener::bind(options.http).await?;
        let gevent = TcpListener::bind(options.gevent).await?;
        let (http_addr, gevent_addr) = (http.local_addr()?, gevent.local_addr()?);
        let state = Arc::new(State {
            databases: Databases::new(options.databases.iter().cloned()),
            counters: Counters::default(),
            log: Log::new(options.received_max),
            orders: broadcast::channel(ORDERS_MAX).0,
            ends: Mutex::default(),
            trouble: Mutex::default(),
            workers: options.workers.map(|workers| Arc::new(Semaphore::new(workers))),
            options,
        });
        let stopping = watch::channel(false).0;
        let listeners = [(http, Port::Http), (gevent, Port::Gevent)].map(|(listener, port)| {
            tokio::spawn(listen(listener, port, Arc::clone(&state), stopping.subscribe()))
        });
        Ok(Self { state, http: http_addr, gevent: gevent_addr, stopping, listeners: Vec::from(listeners) })
    }

    /// Where the HTTP port (8069 in Odoo) listens.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where the gevent port (8072 in Odoo) listens.
    pub fn gevent_addr(&self) -> SocketAddr {
        self.gevent
    }

    /// The label this server was started with.
    pub fn name(&self) -> &str {
        &self.state.options.name
    }

    /// The latest requests in order of arrival, at most as many as the options say.
    pub fn received(&self) -> Vec<Received> {
        self.state.log.read()
    }

    /// Takes the requests received so far out of memory, in order of arrival: none is seen twice, and none is lost
    /// between two calls.
    pub fn take_received(&self) -> Vec<Received> {
        self.state.log.take()
    }

    /// Forgets the requests received so far; counters go on.
    pub fn forget_received(&self) {
        self.state.log.clear();
    }

    /// Counters and gauges now.
    pub fn counts(&self) -> Counts {
        self.state.counters.read()
    }

    /// The websockets that ended, in order, with the close code each end was given. At most the last 10,000.
    pub fn websocket_ends(&self) -> Vec<WebsocketEnd> {
        self.state.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has calls of programs to models end with an exception, by its name and message, while health is well as ever; or no
    /// more.
    pub fn set_trouble(&self, exception: Option<(&str, &str)>) {
        let exception = exception.map(|(name, message)| (name.to_owned(), message.to_owned()));
        *self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner) = exception;
    }

    /// Sends a bus notification to every websocket of a database; says how many sockets of the server were told.
    pub fn notify(&self, database: &str, text: &str) -> usize {
        let order = Order::Notify { database: database.into(), text: text.into() };
        self.state.orders.send(order).unwrap_or_default()
    }

    /// Closes every websocket with a code, as Odoo does with 1001 when it stops or 1012 when it restarts.
    pub fn close_websockets(&self, code: u16, reason: &str) -> usize {
        self.state.orders.send(Order::Close { code, reason: reason.into() }).unwrap_or_default()
    }

    /// Crashes: every connection is cut. What it had received and nobody took; nothing comes after it.
    pub async fn crash(mut self) -> Vec<Received> {
        for listener in std::mem::take(&mut self.listeners) {
            listener.abort();
            // It ends as cancelled, which is what was asked for.
            let _cancelled = listener.await;
        }
        self.state.log.take()
    }

    /// Stops as Odoo does: listeners close, websockets are sent 1001, requests end; after 2 s the rest is cut.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        self.close_websockets(1001, "Server stopping");
        let listeners = std::mem::take(&mut self.listeners);
        let deadline = tokio::time::Instant::now() + STOP_MAX;
        for mut listener in listeners {
            if tokio::time::timeout_at(deadline, &mut listener).await.is_err() {
                listener.abort();
            }
        }
    }
}

impl Drop for StubOdoo {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

/// Accepts until told to stop, then waits for the connections. Connections are cut when this task is aborted.
async fn listen(listener: TcpListener, port: Port, state: Arc<State>, mut stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection was gone before it was served");
                    continue;
                }
                let connection = Connection {
                    stream,
                    buffer: BytesMut::new(),
                    state: Arc::clone(&state),
                    port,
                    number: count(&state.counters.connections),
                    mark: None,
                    stopping: stopping.clone(),
                };
                connections.spawn(connection.serve());
            }
            Err(error) => {
                // Out of file descriptors: without a pause this loop would only spin.
                tracing::warn!(%error, port = port.name(), "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
