//! A certificate authority of a test.
#![allow(clippy::unwrap_used, reason = "certificates of names that a test has written can be made")]

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority that signs for servers and clients.
pub struct Authority {
    /// Its own certificate, in PEM.
    pub pem: String,
    /// What leads from it to the authority that everybody knows: nothing of one that is itself known.
    above: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Signed {
    /// The certificate, and behind it those that lead to an authority that everybody knows.
    pub chain: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// An authority with a name.
    pub fn new(name: &str) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), of_authority(name));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, above: String::new(), issuer: Issuer::new(params, key) }
    }

    /// An authority that this one has signed for: what it signs is shown with what leads here.
    pub fn below(&self, name: &str) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), of_authority(name));
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let above = format!("{pem}{}", self.above);
        Self { pem, above, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a host, or of a client with that name.
    pub fn sign(&self, name: &str) -> Signed {
        self.sign_as(name, |_| {})
    }

    /// A certificate that ended long ago.
    pub fn sign_expired(&self, name: &str) -> Signed {
        self.sign_as(name, |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1))
    }

    /// Shakes hands with a server of this authority, with what a client has.
    pub async fn connect(
        &self,
        server: SocketAddr,
        name: &str,
        own: Option<&Signed>,
        protocols: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let config = match own {
            Some(own) => {
                let chain =
                    CertificateDer::pem_slice_iter(own.chain.as_bytes()).map(Result::unwrap).collect();
                config
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap())
            }
            None => Ok(config.with_no_client_auth()),
        };
        let mut config = config.unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TcpStream::connect(server).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn sign_as(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem() + &self.above;
        Signed { chain, key: key.serialize_pem() }
    }
}

fn of_authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Signed {
    /// Writes `NAME.crt` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(format!("{name}.crt")), &self.chain).unwrap();
        fs::write(folder.join(format!("{name}.key")), &self.key).unwrap();
    }
}
