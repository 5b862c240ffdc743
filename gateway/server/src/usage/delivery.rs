//! Messages about thresholds on their way to whoever asked for them.

use super::claim::{Claim, Claims};
use super::message::Message;
use super::store::UsageStore;
use bytes::Bytes;
use fleetgate_core::config::QuotaWebhook;
use fleetgate_core::http_target::HttpTarget;
use fleetgate_core::inward::points_inward;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use ring::hmac;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// For one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait after the first attempt that failed; each further one doubles it.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const BACK_OFF_MAX: Duration = Duration::from_secs(600);
/// For how long a message is tried.
const GIVEN_UP_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// Field with the moment and the signature: `t=SECONDS,v1=HEX`.
const SIGNATURE: &str = "x-fleetgate-signature";
/// Field with the id of the message.
const MESSAGE_ID: &str = "x-fleetgate-message-id";

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
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

/// Sends messages one after another, each until it has arrived or is a day old.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    failures: u32,
    next: Option<Instant>,
}

impl Delivery {
    /// Sends what waits and is due.
    pub(super) async fn run(
        &mut self,
        store: &UsageStore,
        webhook: &QuotaWebhook,
        claims: Option<&dyn Claims>,
    ) {
        let mut others = 0;
        while others < store.messages_waiting()
            && self.next.is_none_or(|next| next <= Instant::now())
            && let Some(message) = store.next_message()
        {
            if jiff::Timestamp::now().duration_since(message.time) > GIVEN_UP_AFTER {
                tracing::error!(tenant = %message.tenant, quota = %message.quota, percent = message.percent,
                    "nobody took the message about a threshold for a day; it is given up");
                store.done(&message.id);
                continue;
            }
            let claim = match claims {
                Some(claims) => claims.claim(&message.id).await,
                None => Claim::Own,
            };
            match claim {
                Claim::Own => {}
                Claim::Others => {
                    others = others.saturating_add(1);
                    store.put_last(&message.id);
                    continue;
                }
                Claim::Arrived => {
                    store.done(&message.id);
                    continue;
                }
            }
            let sent = timeout(ATTEMPT_TIMEOUT, send(webhook, &message)).await;
            match sent.unwrap_or(Err(DeliveryError::Timeout)) {
                Ok(()) => {
                    if let Some(claims) = claims {
                        claims.arrived(&message.id).await;
                    }
                    store.done(&message.id);
                    *self = Self::default();
                }
                Err(error) => {
                    let wait = BACK_OFF_MIN.saturating_mul(1 << self.failures.min(16)).min(BACK_OFF_MAX);
                    self.failures = self.failures.saturating_add(1);
                    self.next = Some(Instant::now() + wait);
                    store.put_last(&message.id);
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        attempts = self.failures,
                        wait_seconds = wait.as_secs(),
                        "a message about a threshold did not arrive; it is tried again"
                    );
                }
            }
        }
    }
}

async fn send(webhook: &QuotaWebhook, message: &Message) -> Result<(), DeliveryError> {
    let target = &webhook.target;
    let stream = connect(target).await?;
    if target.tls {
        let name = ServerName::try_from(target.host.to_string()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(tls()).connect(name, stream).await?;
        return post(webhook, message, stream).await;
    }
    post(webhook, message, stream).await
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
    webhook: &QuotaWebhook,
    message: &Message,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(), DeliveryError> {
    let target = &webhook.target;
    let body = serde_json::to_vec(message).map_err(http_error)?;
    let signature = signature(webhook.secret.reveal(), jiff::Timestamp::now().as_second(), &body);
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.to_string() };
    let request = Request::post(&*target.path)
        .header(hyper::header::HOST, format!("{host}:{}", target.port))
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .header(hyper::header::USER_AGENT, "fleetgate")
        .header(SIGNATURE, signature)
        .header(MESSAGE_ID, &*message.id)
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
