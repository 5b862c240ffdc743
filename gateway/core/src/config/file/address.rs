//! Addresses as a config writes them.

use super::value::text_schema;
use crate::config::read::Text;
use crate::host::HostName;
use core::net::SocketAddr;
use ipnet::IpNet;
use std::borrow::Cow;

text_schema! {
    Socket;
    Server;
    BackendAddress;
    Network;
    Address;
}

/// An address to listen on.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Socket(pub(in crate::config) SocketAddr);

impl Text for Socket {
    fn expected() -> Cow<'static, str> {
        "an IP address and a port, such as `0.0.0.0:8080` or `[::]:8080` (port 0: any free one)".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        parse_socket(text).map(Self)
    }
}

/// An address of a server.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Server(pub(in crate::config) SocketAddr);

impl Text for Server {
    fn expected() -> Cow<'static, str> {
        "an IP address and a port, such as `10.0.0.11:8069` or `[fd00::11]:8069`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match parse_socket(text)? {
            address if address.port() == 0 => Err("no server answers on port 0".into()),
            address if address.ip().is_unspecified() => {
                Err("it is the address to listen on all interfaces, and no server's".into())
            }
            address => Ok(Self(address)),
        }
    }
}

fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.parse::<core::net::IpAddr>().is_ok() {
        return Err("it has no port".into());
    }
    if text.contains("://") {
        return Err("it is a URL, not an address".into());
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && HostName::parse(host).is_ok() => {
            if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
                Err("it holds no IP address".into())
            } else {
                Err("it holds a host name, and here an address is needed".into())
            }
        }
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_err() => {
            Err("the port is not a number from 0 to 65535".into())
        }
        _ => Err("it is not an IP address with a port".into()),
    }
}

/// An address of a backend, or a name that leads to some, with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) enum BackendAddress {
    Address(SocketAddr),
    Name(HostName, u16),
}

impl Text for BackendAddress {
    fn expected() -> Cow<'static, str> {
        "an IP address and a port, such as `10.0.0.11:8069` or `[fd00::11]:8069`, or a name in DNS and a port, such as `odoo.internal:8069`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let reason = match Server::parse(text) {
            Ok(Server(address)) => return Ok(Self::Address(address)),
            Err(reason) => reason,
        };
        let named = text
            .rsplit_once(':')
            .and_then(|(name, port)| Some((HostName::parse(name).ok().filter(is_name)?, port.parse().ok()?)));
        match named {
            Some((_, 0)) => Err("no server answers on port 0".into()),
            Some((name, port)) => Ok(Self::Name(name, port)),
            None => Err(reason),
        }
    }
}

/// Whether a host is a name, and no address.
fn is_name(host: &HostName) -> bool {
    let digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    !host.as_str().starts_with('[') && !host.as_str().rsplit('.').next().is_none_or(digits)
}

/// A network of addresses.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Network(pub(in crate::config) IpNet);

impl Text for Network {
    fn expected() -> Cow<'static, str> {
        "a network such as `10.0.0.0/8`, or one address".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<core::net::IpAddr>() {
            return Ok(Self(IpNet::from(address)));
        }
        let network: IpNet =
            text.parse().map_err(|_| String::from("it is not an address with a prefix length"))?;
        if network == network.trunc() {
            Ok(Self(network))
        } else {
            Err(format!("it names an address inside the network `{}`", network.trunc()))
        }
    }
}

/// One address.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Address(pub(in crate::config) core::net::IpAddr);

impl Text for Address {
    fn expected() -> Cow<'static, str> {
        "an IP address without a port, such as `203.0.113.7`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "it is no IP address".into())
    }
}
