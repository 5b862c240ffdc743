//! Listeners, as written.

use super::TRUSTED_PROXIES_MAX;
use super::address::{Network, Server, Socket};
use super::collection::{Choice, List, OneOf};
use super::tenant::Host;
use super::value::{FilePath, Folder, Lasting, SOCKET_PATH_BYTES_MAX, text_schema};
use crate::config::listen::UnixTrust;
use crate::config::model::TlsVersion;
use crate::config::read::{At, Text, section};
use core::net::SocketAddr;
use std::borrow::Cow;

/// Most routes of a listener whose connections are passed on, and names of each.
const PASSTHROUGH_MAX: usize = 1000;

section! {
    /// An address that clients connect to.
    pub(in crate::config) struct ListenerEntry {
        /// Address and port, or `unix:` and the path of a unix socket.
        address: Place,
        /// The file of a unix socket, and what its peers are believed. On listeners whose address begins with `unix:`.
        #[schemars(extend("x-default" = "its defaults"))]
        unix: Option<At<UnixEntry>> = null,
        /// Speaks TLS. Left out, the listener speaks plain HTTP.
        tls: Option<At<ListenerTlsEntry>> = null,
        /// Names whose TLS connections somebody else answers: they are passed on byte by byte, and nothing in them is seen
        /// here. On a listener without `tls`, all others are closed.
        passthrough: List<At<PassthroughEntry>, 0, PASSTHROUGH_MAX> = [],
        /// Sends every request to the same address with `https://`, and serves nothing else. On listeners without
        /// `tls`.
        redirect_to_https: bool = false,
        /// Networks of balancers that put the client's address in front of each connection (PROXY protocol, version 1 or
        /// 2). From them the header is required, from anybody else it is refused. For unix sockets, see `unix.trust`.
        proxy_protocol: At<List<Network, 0, TRUSTED_PROXIES_MAX>> = [],
        /// Serves the Fleetgates of other sites and nobody else. What they say about clients is believed, what they send goes
        /// to Odoo servers of this site or to none, and it is charged to no limit and no quota: it was where it came from.
        /// On listeners with `tls`.
        gateways: Option<At<GatewayPeersEntry>> = null,
    }
}

section! {
    /// Fleetgates of other sites.
    pub(in crate::config) struct GatewayPeersEntry {
        /// File with the certificates of the authorities that their certificates must come from, in PEM. Use one that signs
        /// nothing else. Relative paths start at the folder of the main file.
        ca: At<FilePath>,
    }
}

section! {
    /// A unix socket that clients connect to. A file that a dead process left is replaced; that of a living one is not.
    pub(in crate::config) struct UnixEntry {
        /// Permissions of the file: who may write to it may connect.
        mode: Mode = "0660",
        /// Owner of the file, a name or a number. Left out, who runs the process; only root may give it to others.
        owner: Option<Account> = null,
        /// Group of the file, a name or a number. Left out, that of the process; others than root may name groups that
        /// they are in.
        group: Option<Account> = null,
        /// What peers are believed about clients. They have no address, so neither `trusted_proxies` nor
        /// `proxy_protocol` can name them. `nothing`: every client is `0.0.0.0` to limits, guards, logs and Odoo.
        /// `forwarded`: their `X-Forwarded-*` headers are believed as those of `trusted_proxies`. `proxy_protocol`: each
        /// connection has to begin with the header, and the client that it names is treated as one who came by TCP.
        #[schemars(extend("x-default" = "`nothing`, with a warning"))]
        trust: Option<OneOf<UnixTrust>> = null,
    }
}

impl Choice for UnixTrust {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("nothing", Self::Nothing),
        ("forwarded", Self::Forwarded),
        ("proxy_protocol", Self::ProxyProtocol),
    ];
}

text_schema! {
    Place;
    Mode;
    Account;
}

/// Where a listener is.
#[derive(Debug, Clone)]
pub(in crate::config) enum Place {
    /// Address and port.
    Tcp(SocketAddr),
    /// Path of a unix socket.
    Unix(Box<str>),
}

/// Bytes of a path that are left for the name under which a socket is made, before it is moved to its path.
const FRESH_NAME_BYTES: usize = 12;

impl Text for Place {
    fn expected() -> Cow<'static, str> {
        "an IP address and a port, such as `0.0.0.0:8080` or `[::]:8080` (port 0: any free one), or `unix:` and an absolute path of at most 95 bytes"
            .into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix("unix:") else {
            return Socket::parse(text).map(|Socket(address)| Self::Tcp(address));
        };
        if !path.starts_with('/') || path.ends_with('/') {
            return Err("the path of the socket is not the absolute path of a file".into());
        }
        if path.len() > SOCKET_PATH_BYTES_MAX.saturating_sub(FRESH_NAME_BYTES) {
            return Err("the path is longer than Linux allows for a socket".into());
        }
        if path.bytes().any(|byte| byte.is_ascii_control() || byte == b',') {
            return Err("the path holds a comma or a control character".into());
        }
        Ok(Self::Unix(path.into()))
    }
}

/// Permissions of a file.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Mode(pub(in crate::config) u32);

impl Text for Mode {
    fn expected() -> Cow<'static, str> {
        "permissions in octal digits, from `0000` to `0777`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o777);
        mode.map(Self).ok_or_else(|| "it is not three octal digits, with or without a zero before".into())
    }
}

/// A user or a group of the system.
#[derive(Debug, Clone)]
pub(in crate::config) struct Account(pub(in crate::config) Box<str>);

/// Longest name of a user or group (`useradd(8)`).
const ACCOUNT_BYTES_MAX: usize = 32;

impl Text for Account {
    fn expected() -> Cow<'static, str> {
        "a name of at most 32 characters that the system knows, or a number".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.len() {
            0 => Err("it is empty".into()),
            length if length > ACCOUNT_BYTES_MAX => Err("it is longer than 32 characters".into()),
            _ if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') => Ok(Self(text.into())),
            _ => Err("it holds a character that no name has".into()),
        }
    }
}

section! {
    /// Names whose TLS connections are passed on.
    pub(in crate::config) struct PassthroughEntry {
        /// Names that clients ask for: exact ones, or `*.suffix` for every name one label longer.
        hosts: List<At<Host>, 1, PASSTHROUGH_MAX>,
        /// Who answers.
        address: Server,
        /// How long a connection may be without a byte, either way.
        idle_timeout: Lasting<1_000, 86_400_000> = "10m",
        /// Puts the client's address in front of each connection (PROXY protocol, version 2). Who answers has to expect
        /// it.
        proxy_protocol: bool = false,
    }
}

section! {
    /// TLS of a listener.
    pub(in crate::config) struct ListenerTlsEntry {
        /// Folder of certificates in PEM: pairs of files that differ in their endings (`.crt`, `.pem` or `.cert`, and
        /// `.key`), or subfolders with `tls.crt` and `tls.key` as Kubernetes mounts them. Each serves the names that it
        /// holds. Changes are taken live; a pair that is broken keeps what it last was. May be left out beside `acme: true`.
        certificates: Option<Folder> = null,
        /// Serves certificates that are ordered by `acme`, to names that the folder has none for.
        acme: bool = false,
        /// Oldest version of TLS that is spoken.
        minimum_version: OneOf<TlsVersion> = "1.2",
        /// Time after which sessions are sealed with a new key. The key before opens them for as long again; after that a
        /// handshake is a whole one.
        ticket_rotation: Lasting<1_000, 21_600_000> = "6h",
    }
}

impl Choice for TlsVersion {
    const CHOICES: &'static [(&'static str, Self)] = &[("1.2", Self::V12), ("1.3", Self::V13)];
}
