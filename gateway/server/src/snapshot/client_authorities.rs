//! Authorities of clients' certificates.

use fleetgate_core::certificate::Certificates;
use fleetgate_core::client_certificate::CertificateFault;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The authorities of a tenant, ready to judge.
#[derive(Debug)]
pub struct ClientAuthorities {
    written: Certificates,
    /// An error is one that the check of the config did not see: nobody is verified then.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    group: u64,
}

impl ClientAuthorities {
    pub(super) fn new(written: &Certificates) -> Self {
        let mut hasher = DefaultHasher::new();
        written.hash(&mut hasher);
        Self { written: written.clone(), verifier: verifier(written), group: hasher.finish() }
    }

    pub(super) const fn written(&self) -> &Certificates {
        &self.written
    }

    /// Differs between lists that differ.
    #[must_use]
    pub const fn group(&self) -> u64 {
        self.group
    }

    /// Whether a chain leads to one of the authorities, and is good for a client now.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), CertificateFault> {
        let (first, rest) = chain.split_first().ok_or(CertificateFault::Unusable)?;
        let verifier = self.verifier.as_ref().ok_or(CertificateFault::UnknownAuthority)?;
        let verified = verifier.verify_client_cert(first, rest, UnixTime::now());
        verified.map(drop).map_err(|error| fault_of(&error))
    }

    /// Asks clients for a certificate of these authorities in their handshake, and lets every handshake go on.
    #[must_use]
    pub fn ask(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        Some(Arc::new(Asking(Arc::clone(self.verifier.as_ref()?))))
    }
}

fn fault_of(error: &Error) -> CertificateFault {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    let Error::InvalidCertificate(cause) = error else { return CertificateFault::Unusable };
    if matches!(cause, UnknownIssuer | BadSignature) {
        CertificateFault::UnknownAuthority
    } else if matches!(cause, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }) {
        CertificateFault::Expired
    } else {
        CertificateFault::Unusable
    }
}

/// Lets clients in whose certificates come from some authorities; `None` where one of them cannot be used.
#[must_use]
pub fn verifier(written: &Certificates) -> Option<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for der in written.iter() {
        roots.add(CertificateDer::from(der.to_vec())).ok()?;
    }
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()
}

/// Asks for a certificate and has the client prove that it has its key. What the certificate is worth is judged for each
/// request, at the request's tenant: a handshake that failed for it could not say why.
#[derive(Debug)]
struct Asking(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
