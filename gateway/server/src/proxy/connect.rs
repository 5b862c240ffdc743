//! Connections to backends for exchanges: kept ones and new ones.

use super::forward::BACKEND_IDLE;
use super::kept::KeptConnections;
use crate::connection::BackendStream;
use crate::snapshot::BackendTlsClient;
use crate::upstream::{DialError, dial, tls_cause};
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::http::v1::client::HttpSession;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType, Result};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Connections to the backends of all pools.
pub struct BackendConnections {
    kept: Arc<KeptConnections>,
    /// Makes new ones. Its own pool stays empty.
    connector: TransportConnector,
}

impl BackendConnections {
    /// Keeps so many idle connections at most, and looks after them in a task of its own.
    #[must_use]
    pub fn start(kept_max: usize) -> Self {
        let connector = TransportConnector::new(Some(ConnectorOptions::new(1)));
        Self { kept: KeptConnections::start(kept_max, BACKEND_IDLE), connector }
    }

    /// Takes a kept connection, or makes one. The second value: it is a kept one.
    ///
    /// # Errors
    /// The backend takes no connection, or there is no TLS with it.
    pub(super) async fn connect(
        &self,
        peer: &HttpPeer,
        tls: Option<&BackendTlsClient>,
    ) -> Result<(HttpSession, bool)> {
        if let Some(kept) = self.kept.take(peer) {
            return Ok((HttpSession::new_with_options(kept, peer), true));
        }
        // The making is some kilobytes of state, which the rest need not carry along.
        let stream = match tls {
            None => Box::pin(self.connector.new_stream(peer)).await?,
            Some(tls) => {
                let address = inet(peer.address())?;
                let dialled = Box::pin(timeout(patience(peer), dial_stream(address, tls))).await;
                let timed_out = |_| Error::explain(ErrorType::ConnectTimedout, "connecting to a backend");
                Box::new(dialled.map_err(timed_out)??)
            }
        };
        Ok((HttpSession::new_with_options(stream, peer), false))
    }

    /// Takes a connection back, for another request if both sides agree.
    pub(super) async fn release(&self, mut connection: HttpSession, peer: &HttpPeer) {
        connection.respect_keepalive();
        if let Some(stream) = connection.reuse().await {
            self.kept.put(peer, stream);
        }
    }
}

async fn dial_stream(address: SocketAddr, tls: &BackendTlsClient) -> Result<BackendStream> {
    match dial(address, Some(tls)).await {
        Ok(transport) => Ok(BackendStream::new(transport, address)),
        Err(DialError::Tls(error)) => {
            Err(Error::because(ErrorType::TLSHandshakeFailure, "TLS with a backend", error))
        }
        Err(DialError::Connect(error)) => {
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            let kind = if refused { ErrorType::ConnectRefused } else { ErrorType::ConnectError };
            Err(Error::because(kind, "connecting to a backend", error))
        }
    }
}

fn inet(address: &PeerAddr) -> Result<SocketAddr> {
    let address = address.as_inet().copied();
    address.ok_or_else(|| Error::explain(ErrorType::ConnectError, "a backend has no IP address"))
}

/// For a connection of a peer to be made.
fn patience(peer: &HttpPeer) -> Duration {
    peer.options.total_connection_timeout.unwrap_or(Duration::MAX)
}

/// What was wrong in TLS, if that is the cause of an error.
pub(super) fn tls_problem(error: &Error) -> Option<&rustls::Error> {
    tls_cause(error.root_cause().downcast_ref::<io::Error>()?)
}
