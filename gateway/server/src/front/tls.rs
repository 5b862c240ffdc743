//! The server's side of TLS.

use super::hello::Hello;
use super::tickets::tickets;
use crate::acme::Answers;
use crate::certificates::CertificateStore;
use crate::connection::{ClientCertificate, Socket, Transport};
use crate::snapshot::{SnapshotStore, verifier};
use fleetgate_core::certificate::Certificates as Authorities;
use fleetgate_core::config::{ListenerTls, TlsVersion};
use fleetgate_core::host::HostKey;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::io;
use std::sync::Arc;
use tokio_rustls::server::StartHandshake;

/// HTTP/2 over TLS (RFC 9113, section 3.3).
const HTTP2: &[u8] = b"h2";
/// HTTP/1.1 over TLS (RFC 7301, section 6).
const HTTP1: &[u8] = b"http/1.1";

/// The handshake of a server of ACME that proves a name (RFC 8737, section 4).
const ACME: &[u8] = b"acme-tls/1";

/// TLS of a listener.
pub struct TlsFront {
    offer: Offer,
    /// For names whose tenants ask for no certificate.
    settings: Arc<ServerConfig>,
    /// Who is asked whether a tenant does; `None`: everybody has shown one.
    tenants: Option<Arc<SnapshotStore>>,
}

/// What all handshakes of a listener offer.
struct Offer {
    provider: Arc<CryptoProvider>,
    minimum_version: TlsVersion,
    certificates: Certificates,
}

/// Where a listener takes its certificates from.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The folder of the listener.
    pub folder: Option<Arc<CertificateStore>>,
    /// What is ordered by ACME, for names that the folder has nothing for.
    pub acme: Option<(Arc<CertificateStore>, Arc<Answers>)>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?;
        if let Some((_, answers)) = &self.acme
            && asks_for_proof(&hello)
        {
            return answers.handshake(name);
        }
        let in_folder = self.folder.as_ref().and_then(|folder| folder.find(name));
        in_folder.or_else(|| self.acme.as_ref()?.0.find(name))
    }
}

/// Whether a client is a server of ACME that wants a name to be proved: it offers nothing else (RFC 8737, section 3).
fn asks_for_proof(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME) && offered.next().is_none())
}

/// A connection after its handshake.
pub(super) struct Secured {
    /// The connection.
    pub(super) transport: Transport,
    /// Whether the client chose HTTP/2.
    pub(super) http2: bool,
    /// The name that the client asked for.
    pub(super) server_name: Option<HostKey>,
    /// Whether the client was asked for a certificate.
    pub(super) asked_certificate: bool,
    /// The certificate that it has shown.
    pub(super) certificate: Option<Arc<ClientCertificate>>,
}

impl TlsFront {
    /// Prepares TLS of a listener. `tenants` say who asks for certificates of clients.
    ///
    /// # Errors
    /// This build of rustls lacks a version of TLS, or the system gives no randomness.
    pub fn new(
        certificates: Certificates,
        listener: &ListenerTls,
        tenants: Arc<SnapshotStore>,
    ) -> io::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let offer = Offer { provider, minimum_version: listener.minimum_version, certificates };
        let mut settings = offer.settings(None).map_err(io::Error::other)?;
        settings.ticketer = tickets(listener.ticket_rotation).map_err(io::Error::other)?;
        Ok(Self { offer, settings: Arc::new(settings), tenants: Some(tenants) })
    }

    /// Prepares TLS of a listener for gateways, whose certificates have to come from some authorities.
    ///
    /// # Errors
    /// As [`Self::new`], or an authority cannot be used.
    pub fn for_gateways(
        certificates: Certificates,
        listener: &ListenerTls,
        authorities: &Authorities,
    ) -> io::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let offer = Offer { provider, minimum_version: listener.minimum_version, certificates };
        let verifier =
            verifier(authorities).ok_or_else(|| io::Error::other("an authority cannot be used"))?;
        let mut settings = offer.settings(Some(verifier)).map_err(io::Error::other)?;
        // A resumed session would not show again who comes.
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
        Ok(Self { offer, settings: Arc::new(settings), tenants: None })
    }

    /// Answers a client's first message and shakes hands.
    ///
    /// # Errors
    /// The client leaves, asks for a name without a certificate, or was a server of ACME that has seen enough.
    pub(super) async fn answer(&self, hello: Hello, stream: Socket) -> io::Result<Secured> {
        let Hello { accepted, server_name, .. } = hello;
        // A server of ACME has no certificate of a tenant's authority, and gets nothing but the handshake.
        let proves = self.offer.certificates.acme.is_some() && asks_for_proof(&accepted.client_hello());
        let asking = server_name.filter(|_| !proves).and_then(|name| self.asking(&name));
        let start = StartHandshake::from_parts(accepted, stream);
        let asked_certificate = asking.is_some();
        let settings = asking.unwrap_or_else(|| Arc::clone(&self.settings));
        let stream = start.into_stream(settings).await?;
        let connection = stream.get_ref().1;
        if connection.alpn_protocol() == Some(ACME) {
            // The handshake was all that was asked for.
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let http2 = connection.alpn_protocol() == Some(HTTP2);
        let chain = connection.peer_certificates().unwrap_or_default();
        let certificate = ClientCertificate::new(chain).map(Arc::new);
        let transport = Transport::Right(Box::new(stream.into()));
        Ok(Secured { transport, http2, server_name, asked_certificate, certificate })
    }

    /// Settings for a name whose tenant asks clients for a certificate. Others are not asked: browsers would show a
    /// choice of certificates to everybody.
    fn asking(&self, name: &HostKey) -> Option<Arc<ServerConfig>> {
        let snapshot = self.tenants.as_ref()?.load();
        if snapshot.fleet.client_certificates.is_empty() {
            return None;
        }
        let found = snapshot.fleet.tenants.resolve(name)?;
        let verifier = snapshot.client_authorities(&found)?.ask()?;
        let mut settings = self.offer.settings(Some(verifier)).ok()?;
        // A resumed session would not ask again who comes.
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
        Some(Arc::new(settings))
    }
}

impl Offer {
    fn settings(&self, clients: Option<Arc<dyn ClientCertVerifier>>) -> Result<ServerConfig, rustls::Error> {
        let versions: &[&SupportedProtocolVersion] = match self.minimum_version {
            TlsVersion::V12 => &[&TLS13, &TLS12],
            TlsVersion::V13 => &[&TLS13],
        };
        let provider = Arc::clone(&self.provider);
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
        let builder = match clients {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut settings = builder.with_cert_resolver(Arc::new(self.certificates.clone()));
        settings.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        if self.certificates.acme.is_some() {
            settings.alpn_protocols.push(ACME.to_vec());
        }
        Ok(settings)
    }
}
