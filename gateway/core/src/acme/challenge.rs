//! How a server of ACME is shown that a name is ours.

use crate::host::HostPattern;

/// A kind of challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// A token below `/.well-known/acme-challenge/`, in the clear (RFC 8555, section 8.3).
    Http01,
    /// A handshake of TLS (RFC 8737).
    TlsAlpn01,
    /// A record in the zone (RFC 8555, section 8.4). The only one for a star.
    Dns01,
}

impl Challenge {
    /// As ACME writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }

    /// Whether a name may be proved so (RFC 8555, sections 7.1.3 and 8.3; RFC 8737, section 3).
    #[must_use]
    pub const fn fits(self, name: &HostPattern) -> bool {
        match (self, name) {
            (Self::Dns01, _) | (Self::Http01 | Self::TlsAlpn01, HostPattern::Exact(_)) => true,
            (Self::Http01 | Self::TlsAlpn01, HostPattern::Suffix(_)) => false,
        }
    }
}
