//! Asking one port of Odoo whether it is well.

use crate::snapshot::BackendTlsClient;
use crate::upstream::{DialError, dial};
use fleetgate_core::health::Reading;
use fleetgate_core::odoo::OdooVersion;
use fleetgate_core::odoo::health::{gevent_path, http_path, is_well};
use fleetgate_core::traffic::BackendPort;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// Largest body of an answer that is read, in bytes: Odoo's is a few dozen.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What a probe saw, in words for an operator.
pub(super) struct Seen {
    pub(super) reading: Reading,
    pub(super) words: String,
}

/// Asks once, over a connection of its own: a server that serves old connections and takes no new ones is not well.
pub(super) async fn ask(
    address: SocketAddr,
    port: BackendPort,
    version: OdooVersion,
    tls: Option<&BackendTlsClient>,
    patience: Duration,
) -> Seen {
    let path = match port {
        BackendPort::Http => http_path(),
        BackendPort::Gevent => gevent_path(version),
    };
    match timeout(patience, get(address, path, tls)).await {
        Ok(Ok(status)) if is_well(version, status) => {
            Seen { reading: Reading::Pass, words: format!("{path} says {status}") }
        }
        Ok(Ok(status)) => Seen { reading: Reading::Fail, words: format!("{path} says {status}") },
        Ok(Err(words)) => Seen { reading: Reading::Fail, words },
        Err(_) => Seen { reading: Reading::Fail, words: format!("no answer within {patience:?}") },
    }
}

async fn get(address: SocketAddr, path: &str, tls: Option<&BackendTlsClient>) -> Result<u16, String> {
    let stream = dial(address, tls).await.map_err(|error| match error {
        DialError::Connect(error) => format!("cannot connect: {error}"),
        DialError::Tls(error) => format!("no TLS as the pool asks for: {error}"),
    })?;
    let broken = |error: hyper::Error| format!("it does not speak HTTP: {error}");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let request = Request::get(path)
        .header(http::header::HOST, address.to_string())
        .header(http::header::USER_AGENT, concat!("fleetgate/", env!("CARGO_PKG_VERSION")))
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let status = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
        body.map(|_| status).map_err(|error| format!("its answer is broken: {error}"))
    };
    let status = status.await;
    driver.abort();
    status
}
