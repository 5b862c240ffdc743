//! TLS with the backends of a pool.

use fleetgate_core::certificate::{Certificates, Identity};
use fleetgate_core::pool::BackendTls;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What backends are asked to speak inside of TLS (RFC 7301, section 6).
const HTTP1: &[u8] = b"http/1.1";

/// Makes TLS of connections to the backends of a pool. Sessions are resumed.
pub struct BackendTlsClient {
    written: BackendTls,
    /// An error is one that the check of the config did not see.
    session: Result<Session, rustls::Error>,
    group: u64,
}

struct Session {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for BackendTlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendTlsClient").field("written", &self.written).finish_non_exhaustive()
    }
}

impl BackendTlsClient {
    /// How TLS is made with servers.
    #[must_use]
    pub fn new(written: &BackendTls) -> Self {
        let mut hasher = DefaultHasher::new();
        written.hash(&mut hasher);
        Self { written: written.clone(), session: session(written), group: hasher.finish() }
    }

    pub(super) const fn written(&self) -> &BackendTls {
        &self.written
    }

    /// Differs between clients that differ in anything: connections of one are none of another's.
    #[must_use]
    pub const fn group(&self) -> u64 {
        self.group
    }

    /// Shakes hands on a new connection.
    ///
    /// # Errors
    /// The backend left, or does not show what the pool's `tls` asks for. The cause is then a [`rustls::Error`].
    pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        match &self.session {
            Ok(Session { connector, name }) => connector.connect(name.clone(), stream).await,
            Err(error) => Err(io::Error::other(error.clone())),
        }
    }
}

fn session(written: &BackendTls) -> Result<Session, rustls::Error> {
    let mut config = client_config(&written.authorities, written.client.as_ref())?;
    config.alpn_protocols = vec![HTTP1.to_vec()];
    let name = ServerName::try_from(written.server_name.as_str().to_owned());
    let name = name.map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(Session { connector: TlsConnector::from(Arc::new(config)), name })
}

/// TLS towards servers whose certificates come from some authorities and nobody else.
///
/// # Errors
/// Certificates or a key that the check of the config did not refuse, and that cannot be used.
pub fn client_config(
    authorities: &Certificates,
    client: Option<&Identity>,
) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for der in authorities.iter() {
        roots.add(CertificateDer::from(der.to_vec()))?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let Some(identity) = client else { return Ok(builder.with_no_client_auth()) };
    let chain = identity.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
    builder.with_client_auth_cert(chain, key.map_err(|error| rustls::Error::General(error.to_string()))?)
}
