//! What a certificate says about its own life.

use fleetgate_core::acme::{Lifetime, Moment};
use instant_acme::CertificateIdentifier;
use rustls::pki_types::Der;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Life of a certificate, and its name for renewal information.
pub(super) struct Leaf {
    pub(super) lifetime: Lifetime,
    /// `None` when the certificate does not say who issued it.
    pub(super) identifier: Option<CertificateIdentifier<'static>>,
}

impl Leaf {
    /// Reads the first certificate of a chain.
    pub(super) fn of(key: &CertifiedKey) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(key.cert.first()?).ok()?;
        let validity = parsed.validity();
        let lifetime = Lifetime {
            not_before: Moment(validity.not_before.timestamp()),
            not_after: Moment(validity.not_after.timestamp()),
        };
        let issuer = parsed.extensions().iter().find_map(|extension| {
            let ParsedExtension::AuthorityKeyIdentifier(authority) = extension.parsed_extension() else {
                return None;
            };
            authority.key_identifier.as_ref()
        });
        let identifier = issuer.map(|issuer| {
            let serial = Der::from_slice(parsed.tbs_certificate.raw_serial());
            CertificateIdentifier::new(Der::from_slice(issuer.0), serial).into_owned()
        });
        Some(Self { lifetime, identifier })
    }
}
