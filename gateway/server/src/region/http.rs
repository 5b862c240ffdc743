//! One question over HTTP, for probes.

use super::tls::tls_words;
use crate::snapshot::BackendTlsClient;
use crate::upstream::{DialError, connect, dial, secure, tls_cause};
use fleetgate_core::http_target::HttpTarget;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::Request;
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::lookup_host;
use tokio::time::timeout;

/// Largest body of an answer that is read, in bytes: those that probes want are a few dozen.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Who asks.
const USER_AGENT: http::HeaderValue =
    http::HeaderValue::from_static(concat!("fleetgate/", env!("CARGO_PKG_VERSION")));

/// Asks for a path; see [`exchange`].
///
/// # Errors
/// What went wrong, in words for an operator.
pub(super) async fn get(
    address: SocketAddr,
    path: &str,
    tls: Option<&BackendTlsClient>,
) -> Result<(u16, Bytes), String> {
    let request = Request::get(path).header(http::header::HOST, address.to_string());
    exchange(address, request.body(Empty::new()).map_err(|error| error.to_string())?, tls).await
}

/// Asks with a body of JSON, and `fields` beside what such a question needs; see [`exchange`].
///
/// # Errors
/// What went wrong, in words for an operator.
pub(super) async fn post(
    address: SocketAddr,
    path: &str,
    json: Vec<u8>,
    fields: &[(&str, &str)],
    tls: Option<&BackendTlsClient>,
) -> Result<(u16, Bytes), String> {
    let request = Request::post(path)
        .header(http::header::HOST, address.to_string())
        .header(http::header::CONTENT_TYPE, "application/json");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Full::new(Bytes::from(json)));
    exchange(address, request.map_err(|error| error.to_string())?, tls).await
}

/// Why there is no answer, in words for an operator.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// A server answers that is not who it should be, or that does not believe this gateway: this says nothing of the rest.
    Untrusted(String),
    /// Anything else.
    Broken(String),
}

impl NoAnswer {
    /// The words.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Untrusted(words) | Self::Broken(words) => words,
        }
    }

    /// As [`NoAnswer::words`].
    pub(super) fn into_words(self) -> String {
        self.words().to_owned()
    }
}

impl From<String> for NoAnswer {
    fn from(words: String) -> Self {
        Self::Broken(words)
    }
}

/// Asks a server that a URL names; see [`exchange`].
///
/// # Errors
/// What went wrong, and whether that is trust.
pub(super) async fn get_target(
    target: &HttpTarget,
    path: &str,
    tls: Option<&BackendTlsClient>,
) -> Result<(u16, Bytes), NoAnswer> {
    let mut addresses = lookup_host((&*target.host, target.port))
        .await
        .map_err(|error| format!("its name leads nowhere: {error}"))?;
    let address = addresses.next().ok_or_else(|| "its name leads nowhere".to_owned())?;
    let request = Request::get(path).header(http::header::HOST, address.to_string());
    let request = about_us(request.body(Empty::new()).map_err(|error| error.to_string())?);
    let stream = dial(address, tls).await.map_err(no_connection)?;
    ask(stream, request, tls.is_some()).await
}

/// Asks over a connection of its own: a server that serves old connections and takes no new ones is not well. The caller
/// keeps the time. Redirects are answers like any other.
///
/// # Errors
/// What went wrong, in words for an operator.
pub(super) async fn exchange(
    address: SocketAddr,
    request: Request<impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static>,
    tls: Option<&BackendTlsClient>,
) -> Result<(u16, Bytes), String> {
    let request = about_us(request);
    let stream = dial(address, tls).await.map_err(|error| no_connection(error).into_words())?;
    ask(stream, request, tls.is_some()).await.map_err(NoAnswer::into_words)
}

/// Asks for a path within a time; see [`exchange`].
///
/// # Errors
/// What went wrong, in words for an operator, also what was waited for when the time was over.
pub(super) async fn get_within(
    address: SocketAddr,
    path: &str,
    tls: Option<&BackendTlsClient>,
    patience: Duration,
) -> Result<(u16, Bytes), String> {
    let words = |error| no_connection(error).into_words();
    let mut awaited = "connection";
    let asked = async {
        let request = Request::get(path).header(http::header::HOST, address.to_string());
        let request = about_us(request.body(Empty::new()).map_err(|error| error.to_string())?);
        let socket = connect(address).await.map_err(words)?;
        awaited = "TLS handshake";
        let stream = secure(socket, tls).await.map_err(words)?;
        awaited = "answer";
        ask(stream, request, tls.is_some()).await.map_err(NoAnswer::into_words)
    };
    let answer = timeout(patience, asked).await;
    answer.unwrap_or_else(|_| Err(format!("no {awaited} within {patience:?}")))
}

fn no_connection(error: DialError) -> NoAnswer {
    match error {
        DialError::Connect(error) => NoAnswer::Broken(format!("cannot connect: {error}")),
        DialError::Tls(error) if tls_cause(&error).is_some() => NoAnswer::Untrusted(tls_words(&error)),
        DialError::Tls(error) => NoAnswer::Broken(tls_words(&error)),
    }
}

/// Says who asks, once.
fn about_us<Body>(mut request: Request<Body>) -> Request<Body> {
    let headers = request.headers_mut();
    headers.insert(http::header::USER_AGENT, USER_AGENT);
    headers.insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    request
}

fn broken(error: &hyper::Error, secured: bool) -> NoAnswer {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(below) = cause {
        let io = below.downcast_ref::<io::Error>();
        // TLS 1.3 tells after the handshake what is wrong with the client's certificate.
        if let Some(io) = io.filter(|io| tls_cause(io).is_some()) {
            return NoAnswer::Untrusted(tls_words(io));
        }
        cause = below.source();
    }
    let hint = match secured {
        true => "",
        // A server of TLS answers plain HTTP with an alert, or leaves.
        false => "; if it speaks TLS, it has to be asked so",
    };
    NoAnswer::Broken(format!("it does not speak HTTP: {error}{hint}"))
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static>,
    secured: bool,
) -> Result<(u16, Bytes), NoAnswer> {
    let broken = |error: hyper::Error| broken(&error, secured);
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| format!("its answer is broken: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    // A task of its own for the connection would be one more to wake up for each byte.
    let mut answer = pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // What became of it is told to those who wait for the answer.
        _ended = connection => answer.await,
    }
}
