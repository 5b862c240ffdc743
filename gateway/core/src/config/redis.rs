//! What `redis` means.

use super::file::RedisEntry;
use super::model::Secret;
use super::read::{At, Reader, Step};
use crate::host::HostName;
use core::net::IpAddr;

/// The Redis that several nodes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Redis itself, or its Sentinels.
    pub servers: Vec<RedisServer>,
    /// Name by which the Sentinels know the service; `None`: the servers are Redis.
    pub sentinel_service: Option<Box<str>>,
    /// File with certificates to know servers by; `None`: those of the system.
    pub authority: Option<Box<str>>,
    /// User of Redis.
    pub user: Option<Box<str>>,
    /// Password of Redis.
    pub password: Option<Secret>,
    /// Name of this node; `None`: that of the machine.
    pub node: Option<Box<str>>,
    /// How many nodes there usually are.
    pub usual_nodes: u16,
    /// Beginning of all keys.
    pub prefix: Box<str>,
}

/// A server that speaks Redis' protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisServer {
    /// Name or address, without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Number of the database.
    pub database: u16,
}

/// Redis' own port.
const PORT: u16 = 6379;

impl RedisServer {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (tls, rest) = match url.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("rediss", rest)) => (true, rest),
            _ => return Err("it begins with neither `redis://` nor `rediss://`"),
        };
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err("user and password have keys of their own");
        }
        let database = if database.is_empty() { "0" } else { database };
        let database =
            database.parse().map_err(|_| "what follows the address is not the number of a database")?;
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some(""))),
            None => {
                authority.split_once(':').map_or((authority, Some("")), |(host, port)| (host, Some(port)))
            }
        };
        let port = match port {
            Some("") => PORT,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("its port cannot be read")?,
            None => return Err("its port cannot be read"),
        };
        if host.parse::<IpAddr>().is_err() && HostName::parse(host).is_err() {
            return Err("it names no server");
        }
        Ok(Self { host: host.into(), port, tls, database })
    }
}

/// The meaning of the section.
pub(super) fn check(written: RedisEntry, reader: &mut Reader<'_>) -> Redis {
    let At { at, value: servers } = written.servers;
    if servers.0.len() > 1 && written.sentinel_service.is_none() {
        reader.inside(Step::Key("redis"), |reader| {
            let hint = "write `sentinel_service:` and the name they know it by if these are Sentinels, or leave one server";
            reader.error(at, "there are several servers, and none of them is said to be a Sentinel".into(), Some(hint.into()));
        });
    }
    Redis {
        servers: servers.0.into_iter().map(|url| url.0).collect(),
        sentinel_service: written.sentinel_service.map(|name| name.0),
        authority: written.authority.map(|path| path.0),
        user: written.user.map(|user| user.0),
        password: written.password.map(|password| password.0),
        node: written.node.map(|name| name.0),
        usual_nodes: written.usual_nodes.0,
        prefix: written.prefix.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_redis_are_read_and_others_are_refused() {
        let read = |url: &str| {
            RedisServer::parse(url)
                .map(|server| (server.host.to_string(), server.port, server.tls, server.database))
        };
        assert_eq!(read("redis://10.0.0.5"), Ok(("10.0.0.5".into(), 6379, false, 0)));
        assert_eq!(
            read("rediss://redis.example.com:7000/3"),
            Ok(("redis.example.com".into(), 7000, true, 3))
        );
        assert_eq!(read("redis://[::1]:7"), Ok(("::1".into(), 7, false, 0)));
        assert_eq!(read("redis://[::1]/1"), Ok(("::1".into(), 6379, false, 1)));
        for url in [
            "10.0.0.5:6379",
            "http://a",
            "redis://",
            "redis://u:p@a",
            "redis://a:0",
            "redis://a:x",
            "redis://a/x",
            "redis://[::1",
            "redis://[::1]7",
            "redis://a b",
            "redis://a:1?db=1",
        ] {
            assert!(read(url).is_err(), "{url}");
        }
    }
}
