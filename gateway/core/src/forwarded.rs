//! Who the client is when trusted proxies stand in front.

use core::net::IpAddr;
use ipnet::IpNet;

/// Hops of `X-Forwarded-For` that are read, from the nearest.
pub const HOPS_MAX: usize = 32;

/// Scheme that the client used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As `X-Forwarded-Proto` and URLs write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Port that a URL of this scheme need not write.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Whether a peer is one of the trusted proxies.
#[must_use]
pub fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|net| net.contains(&peer))
}

/// What a peer is believed about the client behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerTrust {
    /// What its address says: whether it is one of the trusted proxies.
    #[default]
    ByAddress,
    /// Everything: it has no address, and its listener says so.
    Always,
    /// Nothing: it has no address, and its listener says nothing.
    Never,
}

impl PeerTrust {
    /// Whether the peer's words count.
    #[must_use]
    pub fn covers(self, peer: IpAddr, trusted: &[IpNet]) -> bool {
        match self {
            Self::ByAddress => is_trusted(peer, trusted),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Finds the client's address: from the right, the first address of `X-Forwarded-For` that is no trusted proxy.
///
/// A hop that is no address ends the walk, and the nearest address before it counts: what lies beyond was not
/// written by a proxy that we trust. From an untrusted peer the header counts for nothing.
pub fn client_address<'a>(
    peer: IpAddr,
    peer_trusted: bool,
    forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
    trusted: &[IpNet],
) -> IpAddr {
    let mut client = peer.to_canonical();
    if !peer_trusted {
        return client;
    }
    for hop in forwarded_for.rev().flat_map(|line| line.rsplit(|&byte| byte == b',')).take(HOPS_MAX) {
        let Some(address) = hop_address(hop) else { break };
        client = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    client
}

/// `203.0.113.9`, `203.0.113.9:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(hop.trim_ascii()).ok()?;
    let address = text.parse::<IpAddr>().ok().or_else(|| {
        let with_port = text.parse::<core::net::SocketAddr>().ok();
        with_port
            .map(|address| address.ip())
            .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
    })?;
    Some(address.to_canonical())
}

/// The scheme that the client used: the last `X-Forwarded-Proto` of a trusted peer, else the listener's.
///
/// Traefik writes `wss` for websockets; Odoo compares the scheme with the page's origin, so it becomes `https`.
#[must_use]
pub fn client_scheme(peer_trusted: bool, forwarded_proto: Option<&[u8]>, listener: Scheme) -> Scheme {
    let last =
        forwarded_proto.filter(|_| peer_trusted).and_then(|value| value.rsplit(|&byte| byte == b',').next());
    match last.map(<[u8]>::trim_ascii) {
        Some(value) if value.eq_ignore_ascii_case(b"https") || value.eq_ignore_ascii_case(b"wss") => {
            Scheme::Https
        }
        Some(value) if value.eq_ignore_ascii_case(b"http") || value.eq_ignore_ascii_case(b"ws") => {
            Scheme::Http
        }
        _ => listener,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        let peer = peer.parse().unwrap();
        let peer_trusted = PeerTrust::ByAddress.covers(peer, &trusted);
        client_address(peer, peer_trusted, lines.iter().map(|line| line.as_bytes()), &trusted).to_string()
    }

    #[test]
    fn a_forged_header_of_an_untrusted_peer_counts_for_nothing() {
        assert_eq!(client("203.0.113.9", &["1.2.3.4"]), "203.0.113.9");
    }

    #[test]
    fn a_peer_without_an_address_is_believed_by_its_listener_alone() {
        let everybody: Vec<IpNet> = vec!["0.0.0.0/0".parse().unwrap()];
        let nobody = IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
        assert!(!PeerTrust::Never.covers(nobody, &everybody));
        assert!(PeerTrust::Always.covers(nobody, &[]));
        let hops: [&[u8]; 1] = [b"1.2.3.4, 203.0.113.9"];
        assert_eq!(client_address(nobody, true, hops.into_iter(), &[]).to_string(), "203.0.113.9");
        assert_eq!(client_address(nobody, false, hops.into_iter(), &everybody), nobody);
        assert_eq!(client_address(nobody, true, [].into_iter(), &[]), nobody);
    }

    #[test]
    fn the_nearest_untrusted_hop_is_the_client() {
        assert_eq!(client("10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.0.0.7"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["1.2.3.4", "203.0.113.9", "10.0.0.7"]), "203.0.113.9");
        assert_eq!(client("::ffff:10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(client("fd00::1", &["203.0.113.9:80"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["10.0.0.9"]), "10.0.0.9");
    }

    #[test]
    fn a_hop_that_is_no_address_ends_the_walk() {
        assert_eq!(client("10.0.0.1", &["1.2.3.4, unknown, 10.0.0.7"]), "10.0.0.7");
        assert_eq!(client("10.0.0.1", &["<script>"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn websocket_schemes_read_as_their_page_schemes() {
        let scheme = |value: &str| client_scheme(true, Some(value.as_bytes()), Scheme::Http);
        assert_eq!(scheme("wss"), Scheme::Https);
        assert_eq!(scheme("http, HTTPS"), Scheme::Https);
        assert_eq!(scheme("gopher"), Scheme::Http);
        assert_eq!(client_scheme(false, Some(b"https"), Scheme::Http), Scheme::Http);
    }
}
