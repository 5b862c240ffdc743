//! The admin API as its clients call it: the CLI, and a process that is being replaced.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// For one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens, or this user may not connect.
    #[error(
        "cannot reach a running gateway at {path}: is it running, is this its socket (--socket), and may you use it?"
    )]
    Connect {
        /// Socket.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The gateway did not answer in time.
    #[error("the gateway did not answer within 30 s")]
    Timeout,
    /// The gateway refused the call.
    #[error("{0}")]
    Refused(String),
    /// The connection broke or the answer was no JSON of the expected form.
    #[error("the gateway's answer could not be read; do the versions of CLI and gateway fit?")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Calls one admin socket.
#[derive(Debug, Clone)]
pub struct AdminClient {
    path: PathBuf,
}

impl AdminClient {
    /// A client of a socket.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Reads.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, AdminError> {
        self.call("GET", target).await
    }

    /// Acts.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn post<T: DeserializeOwned>(&self, target: &str) -> Result<T, AdminError> {
        self.call("POST", target).await
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, target: &str) -> Result<T, AdminError> {
        timeout(CALL_TIMEOUT, self.exchange(method, target)).await.map_err(|_| AdminError::Timeout)?
    }

    async fn exchange<T: DeserializeOwned>(&self, method: &str, target: &str) -> Result<T, AdminError> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|source| AdminError::Connect { path: self.path.clone(), source })?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(answer)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "fleetgate")
            .body(Empty::<Bytes>::new());
        let response = sender.send_request(request.map_err(answer)?).await.map_err(answer)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(AdminError::Answer)?;
        let body = body.to_bytes();
        if !status.is_success() {
            return Err(AdminError::Refused(String::from_utf8_lossy(&body).into_owned()));
        }
        serde_json::from_slice(&body).map_err(answer)
    }
}

fn answer(error: impl std::error::Error + Send + Sync + 'static) -> AdminError {
    AdminError::Answer(Box::new(error))
}
