//! Listening sockets: bound here, or inherited from the process that this one replaces.

use super::socket_file::SocketFile;
use crate::connection::Socket;
use fleetgate_core::config::{ListenAddress, UnixListen};
use socket2::{Domain, Protocol, Type};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use tokio::net::{TcpStream, UnixStream};

/// Connections that the kernel completes before we accept them.
pub(super) const BACKLOG: i32 = 4_096;
/// Variable that names the inherited sockets, separated by `:` in systemd's protocol; addresses hold colons, so
/// ours are separated by `,`.
pub const INHERITED_NAMES_VARIABLE: &str = "FLEETGATE_INHERITED";

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    /// Address as the config writes it.
    pub configured: String,
    /// Address that it has; the port differs when the config says 0.
    pub actual: String,
    /// The socket, not blocking.
    pub socket: ListenSocket,
    /// The file of a unix socket.
    file: Option<SocketFile>,
}

/// A socket that listens.
#[derive(Debug)]
pub enum ListenSocket {
    /// For TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl ListenSocket {
    /// The same socket once more.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }
}

impl From<ListenSocket> for OwnedFd {
    fn from(socket: ListenSocket) -> Self {
        match socket {
            ListenSocket::Tcp(socket) => socket.into(),
            ListenSocket::Unix(socket) => socket.into(),
        }
    }
}

impl Listener {
    /// The same socket once more, to be handed to the process that replaces this one.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn duplicate(&self) -> io::Result<Self> {
        let Self { configured, actual, socket, file } = self;
        let (configured, actual) = (configured.clone(), actual.clone());
        Ok(Self { configured, actual, socket: socket.try_clone()?, file: file.clone() })
    }

    /// Removes the file of a unix socket, unless somebody else has put another in its place.
    pub fn remove_file(&self) {
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

/// Sockets that a previous process handed over, by configured address.
#[derive(Debug, Default)]
pub struct Inherited(HashMap<String, ListenSocket>);

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
            let socket = if name.starts_with("unix:") {
                ListenSocket::Unix(sockets.take_unix_listener(at).ok()??)
            } else {
                ListenSocket::Tcp(sockets.take_tcp_listener(at).ok()??)
            };
            Some((name.to_owned(), socket))
        });
        Self(taken.collect())
    }
}

/// Takes over the socket of an address, or binds it.
///
/// # Errors
/// The address cannot be bound: it is in use, not of this machine, a port below 1024 without the right to it, or a path
/// that may not be written to.
pub fn bind(address: &ListenAddress, inherited: &mut Inherited) -> io::Result<Listener> {
    let configured = address.to_string();
    let (socket, file) = match (inherited.0.remove(&configured), address) {
        (Some(socket), ListenAddress::Tcp(_)) => (socket, None),
        (None, ListenAddress::Tcp(address)) => (ListenSocket::Tcp(bind_tcp(*address)?), None),
        (Some(socket), ListenAddress::Unix(unix)) => match SocketFile::take_over(unix) {
            Ok(file) => (socket, Some(file)),
            // Somebody has removed the file: nobody reaches the socket any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => bind_unix(unix)?,
            Err(error) => return Err(error),
        },
        (None, ListenAddress::Unix(unix)) => bind_unix(unix)?,
    };
    socket.set_nonblocking()?;
    let actual = match &socket {
        ListenSocket::Tcp(socket) => socket.local_addr()?.to_string(),
        ListenSocket::Unix(_) => configured.clone(),
    };
    Ok(Listener { configured, actual, socket, file })
}

fn bind_unix(config: &UnixListen) -> io::Result<(ListenSocket, Option<SocketFile>)> {
    let (socket, file) = SocketFile::bind(config)?;
    Ok((ListenSocket::Unix(socket), Some(file)))
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` next to `0.0.0.0` must not collide.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A listening socket in use.
#[derive(Debug)]
pub(super) enum Acceptor {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Acceptor {
    pub(super) fn new(socket: ListenSocket) -> io::Result<Self> {
        Ok(match socket {
            ListenSocket::Tcp(socket) => Self::Tcp(tokio::net::TcpListener::from_std(socket)?),
            ListenSocket::Unix(socket) => Self::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }

    /// The next connection, and the address of its peer if it has one.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(socket) => {
                socket.accept().await.map(|(stream, peer)| (Socket::Tcp(stream), Some(peer)))
            }
            Self::Unix(socket) => socket.accept().await.map(|(stream, _)| (Socket::Unix(stream), None)),
        }
    }

    /// What is left when no more is waited for.
    pub(super) fn into_rest(self) -> io::Result<Rest> {
        Ok(Rest(match self {
            Self::Tcp(socket) => ListenSocket::Tcp(socket.into_std()?),
            Self::Unix(socket) => ListenSocket::Unix(socket.into_std()?),
        }))
    }
}

/// The connections that the kernel has made already.
#[derive(Debug)]
pub(super) struct Rest(ListenSocket);

impl Rest {
    /// One of them; `None` after the last.
    pub(super) fn next(&self) -> io::Result<Option<(Socket, Option<SocketAddr>)>> {
        match &self.0 {
            ListenSocket::Tcp(socket) => {
                let Ok((stream, peer)) = socket.accept() else { return Ok(None) };
                stream.set_nonblocking(true)?;
                Ok(Some((Socket::Tcp(TcpStream::from_std(stream)?), Some(peer))))
            }
            ListenSocket::Unix(socket) => {
                let Ok((stream, _)) = socket.accept() else { return Ok(None) };
                stream.set_nonblocking(true)?;
                Ok(Some((Socket::Unix(UnixStream::from_std(stream)?), None)))
            }
        }
    }
}
