//! Where clients connect.

use super::authorities;
use super::file::{List, ListenerEntry, Place, UnixEntry};
use super::model::{ListenerConfig, ListenerTls};
use super::passthrough;
use super::problem::Spot;
use super::read::{At, Reader, Step};
use core::fmt;
use core::net::SocketAddr;

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(UnixListen),
}

/// A unix socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixListen {
    /// Path of its file.
    pub path: Box<str>,
    /// Permissions of the file.
    pub mode: u32,
    /// Name or number of the file's owner; `None`: who runs the process.
    pub owner: Option<Box<str>>,
    /// Name or number of the file's group; `None`: that of the process.
    pub group: Option<Box<str>>,
    /// What peers are believed about clients.
    pub trust: UnixTrust,
}

/// What the peers of a unix socket are believed about the clients behind them. They have no address, so networks cannot
/// say whom to believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnixTrust {
    /// Nothing.
    Nothing,
    /// Their `X-Forwarded-*` headers.
    Forwarded,
    /// The header of the PROXY protocol that each connection has to begin with.
    ProxyProtocol,
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(unix) => write!(f, "unix:{}", unix.path),
        }
    }
}

impl ListenAddress {
    /// Whether both cannot be listened on at once. Port 0 never is: every use of it is another free port.
    fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => one == other && one.port() != 0,
            (Self::Unix(one), Self::Unix(other)) => one.path == other.path,
            (Self::Tcp(_), Self::Unix(_)) | (Self::Unix(_), Self::Tcp(_)) => false,
        }
    }
}

/// Where an address is taken already.
pub(super) fn taken(listeners: &[(Spot, ListenerConfig)], address: &ListenAddress) -> Option<Spot> {
    listeners.iter().find(|(_, other)| other.address.collides(address)).map(|(at, _)| *at)
}

/// The listeners, and where they stand.
pub(super) fn check(written: Vec<At<ListenerEntry>>, reader: &mut Reader<'_>) -> Vec<(Spot, ListenerConfig)> {
    let mut checked: Vec<(Spot, ListenerConfig)> = Vec::with_capacity(written.len());
    for (index, At { at, value: listener }) in written.into_iter().enumerate() {
        let config = reader.inside(Step::Key("listeners"), |reader| {
            reader.inside(Step::Index(index), |reader| check_one(at, listener, &checked, reader))
        });
        checked.push((at, config));
    }
    checked
}

fn check_one(
    at: Spot,
    written: ListenerEntry,
    others: &[(Spot, ListenerConfig)],
    reader: &mut Reader<'_>,
) -> ListenerConfig {
    let ListenerEntry { address, unix, tls, passthrough, redirect_to_https, proxy_protocol, gateways } =
        written;
    let networks = Some(proxy_protocol).filter(|At { value: List(networks), .. }| !networks.is_empty());
    let gateways = gateways.and_then(|At { at, value }| {
        if tls.is_none() {
            reader.inside(Step::Key("gateways"), |reader| {
                let message = "nobody is known for a gateway without TLS".into();
                reader.error(at, message, Some("write `tls` for the listener".into()));
            });
        }
        if let Some(At { at, .. }) = &networks {
            let message = "gateways say themselves whose a request is".into();
            reader.error(*at, message, Some("remove `proxy_protocol` from the listener".into()));
        }
        reader.inside(Step::Key("gateways"), |reader| authorities::read(&value.ca, "ca", reader))
    });
    let address = match address {
        Place::Tcp(address) => {
            if let Some(At { at, .. }) = unix {
                let message = format!("`{address}` is no unix socket");
                let hint = "remove `unix`, or write `address: \"unix:/PATH\"`";
                reader.error(at, message, Some(hint.into()));
            }
            ListenAddress::Tcp(address)
        }
        Place::Unix(path) => {
            if let Some(At { at, .. }) = &networks {
                let message = "peers of a unix socket are in no network".into();
                let hint = "write `unix: { trust: proxy_protocol }` instead of `proxy_protocol`";
                reader.error(*at, message, Some(hint.into()));
            }
            let unix = unix.map(|At { value, .. }| value);
            if unix.as_ref().is_none_or(|unix| unix.trust.is_none()) {
                let message = "nobody says who clients are: all of them are `0.0.0.0`, and share what one address may do";
                let hint = "write `unix: { trust: forwarded }`, or `proxy_protocol`, if a proxy connects; else `nothing`";
                reader.warning(at, message.into(), Some(hint.into()));
            }
            ListenAddress::Unix(unix_listen(path, unix))
        }
    };
    if let Some(other) = taken(others, &address) {
        reader.conflict(at, other, format!("`{address}` is there twice"), Some("remove one of them".into()));
    }
    if let Some(tls) = tls.as_ref().filter(|_| redirect_to_https) {
        let message = "a listener that speaks TLS has nowhere to redirect to".into();
        reader.error(tls.at, message, Some("remove `tls` or `redirect_to_https`".into()));
    }
    let passthrough = passthrough::check(passthrough.0, redirect_to_https, reader);
    if let Some(tls) = tls.as_ref().filter(|tls| tls.value.certificates.is_none() && !tls.value.acme) {
        let message = "the listener has no certificates".into();
        let hint = "write `certificates:` and a folder, or `acme: true`, or both";
        reader.error(tls.at, message, Some(hint.into()));
    }
    ListenerConfig {
        address,
        passthrough,
        tls: tls.map(|At { value: tls, .. }| ListenerTls {
            certificates: tls.certificates.map(|folder| folder.0),
            acme: tls.acme,
            minimum_version: tls.minimum_version.0,
            ticket_rotation: tls.ticket_rotation.0,
        }),
        redirect_to_https,
        proxy_protocol: networks.map_or_else(Vec::new, |At { value: List(networks), .. }| {
            networks.into_iter().map(|network| network.0).collect()
        }),
        gateways,
    }
}

/// Permissions of a socket's file where nothing is written: as those of the admin socket.
const DEFAULT_MODE: u32 = 0o660;

fn unix_listen(path: Box<str>, written: Option<UnixEntry>) -> UnixListen {
    match written {
        Some(UnixEntry { mode, owner, group, trust }) => UnixListen {
            path,
            mode: mode.0,
            owner: owner.map(|account| account.0),
            group: group.map(|account| account.0),
            trust: trust.map_or(UnixTrust::Nothing, |trust| trust.0),
        },
        None => UnixListen { path, mode: DEFAULT_MODE, owner: None, group: None, trust: UnixTrust::Nothing },
    }
}
