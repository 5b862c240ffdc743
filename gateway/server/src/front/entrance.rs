//! What happens to a connection before its first request.

use super::proxy_protocol;
use super::tls::TlsFront;
use crate::connection::{ClientStream, Origin, Transport};
use fleetgate_core::forwarded::is_trusted;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Start of the preface with which a client opens HTTP/2 without TLS (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// For the first bytes of a connection.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before a preface that arrives byte by byte is looked at again.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);

/// The way in through one listener.
pub struct Entrance {
    /// TLS, unless the listener speaks plain HTTP.
    pub tls: Option<TlsFront>,
    /// Whether requests are sent on to `https://`.
    pub redirect_to_https: bool,
    /// Peers that say in front of each connection whose it is.
    pub proxy_protocol: Vec<IpNet>,
}

impl Entrance {
    /// Whether a peer is a balancer, which says whose each of its connections is.
    pub(super) fn is_balancer(&self, peer: SocketAddr) -> bool {
        is_trusted(peer.ip().to_canonical(), &self.proxy_protocol)
    }

    /// The client that a balancer names. `None` when it names nobody as it should.
    pub(super) async fn client_of(&self, stream: &mut TcpStream, balancer: SocketAddr) -> Option<SocketAddr> {
        match proxy_protocol::client_of(stream, balancer).await {
            Ok(client) => Some(client),
            Err(error) => {
                tracing::warn!(%error, %balancer, "a balancer did not say whose a connection is; it was closed");
                None
            }
        }
    }

    /// Lets a connection in. `None` when it does not come to a request. The second value: the client speaks HTTP/2.
    pub(super) async fn enter(&self, stream: TcpStream, client: SocketAddr) -> Option<(ClientStream, bool)> {
        let mut origin = Origin { redirect_to_https: self.redirect_to_https, ..Origin::default() };
        let (transport, http2) = match &self.tls {
            Some(tls) => {
                let secured = tls.accept(stream).await?;
                origin.tls = true;
                origin.server_name = secured.server_name;
                origin.asked_certificate = secured.asked_certificate;
                origin.certificate = secured.certificate;
                (secured.transport, secured.http2)
            }
            None => {
                let http2 = timeout(FIRST_BYTES_TIMEOUT, speaks_http2(&stream)).await.ok()??;
                (Transport::Plain(stream), http2)
            }
        };
        Some((ClientStream::new(transport, client, http2, origin).ok()?, http2))
    }
}

/// Looks at the first bytes without taking them. `None` when the client left.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut start = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut start).await.ok().filter(|&seen| seen > 0)?;
        let (seen, preface) = (start.get(..seen)?, HTTP2_PREFACE.get(..seen)?);
        if seen != preface {
            return Some(false);
        }
        if seen.len() == HTTP2_PREFACE.len() {
            return Some(true);
        }
        // More cannot come from a client that has finished, and a peek does not tell.
        if stream.ready(Interest::READABLE).await.ok()?.is_read_closed() {
            return None;
        }
        sleep(PREFACE_PAUSE).await;
    }
}
