//! TLS connections that somebody else answers: chosen by the name that a client asks for, and passed on byte by byte.

use crate::connection::Socket;
use fleetgate_core::config::PassthroughRoute;
use fleetgate_core::host::{HostKey, HostPattern};
use fleetgate_core::proxy_protocol::header;
use rustc_hash::FxHashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// For the server to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Without a byte either way while the process drains. Nobody can see in here whether a request is in flight.
const IDLE_DRAINING: Duration = Duration::from_secs(1);
/// Bytes moved at once. Allocated while there is something to move.
const CHUNK_BYTES: usize = 16 * 1024;

/// Where names lead that are not answered here.
#[derive(Debug, Default)]
pub struct Passthrough {
    exact: FxHashMap<Box<str>, Destination>,
    suffixes: FxHashMap<Box<str>, Destination>,
}

/// Who answers a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destination {
    pub(super) address: SocketAddr,
    /// Longest time without a byte.
    idle: Duration,
    /// Whether it is told whose a connection is.
    proxy_protocol: bool,
}

impl Passthrough {
    /// Takes the routes of a listener. A host is in one of them at most.
    #[must_use]
    pub fn new(routes: &[PassthroughRoute]) -> Self {
        let mut table = Self::default();
        for PassthroughRoute { hosts, address, idle_timeout, proxy_protocol } in routes {
            let to = Destination { address: *address, idle: *idle_timeout, proxy_protocol: *proxy_protocol };
            for host in hosts {
                let (names, name) = match host {
                    HostPattern::Exact(name) => (&mut table.exact, name),
                    HostPattern::Suffix(name) => (&mut table.suffixes, name),
                };
                names.insert(name.as_str().into(), to);
            }
        }
        table
    }

    /// Whether nothing is passed through.
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.suffixes.is_empty()
    }

    /// Where a name leads: itself first, then as `*.suffix`.
    pub(super) fn find(&self, name: &HostKey) -> Option<Destination> {
        let suffix = || self.suffixes.get(name.as_str().split_once('.')?.1);
        self.exact.get(name.as_str()).or_else(suffix).copied()
    }
}

/// A connection on its way to who answers it.
pub(super) struct Passing {
    /// The client's connection, whose first bytes were read.
    pub(super) client: Socket,
    /// Those bytes.
    pub(super) first: Vec<u8>,
    /// Address of the client, if it has one.
    pub(super) address: Option<SocketAddr>,
    /// Who answers.
    pub(super) to: Destination,
}

impl Passing {
    /// Connects to who answers, and gives it what was read.
    ///
    /// # Errors
    /// It takes no connection.
    pub(super) async fn connect(&self) -> io::Result<Socket> {
        let connected = timeout(CONNECT_TIMEOUT, Socket::connect(self.to.address)).await;
        let server = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        server.set_nodelay()?;
        if self.to.proxy_protocol {
            server.send_all(&header(self.address, self.client.local_address())).await?;
        }
        server.send_all(&self.first).await?;
        Ok(server)
    }

    /// Passes bytes both ways until both sides have ended, or nothing moves for too long.
    pub(super) async fn run(self, server: Socket, mut draining: watch::Receiver<bool>) {
        let (moved, client) = (Moved::new(), self.client);
        let both = async { tokio::try_join!(pump(&client, &server, &moved), pump(&server, &client, &moved)) };
        tokio::pin!(both);
        let mut drains = *draining.borrow();
        loop {
            let idle = if drains { self.to.idle.min(IDLE_DRAINING) } else { self.to.idle };
            tokio::select! {
                _ended = &mut both => return,
                () = sleep_until(moved.last() + idle) => {
                    if moved.last() + idle <= Instant::now() {
                        return;
                    }
                }
                begun = draining.wait_for(|draining| *draining), if !drains => {
                    drop(begun);
                    drains = true;
                }
            }
        }
    }
}

/// When bytes moved last.
struct Moved {
    started: Instant,
    last_ms: AtomicU64,
}

impl Moved {
    fn new() -> Self {
        Self { started: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn note(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }
}

/// Moves bytes until one side has no more, and tells the other.
async fn pump(from: &Socket, to: &Socket, moved: &Moved) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        match from.try_read_buf(&mut chunk) {
            Ok(0) => return to.finish_sending(),
            Ok(_) => {
                to.send_all(&chunk).await?;
                moved.note();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
