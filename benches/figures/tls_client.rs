//! Clients of TLS that resume nothing: each handshake is a full one.

use crate::Failure;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Trusts one authority and nothing else.
pub(crate) fn trusting(authority: CertificateDer<'static>) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}
