//! The PROXY protocol: whose a connection is, said in front of it. Source: HAProxy's `doc/proxy-protocol.txt`, 2020/03/05.

use core::net::{IpAddr, SocketAddr};
use ppp::v2::{Builder, Command, Protocol, Version};
use ppp::{HeaderResult, PartialResult, v1, v2};

/// Longest header that is read: version 2 with the extensions that balancers send.
pub const BYTES_MAX: usize = 4_096;

/// What a header of version 1 begins with.
const LINE_START: &[u8] = b"PROXY";
/// Longest header of version 1, with its end (section 2.1).
const LINE_BYTES_MAX: usize = 107;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The start of a header, as far as it has come.
    Incomplete,
    /// A header.
    Whole {
        /// The client that it names; `None` when the balancer speaks for nobody, as in its health checks.
        client: Option<SocketAddr>,
        /// Bytes of the header; what follows is the client's.
        bytes: usize,
    },
    /// Something else, or a header that is too long.
    Malformed,
}

/// Reads a header of version 1 or 2 from the first bytes of a connection.
#[must_use]
pub fn parse(start: &[u8]) -> Header {
    let start = start.get(..BYTES_MAX).unwrap_or(start);
    if start.starts_with(LINE_START) || LINE_START.starts_with(start) {
        return match line_of(start) {
            Some(line) => parse_line(line),
            None if start.len() < LINE_BYTES_MAX => Header::Incomplete,
            None => Header::Malformed,
        };
    }
    let header = HeaderResult::parse(start);
    if header.is_incomplete() {
        return if start.len() < BYTES_MAX { Header::Incomplete } else { Header::Malformed };
    }
    match header {
        HeaderResult::V2(Ok(header)) => Header::Whole { client: v2_client(&header), bytes: header.len() },
        HeaderResult::V1(_) | HeaderResult::V2(Err(_)) => Header::Malformed,
    }
}

/// The line of version 1, with its end, if it is all there.
fn line_of(start: &[u8]) -> Option<&[u8]> {
    let start = start.get(..LINE_BYTES_MAX).unwrap_or(start);
    let end = start.windows(2).position(|two| two == b"\r\n")?;
    start.get(..end.saturating_add(2))
}

/// Reads a whole line. The library takes parts of some lines for malformed, and lets others end at a carriage return alone.
fn parse_line(line: &[u8]) -> Header {
    match HeaderResult::parse(line) {
        HeaderResult::V1(Ok(header)) if header.header.len() == line.len() => {
            Header::Whole { client: v1_client(&header.addresses), bytes: line.len() }
        }
        HeaderResult::V1(_) | HeaderResult::V2(_) => Header::Malformed,
    }
}

fn v1_client(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(tcp) => Some((tcp.source_address, tcp.source_port).into()),
        v1::Addresses::Tcp6(tcp) => Some((tcp.source_address, tcp.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

/// A health check of the balancer speaks for nobody (`LOCAL`).
fn v2_client(header: &v2::Header<'_>) -> Option<SocketAddr> {
    match (header.command, &header.addresses) {
        (Command::Proxy, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (Command::Proxy, v2::Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
        _ => None,
    }
}

/// The header of version 2 for a connection of a client, made to one of our own addresses. Where one of them is not known,
/// it names nobody (`LOCAL`).
#[must_use]
pub fn header(client: Option<SocketAddr>, own: Option<SocketAddr>) -> Vec<u8> {
    let builder = match client.zip(own) {
        Some(ends) => {
            Builder::with_addresses(Version::Two | Command::Proxy, Protocol::Stream, of_one_family(ends))
        }
        None => Builder::with_addresses(
            Version::Two | Command::Local,
            Protocol::Unspecified,
            v2::Addresses::Unspecified,
        ),
    };
    // It fails on more than 64 KiB of extensions, and there are none.
    builder.build().unwrap_or_default()
}

/// Both addresses as one family: IPv4 is written as IPv6 beside IPv6 (RFC 4291, section 2.5.5.2).
fn of_one_family((client, own): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (client, own) = (canonical(client), canonical(own));
    if client.is_ipv4() == own.is_ipv4() {
        return (client, own);
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (mapped(client), mapped(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn what_balancers_send_names_the_client_or_nobody() {
        for (header, client) in [
            ("PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n", address("192.0.2.7:5000")),
            ("PROXY TCP6 2001:db8::7 fd00::1 5000 443\r\n", address("[2001:db8::7]:5000")),
            ("PROXY UNKNOWN\r\n", None),
        ] {
            let whole = Header::Whole { client, bytes: header.len() };
            assert_eq!(parse(header.as_bytes()), whole, "{header}");
            assert_eq!(parse(format!("{header}GET / HTTP/1.1\r\n").as_bytes()), whole, "{header}");
            for cut in 0..header.len() {
                assert_eq!(parse(&header.as_bytes()[..cut]), Header::Incomplete, "{cut} bytes of {header}");
            }
        }
        for other in [
            "GET / HTTP/1.1\r\n\r\n",
            "PROXY TCP4 a b 1 2\r\n",
            "PROXY UNKNOWN \n\rx\r\n",
            "\r\n\r\n\0\r\nQUIX\n",
        ] {
            assert_eq!(parse(other.as_bytes()), Header::Malformed, "{other}");
        }
    }

    #[test]
    fn a_header_of_our_own_says_what_it_was_made_of() {
        for (client, own, named) in [
            ("192.0.2.7:5000", "10.0.0.1:443", "192.0.2.7:5000"),
            ("[2001:db8::7]:5000", "[fd00::1]:443", "[2001:db8::7]:5000"),
            ("[2001:db8::7]:5000", "10.0.0.1:443", "[2001:db8::7]:5000"),
            ("192.0.2.7:5000", "[fd00::1]:443", "[::ffff:192.0.2.7]:5000"),
            ("[::ffff:192.0.2.7]:5000", "10.0.0.1:443", "192.0.2.7:5000"),
        ] {
            let bytes = header(address(client), address(own));
            assert_eq!(parse(&bytes), Header::Whole { client: address(named), bytes: bytes.len() });
        }
        for (client, own) in [(None, None), (address("192.0.2.7:5000"), None)] {
            let bytes = header(client, own);
            assert_eq!(parse(&bytes), Header::Whole { client: None, bytes: bytes.len() });
        }
    }

    #[test]
    fn a_header_without_end_is_none() {
        // 16 bytes that announce 65535 more.
        let mut endless = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec();
        assert_eq!(parse(&endless), Header::Incomplete);
        endless.resize(100_000, 0);
        assert_eq!(parse(&endless), Header::Malformed);
    }
}
