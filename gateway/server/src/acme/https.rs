//! Requests to a server of ACME: one connection each, with a deadline and a bound on what comes back.

use super::trouble::StartError;
use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// For one request, from the connection to the last byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer; chains of certificates are a few thousand bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Who asks (RFC 8555, section 6.1).
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("fleetgate/", env!("CARGO_PKG_VERSION"), " instant-acme"));

/// A client of a server of ACME.
#[derive(Clone)]
pub(super) struct Https(TlsConnector);

impl Https {
    /// A client that knows servers by the certificates of a file, or by those of the system.
    pub(super) fn new(directory_ca: Option<&Path>) -> Result<Self, StartError> {
        let mut roots = RootCertStore::empty();
        match directory_ca {
            Some(file) => {
                let unreadable = || StartError::DirectoryCa { file: file.to_owned() };
                let certificates = CertificateDer::pem_file_iter(file).map_err(|_| unreadable())?;
                for certificate in certificates {
                    roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
                }
                if roots.is_empty() {
                    return Err(unreadable());
                }
            }
            None => {
                let certificates = rustls_native_certs::load_native_certs().unwrap_or_default();
                if roots.add_parsable_certificates(certificates).0 == 0 {
                    return Err(StartError::NoRoots);
                }
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

type Answered = Result<BytesResponse, Error>;

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Answered> + Send>> {
        let connector = self.0.clone();
        Box::pin(async move {
            let server = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            match timeout(REQUEST_TIMEOUT, exchange(connector, request)).await {
                Ok(Ok(response)) => Ok(BytesResponse::from(response)),
                Ok(Err(error)) => Err(Error::Other(format!("{server}: {error}").into())),
                Err(_) => Err(Error::Other(format!("{server} did not answer in 30 s").into())),
            }
        })
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(
    connector: TlsConnector,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Failed> {
    let uri = request.uri();
    let authority =
        uri.authority().filter(|_| uri.scheme_str() == Some("https")).ok_or("it is no https URL")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(443);
    let host_header = HeaderValue::from_str(authority.as_str())?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>()?;
    let stream = TcpStream::connect((&*host, port)).await?;
    let stream = connector.connect(ServerName::try_from(host)?, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the last use of the sender.
    let connection = tokio::spawn(connection);
    *request.uri_mut() = path;
    request.headers_mut().insert(HOST, host_header);
    request.headers_mut().insert(USER_AGENT, AGENT);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    connection.abort();
    match body {
        Ok(body) => Ok(Response::from_parts(parts, Full::new(body.to_bytes()))),
        Err(error) => Err(io::Error::other(error).into()),
    }
}
