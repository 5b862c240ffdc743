//! Certificates of clients: which tenants ask for one, and what became of it.
//!
//! Core reads no certificate. Whoever does says what came of it, as a [`Proof`], and [`judge`] decides.

use crate::certificate::Certificates;
use crate::rejection::Rejection;

/// What a tenant asks of the certificates of its clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificates {
    /// Authorities that they must come from. Those of other tenants count for nothing.
    pub authorities: Certificates,
    /// Whether nobody is served without one.
    pub required: bool,
    /// Whether Odoo is told the certificate, as [`HEADER`].
    pub forward: bool,
}

/// Place of a tenant's [`ClientCertificates`] in the fleet, from 1. Nearly all tenants ask for none: 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClientCertificatesIndex(pub u32);

impl ClientCertificatesIndex {
    /// Place in a list; `None` when no certificate is asked for.
    #[must_use]
    pub fn position(self) -> Option<usize> {
        usize::try_from(self.0.checked_sub(1)?).ok()
    }
}

/// Field with the certificate of a client (RFC 9440, section 2.2).
pub const HEADER: &str = "client-cert";
/// Field with what leads from it to its authority (RFC 9440, section 2.3). Gateways of other sites alone are told.
pub const CHAIN_HEADER: &str = "client-cert-chain";

/// What a client has shown on its connection, held against what the tenant of the request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It is not looked at: the tenant asks for none, or nothing is served here.
    NotNeeded,
    /// The connection was made before anybody asked for a certificate.
    NotAsked,
    /// There is none, or none that counts.
    None(CertificateFault),
    /// It comes from the tenant's authorities.
    Verified,
}

/// What is wrong with the certificate of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateFault {
    /// None was shown.
    Absent,
    /// It comes from an authority that is none of the tenant's.
    UnknownAuthority,
    /// It has ended, or has not begun.
    Expired,
    /// It is not one for clients, or cannot be read.
    Unusable,
}

impl CertificateFault {
    /// Name in logs; never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::UnknownAuthority => "unknown_authority",
            Self::Expired => "expired",
            Self::Unusable => "unusable",
        }
    }
}

/// Whether a client may go on to a tenant that asks for certificates.
///
/// # Errors
/// It has to show another one, or show it on another connection.
pub fn judge(asked: Option<&ClientCertificates>, proof: Proof) -> Result<(), Rejection> {
    match (asked, proof) {
        (None, _) | (_, Proof::NotNeeded | Proof::Verified) => Ok(()),
        // Clients of HTTP try again on a new connection, and there they are asked (RFC 9110, section 15.5.20).
        (Some(_), Proof::NotAsked) => Err(Rejection::WrongServerName),
        (Some(asked), Proof::None(fault)) if asked.required => Err(Rejection::ClientCertificate(fault)),
        (Some(_), Proof::None(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tenant_that_requires_a_certificate_refuses_clients_without() {
        let asked = |required| ClientCertificates {
            authorities: Certificates::new(Vec::new()),
            required,
            forward: false,
        };
        let absent = Proof::None(CertificateFault::Absent);
        let refused = Err(Rejection::ClientCertificate(CertificateFault::Absent));
        assert_eq!(judge(None, absent), Ok(()));
        assert_eq!(judge(Some(&asked(false)), absent), Ok(()));
        assert_eq!(judge(Some(&asked(true)), absent), refused);
        assert_eq!(judge(Some(&asked(true)), Proof::Verified), Ok(()));
        assert_eq!(judge(Some(&asked(false)), Proof::NotAsked), Err(Rejection::WrongServerName));
    }
}
