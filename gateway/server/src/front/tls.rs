//! The server's side of TLS.

use crate::certificates::CertificateStore;
use crate::connection::Transport;
use fleetgate_core::config::TlsVersion;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ResolvesServerCert;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// For a handshake, from the first byte to the last.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 over TLS (RFC 9113, section 3.3).
const HTTP2: &[u8] = b"h2";
/// HTTP/1.1 over TLS (RFC 7301, section 6).
const HTTP1: &[u8] = b"http/1.1";

/// TLS of a listener.
#[derive(Clone)]
pub struct TlsFront {
    acceptor: TlsAcceptor,
    certificates: Arc<CertificateStore>,
}

/// A connection after its handshake.
pub(super) struct Secured {
    /// The connection.
    pub(super) transport: Transport,
    /// Whether the client chose HTTP/2.
    pub(super) http2: bool,
    /// The name that the client asked for.
    pub(super) server_name: Option<String>,
}

impl TlsFront {
    /// Reads the certificates of a listener.
    ///
    /// # Errors
    /// The folder of certificates cannot be read, or this build of rustls lacks a version of TLS.
    pub fn open(folder: &Path, minimum_version: TlsVersion) -> io::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let certificates = Arc::new(CertificateStore::open(folder, Arc::clone(&provider))?);
        let settings = settings(provider, minimum_version, &certificates).map_err(io::Error::other)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(settings)), certificates })
    }

    /// The certificates.
    #[must_use]
    pub fn certificates(&self) -> &Arc<CertificateStore> {
        &self.certificates
    }

    /// Shakes hands. `None` when the client leaves, is too slow, or asks for a name without a certificate.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<Secured> {
        match timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let connection = stream.get_ref().1;
                let http2 = connection.alpn_protocol() == Some(HTTP2);
                let server_name = connection.server_name().map(str::to_owned);
                Some(Secured { transport: Transport::Tls(Box::new(stream.into())), http2, server_name })
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }
}

fn settings(
    provider: Arc<CryptoProvider>,
    minimum: TlsVersion,
    certificates: &Arc<CertificateStore>,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match minimum {
        TlsVersion::V12 => &[&TLS13, &TLS12],
        TlsVersion::V13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let certificates: Arc<dyn ResolvesServerCert> = Arc::<CertificateStore>::clone(certificates);
    let mut settings = builder.with_no_client_auth().with_cert_resolver(certificates);
    settings.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    // Keys change by themselves every few hours; a ticket is good for both keys.
    settings.ticketer = ring::Ticketer::new()?;
    Ok(settings)
}
