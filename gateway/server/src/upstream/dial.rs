//! Making a connection to a backend.

use crate::connection::{Socket, Transport};
use crate::snapshot::BackendTlsClient;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Quiet time after which the kernel asks a backend whether it is still there, and between two such questions.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(10));

/// Why there is no connection. The backend has not seen a byte of a request.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// It does not answer.
    #[error("connecting to a backend")]
    Connect(#[source] io::Error),
    /// It answers, and there is no TLS with it: its certificate is not what the pool's `tls` asks for, or it speaks none.
    #[error("TLS with a backend")]
    Tls(#[source] io::Error),
}

/// Connects to a backend, through TLS if its pool wants it. The caller keeps the time.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(address: SocketAddr, tls: Option<&BackendTlsClient>) -> Result<Transport, DialError> {
    secure(connect(address).await?, tls).await
}

/// The first half of [`dial`]: a connection in the clear.
///
/// # Errors
/// [`DialError::Connect`]
pub async fn connect(address: SocketAddr) -> Result<Socket, DialError> {
    let stream = TcpStream::connect(address).await.map_err(DialError::Connect)?;
    stream.set_nodelay(true).map_err(DialError::Connect)?;
    let (time, interval) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(DialError::Connect)?;
    Ok(Socket::Tcp(stream))
}

/// The second half of [`dial`]: TLS, if the pool wants it.
///
/// # Errors
/// [`DialError::Tls`]
pub async fn secure(socket: Socket, tls: Option<&BackendTlsClient>) -> Result<Transport, DialError> {
    match tls {
        None => Ok(Transport::Left(socket)),
        Some(tls) => {
            let secured = tls.secure(socket).await.map_err(DialError::Tls)?;
            Ok(Transport::Right(Box::new(secured.into())))
        }
    }
}

/// What was wrong in TLS, if that is the cause of an error of a connection: also a backend that refuses the certificate
/// of this gateway, which TLS 1.3 tells after the handshake.
#[must_use]
pub fn tls_cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
