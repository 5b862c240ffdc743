//! TLS among gateways: what each shows, and whom it takes for which other.

use fleetgate_core::certificate::{Certificates, Identity};
use fleetgate_core::config::{NodeAddress, Nodes};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What gateways speak inside of TLS (RFC 7301, section 6).
const HTTP1: &[u8] = b"http/1.1";

/// The section `nodes`, ready for handshakes.
pub(super) struct Credentials {
    pub(super) nodes: Nodes,
    pub(super) connector: TlsConnector,
    pub(super) acceptor: TlsAcceptor,
    /// Whether the certificate of this gateway is for its name. Nobody believes it otherwise.
    pub(super) fits: bool,
}

impl Credentials {
    /// Prepares handshakes.
    ///
    /// # Errors
    /// Certificates or a key that the check of the config did not refuse, and that cannot be used.
    pub(super) fn new(nodes: &Nodes) -> Result<Self, rustls::Error> {
        let Nodes { identity, authorities, name, .. } = nodes;
        let own = identity.chain.iter().next().map(|der| CertificateDer::from(der.to_vec()));
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client(authorities, identity)?)),
            acceptor: TlsAcceptor::from(Arc::new(server(authorities, identity)?)),
            fits: own.is_some_and(|own| is_for(&own, name)),
            nodes: nodes.clone(),
        })
    }

    /// The gateways besides this one.
    pub(super) fn others(&self) -> impl Iterator<Item = &NodeAddress> {
        self.nodes.gateways.iter().filter(|gateway| gateway.name != self.nodes.name)
    }

    /// Which of the others a certificate is for, if it is for one.
    pub(super) fn whose(&self, chain: &[CertificateDer<'_>]) -> Option<Box<str>> {
        let certificate = chain.first()?;
        let found = self.others().find(|gateway| is_for(certificate, &gateway.name));
        found.map(|gateway| gateway.name.clone())
    }
}

fn is_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let parsed = ParsedCertificate::try_from(certificate).ok();
    let name = ServerName::try_from(name).ok();
    parsed.zip(name).is_some_and(|(parsed, name)| verify_server_name(&parsed, &name).is_ok())
}

fn roots(authorities: &Certificates) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for der in authorities.iter() {
        roots.add(CertificateDer::from(der.to_vec()))?;
    }
    Ok(roots)
}

type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn shown(identity: &Identity) -> Result<Shown, rustls::Error> {
    let chain = identity.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
    Ok((chain, key.map_err(general)?))
}

fn client(authorities: &Certificates, identity: &Identity) -> Result<ClientConfig, rustls::Error> {
    let (chain, key) = shown(identity)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13])?.with_root_certificates(roots(authorities)?);
    let mut config = builder.with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![HTTP1.to_vec()];
    Ok(config)
}

fn server(authorities: &Certificates, identity: &Identity) -> Result<ServerConfig, rustls::Error> {
    let (chain, key) = shown(identity)?;
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(authorities)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let verifier = verifier.build().map_err(general)?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let mut config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key)?;
    // Each connection proves anew who comes.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![HTTP1.to_vec()];
    Ok(config)
}

fn general(error: impl ToString) -> rustls::Error {
    rustls::Error::General(error.to_string())
}
