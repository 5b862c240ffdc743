//! Listening sockets: bound here, or inherited from the process that this one replaces.

use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that the kernel completes before we accept them.
const BACKLOG: i32 = 4_096;
/// Variable that names the inherited sockets, separated by `:` in systemd's protocol; addresses hold colons, so
/// ours are separated by `,`.
pub const INHERITED_NAMES_VARIABLE: &str = "FLEETGATE_INHERITED";

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    /// Address as the config writes it.
    pub configured: SocketAddr,
    /// Address that it has; the port differs when the config says 0.
    pub actual: SocketAddr,
    /// The socket, not blocking.
    pub socket: TcpListener,
}

impl Listener {
    /// The same socket once more, to be handed to the process that replaces this one.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { configured: self.configured, actual: self.actual, socket: self.socket.try_clone()? })
    }
}

/// Sockets that a previous process handed over, by configured address.
#[derive(Debug, Default)]
pub struct Inherited(HashMap<SocketAddr, TcpListener>);

impl Inherited {
    /// Takes the sockets that the environment names (the protocol of `sd_listen_fds(3)`).
    #[must_use]
    pub fn from_environment() -> Self {
        let names = std::env::var(INHERITED_NAMES_VARIABLE).unwrap_or_default();
        if names.is_empty() {
            return Self::default();
        }
        let mut sockets = listenfd::ListenFd::from_env();
        let taken = names.split(',').enumerate().filter_map(|(at, name)| {
            let address = name.parse().ok()?;
            Some((address, sockets.take_tcp_listener(at).ok()??))
        });
        Self(taken.collect())
    }

    fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        self.0.remove(&address)
    }
}

/// Takes over the socket of an address, or binds it.
///
/// # Errors
/// The address cannot be bound: it is in use, not of this machine, or a port below 1024 without the right to it.
pub fn bind(configured: SocketAddr, inherited: &mut Inherited) -> io::Result<Listener> {
    let socket = inherited.take(configured).map_or_else(|| bind_new(configured), Ok)?;
    socket.set_nonblocking(true)?;
    Ok(Listener { configured, actual: socket.local_addr()?, socket })
}

fn bind_new(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` next to `0.0.0.0` must not collide.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
