//! Ports without a server: refused at once, or never accepted.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A connection to loopback takes microseconds; one that takes this long is not going to be accepted.
const ACCEPT_MAX: Duration = Duration::from_millis(300);
const QUEUE_MAX: usize = 64;

/// A port that refuses connections for as long as this value lives: bound, so that nobody else gets it, and never
/// listened on.
#[derive(Debug)]
pub struct DeadPort {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl DeadPort {
    /// Takes a free loopback port out of use.
    ///
    /// # Errors
    /// When the system has no free port.
    pub fn reserve() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { address: socket.local_addr()?, _socket: socket })
    }

    /// The address that refuses connections.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A port whose queue of connections is full, as that of an Odoo whose workers are all busy: the kernel drops further
/// attempts without a word, so a client only sees its own timeout.
#[derive(Debug)]
pub struct FullBacklog {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl FullBacklog {
    /// Opens a port and fills its queue. Takes some 300 ms, the time in which the queue proves to be full.
    ///
    /// # Errors
    /// When the port cannot be bound, or the queue does not fill (the kernel is not Linux).
    pub async fn start() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let listener = socket.listen(0)?;
        let address = listener.local_addr()?;
        let mut waiting = Vec::new();
        while waiting.len() < QUEUE_MAX {
            match tokio::time::timeout(ACCEPT_MAX, TcpStream::connect(address)).await {
                Ok(connected) => waiting.push(connected?),
                Err(_) => return Ok(Self { address, _listener: listener, _waiting: waiting }),
            }
        }
        Err(io::Error::other("the queue of a listener with backlog 0 took 64 connections and is not full"))
    }

    /// The address on which connections are neither accepted nor refused.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
