//! A server with one fault, and what it saw of its clients.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::behaviour;
use crate::odoo::received::{Held, count};

/// How many of the latest requests are remembered.
const REQUESTS_MAX: usize = 10_000;

/// What is wrong with a backend. For a port without a server see [`DeadPort`](super::DeadPort) and
/// [`FullBacklog`](super::FullBacklog).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Accepts, reads everything, never answers.
    BlackHole,
    /// Resets every connection as soon as it is accepted.
    ResetOnAccept,
    /// Reads a whole request, then resets the connection.
    ResetAfterRequest,
    /// Reads a request and answers with a head that never ends, one byte each interval.
    SlowHeaders {
        /// Time between two bytes.
        interval: Duration,
    },
    /// Answers with bytes that are not HTTP, and closes.
    Garbage,
    /// Answers that 100 bytes follow, sends 10, and closes.
    ContentLengthLies,
    /// Answers in chunks whose second size is no number, and closes.
    BrokenChunks,
    /// Answers with 2 MiB of headers.
    HugeHeaders,
    /// Answers that 1000 bytes follow, sends 10, and keeps silent until the client closes.
    HangMidBody,
    /// Answers 200 with a page that says nothing of health, as a server does that stands where Odoo was.
    Lies,
    /// Answers 200 with 10 MiB.
    HugeBody,
    /// Sends every request to another path of the same server.
    Redirects,
    /// Answers 413 as soon as it has the head, reads no body, and closes.
    AnswersBeforeBody,
    /// Answers 101 to every request, and takes what follows for another protocol.
    SwitchesProtocolsUnasked,
    /// Answers every request on a kept connection with a whole answer and the bytes of a second one, whose body is
    /// `smuggled`.
    TwoResponses,
    /// Answers the first request of a connection and keeps it; closes without an answer as soon as anything of the
    /// second request was read.
    StaleKeepAlive,
}

/// What a faulty backend saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Requests whose head was fully read; none with [`Fault::ResetOnAccept`], which reads nothing.
    pub requests: u64,
    /// Bytes read after the first answer of a connection, by [`Fault::StaleKeepAlive`] (the second request) and
    /// [`Fault::SwitchesProtocolsUnasked`].
    pub bytes_beyond: u64,
}

/// What the connections of a faulty backend share.
#[derive(Debug, Default)]
pub(super) struct Seen {
    connections: AtomicU64,
    connections_open: AtomicU64,
    requests: AtomicU64,
    bytes_beyond: AtomicU64,
    heads: Mutex<VecDeque<String>>,
}

impl Seen {
    pub(super) fn request(&self, head: String) {
        count(&self.requests);
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if heads.len() >= REQUESTS_MAX {
            heads.pop_front();
        }
        heads.push_back(head);
    }

    pub(super) fn beyond(&self, bytes: usize) {
        self.bytes_beyond.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A server with one [`Fault`] on a loopback port. Dropping it closes the port and cuts every connection.
#[derive(Debug)]
pub struct FaultyBackend {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl FaultyBackend {
    /// Starts a server on the current tokio runtime, on a port chosen by the system.
    ///
    /// # Errors
    /// When the system has no free port.
    pub async fn start(fault: Fault) -> io::Result<Self> {
        Self::start_at(fault, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts a server at an address, such as that of a healthy server that was stopped.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_at(fault: Fault, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn(listen(listener, fault, Arc::clone(&seen)));
        Ok(Self { address, seen, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it saw until now.
    pub fn counts(&self) -> FaultCounts {
        FaultCounts {
            connections: self.seen.connections.load(Ordering::Relaxed),
            connections_open: self.seen.connections_open.load(Ordering::Relaxed),
            requests: self.seen.requests.load(Ordering::Relaxed),
            bytes_beyond: self.seen.bytes_beyond.load(Ordering::Relaxed),
        }
    }

    /// The request lines (`POST /x HTTP/1.1`) of the latest requests in order of arrival, at most 10,000.
    pub fn request_lines(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Drop for FaultyBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, fault: Fault, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        count(&seen.connections);
        let seen = Arc::clone(&seen);
        connections.spawn(async move {
            let _open = Held::take(&seen.connections_open);
            if let Err(error) = behaviour::serve(stream, fault, &seen).await {
                tracing::debug!(%error, ?fault, "the client of a faulty backend left");
            }
        });
    }
}
