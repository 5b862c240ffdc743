//! Signed messages to whoever asked for them.

use bytes::Bytes;
use fleetgate_core::config::Webhook;
use fleetgate_core::http_target::HttpTarget;
use fleetgate_core::inward::points_inward;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use ring::hmac;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// For one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait after the first attempt that failed; each further one doubles it.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const BACK_OFF_MAX: Duration = Duration::from_secs(600);
/// Field with the moment and the signature: `t=SECONDS,v1=HEX`.
const SIGNATURE: &str = "x-fleetgate-signature";
/// Field with the id of the message.
const MESSAGE_ID: &str = "x-fleetgate-message-id";

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Every address of the host is one that must not be told anything.
    #[error("the host leads to link-local addresses only, where machines are told their secrets")]
    Forbidden,
    /// No connection, or it broke.
    #[error("no connection")]
    Connection(#[from] io::Error),
    /// No HTTP.
    #[error("no answer")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The receiver did not say that it has taken the message.
    #[error("the receiver answered {0}")]
    Refused(http::StatusCode),
    /// It took too long.
    #[error("no answer within 10 s")]
    Timeout,
}

/// Sends a message once, in ten seconds at most.
///
/// # Errors
/// It is not known to have arrived.
pub async fn send(webhook: &Webhook, id: &str, message: &impl Serialize) -> Result<(), DeliveryError> {
    let body = serde_json::to_vec(message).map_err(http_error)?;
    let sent = timeout(ATTEMPT_TIMEOUT, async {
        let target = &webhook.target;
        let stream = connect(target).await?;
        if target.tls {
            let name = ServerName::try_from(target.host.to_string()).map_err(io::Error::other)?;
            let stream = TlsConnector::from(tls()).connect(name, stream).await?;
            return post(webhook, id, body, stream).await;
        }
        post(webhook, id, body, stream).await
    });
    sent.await.unwrap_or(Err(DeliveryError::Timeout))
}

/// How long to wait after so many attempts that failed.
#[must_use]
pub fn back_off(failures: u32) -> Duration {
    BACK_OFF_MIN.saturating_mul(1 << failures.min(16)).min(BACK_OFF_MAX)
}

/// Connects to an address that may be told. What the name leads to is looked at each time.
async fn connect(target: &HttpTarget) -> Result<TcpStream, DeliveryError> {
    let addresses = lookup_host((&*target.host, target.port)).await?;
    let addresses: Vec<SocketAddr> = addresses.filter(|address| !points_inward(address.ip())).collect();
    if addresses.is_empty() {
        return Err(DeliveryError::Forbidden);
    }
    Ok(TcpStream::connect(&*addresses).await?)
}

/// Trusts whom the system trusts.
fn tls() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().unwrap_or_default());
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

async fn post(
    webhook: &Webhook,
    id: &str,
    body: Vec<u8>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(), DeliveryError> {
    let target = &webhook.target;
    let signature = signature(webhook.secret.reveal(), jiff::Timestamp::now().as_second(), &body);
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.to_string() };
    let request = Request::post(&*target.path)
        .header(hyper::header::HOST, format!("{host}:{}", target.port))
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .header(hyper::header::USER_AGENT, "fleetgate")
        .header(SIGNATURE, signature)
        .header(MESSAGE_ID, id)
        .body(Full::new(Bytes::from(body)));
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(http_error)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request.map_err(http_error)?).await.map_err(http_error);
    connection.abort();
    let status = answer?.status();
    if status.is_success() { Ok(()) } else { Err(DeliveryError::Refused(status)) }
}

/// The moment and the HMAC-SHA256 of it, a point and the body: an old message that somebody sends again is told apart.
fn signature(secret: &str, seconds: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    let hex: String = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

fn http_error(error: impl std::error::Error + Send + Sync + 'static) -> DeliveryError {
    DeliveryError::Http(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_of_the_moment_and_the_body() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        let expected = "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";
        assert_eq!(signature("secret", 1_700_000_000, b"{}"), expected);
    }
}
