//! Servers that are asked or told something over HTTP.

use crate::inward::points_inward;
use core::net::{IpAddr, Ipv6Addr};

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// Path and query.
    pub path: Box<str>,
}

/// Longest URL in bytes.
const URL_BYTES_MAX: usize = 2_048;
impl HttpTarget {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (tls, rest) = match url.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err("it begins with neither `https://` nor `http://`"),
        };
        if url.len() > URL_BYTES_MAX || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it is longer than 2048 bytes, or holds a character that no URL has");
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.contains('@') || path.contains('#') {
            return Err("it holds a user name or a fragment");
        }
        let (host, port) = split_port(authority).ok_or("its host or port cannot be read")?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("its port cannot be read")?,
            None if tls => 443,
            None => 80,
        };
        if let Ok(address) = host.parse::<IpAddr>()
            && points_inward(address)
        {
            return Err("it is a link-local address, where machines are told their secrets");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { tls, host: host.into(), port, path: path.into() })
    }
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    (!host.is_empty() && host.bytes().all(fine)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_a_target() {
        for (url, tls, host, port, path) in [
            ("https://hooks.example.com", true, "hooks.example.com", 443, "/"),
            ("http://10.0.0.1:8080/a/b?c=d", false, "10.0.0.1", 8080, "/a/b?c=d"),
            ("https://[fd00::1]:444?x", true, "fd00::1", 444, "/?x"),
        ] {
            let expected = HttpTarget { tls, host: host.into(), port, path: path.into() };
            assert_eq!(HttpTarget::parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_target_or_a_dangerous_one_is_refused() {
        for url in [
            "",
            "hooks.example.com",
            "ftp://a/",
            "https://",
            "https://a:0/",
            "https://a:99999/",
            "https://user@a/",
            "https://a/#x",
            "https://a b/",
            "https://[fe80::1]/",
            "https://[::ffff:169.254.169.254]/",
            "http://169.254.169.254/latest/meta-data",
            "http://100.100.100.200/",
            "http://[fd00:ec2::254]/",
            "http://0.0.0.0/",
            "http://[::1",
        ] {
            assert!(HttpTarget::parse(url).is_err(), "{url}");
        }
    }
}
