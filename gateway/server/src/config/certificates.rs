//! Certificates in files that the config names. An error follows the file's path in a sentence.

use fleetgate_core::certificate::Certificates;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Certificates of authorities, each one that a verifier can use.
pub(super) fn authorities(pem: &[u8]) -> Result<Certificates, String> {
    let read = read(pem)?;
    for (index, certificate) in read.iter().enumerate() {
        let mut store = RootCertStore::empty();
        store.add(certificate.clone()).map_err(|error| {
            format!("holds a certificate that cannot be used, number {}: {error}", index.saturating_add(1))
        })?;
    }
    Ok(bundle(&read))
}

/// A certificate and those that lead to its authority.
pub(super) fn chain(pem: &[u8]) -> Result<Certificates, String> {
    read(pem).map(|read| bundle(&read))
}

/// Whether a key can be used, and belongs to the first certificate of a chain.
pub(super) fn check_key(chain: &Certificates, pem: &str) -> Result<(), String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "holds no private key in PEM; an encrypted one cannot be used")?;
    let chain = chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let checked = CertifiedKey::from_der(chain, key, &ring::default_provider());
    checked.map(drop).map_err(|error| format!("does not fit the certificate: {error}"))
}

fn read(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|_| "holds a certificate that cannot be read")?;
    if read.is_empty() {
        return Err("holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)".into());
    }
    Ok(read)
}

fn bundle(read: &[CertificateDer<'_>]) -> Certificates {
    Certificates::new(read.iter().map(|der| der.as_ref().into()).collect())
}
