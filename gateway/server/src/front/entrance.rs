//! What happens to a connection before its first request.

use super::hello;
use super::passthrough::{Passing, Passthrough};
use super::proxy_protocol;
use super::tls::{Secured, TlsFront};
use crate::connection::{ClientStream, Origin, Transport};
use crate::telemetry::metrics::Metrics;
use fleetgate_core::config::Connections;
use fleetgate_core::forwarded::is_trusted;
use fleetgate_core::http2::PREFACE;
use ipnet::IpNet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The fatal alert `unrecognized_name` (RFC 6066, section 3), for names that lead nowhere.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// Pause before a preface that arrives byte by byte is looked at again.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);

/// The way in through one listener.
pub struct Entrance {
    /// TLS, unless the listener speaks plain HTTP.
    pub tls: Option<TlsFront>,
    /// Names whose TLS connections somebody else answers.
    pub passthrough: Passthrough,
    /// Whether requests are sent on to `https://`.
    pub redirect_to_https: bool,
    /// Peers that say in front of each connection whose it is.
    pub proxy_protocol: Vec<IpNet>,
    /// How slow clients may be.
    pub clocks: Connections,
}

/// A connection that was let in.
pub(super) enum Entered {
    /// Requests come next.
    Http {
        /// The connection.
        stream: Box<ClientStream>,
        /// The client speaks HTTP/2.
        http2: bool,
    },
    /// Somebody else answers it.
    Passing(Passing),
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

    /// Lets a connection in. `None` when it does not come to a request.
    pub(super) async fn enter(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        metrics: &Arc<Metrics>,
    ) -> Option<Entered> {
        if self.tls.is_some() || !self.passthrough.is_empty() {
            return match timeout(self.clocks.head_timeout, self.enter_tls(stream, client, metrics)).await {
                Ok(Ok(entered)) => entered,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    None
                }
                Err(_) => None,
            };
        }
        let http2 = timeout(self.clocks.idle_timeout, speaks_http2(&stream)).await.ok()??;
        let origin = Origin { redirect_to_https: self.redirect_to_https, ..Origin::default() };
        let transport = Transport::Plain(stream);
        let stream = ClientStream::new(transport, client, http2, origin, &self.clocks, metrics).ok()?;
        Some(Entered::Http { stream: Box::new(stream), http2 })
    }

    async fn enter_tls(
        &self,
        mut stream: TcpStream,
        client: SocketAddr,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Option<Entered>> {
        let hello = hello::read(&mut stream).await?;
        if let Some(to) = hello.server_name.and_then(|name| self.passthrough.find(&name)) {
            return Ok(Some(Entered::Passing(Passing { client: stream, first: hello.bytes, to })));
        }
        let Some(tls) = &self.tls else {
            stream.write_all(&UNRECOGNIZED_NAME).await?;
            return Ok(None);
        };
        let Secured { transport, http2, server_name, asked_certificate, certificate } =
            tls.answer(hello, stream).await?;
        let redirect_to_https = self.redirect_to_https;
        let origin = Origin { server_name, tls: true, asked_certificate, certificate, redirect_to_https };
        let stream = ClientStream::new(transport, client, http2, origin, &self.clocks, metrics)
            .map_err(io::Error::other)?;
        Ok(Some(Entered::Http { stream: Box::new(stream), http2 }))
    }
}

/// Looks at the first bytes without taking them. `None` when the client left.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut start = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut start).await.ok().filter(|&seen| seen > 0)?;
        let (seen, preface) = (start.get(..seen)?, PREFACE.get(..seen)?);
        if seen != preface {
            return Some(false);
        }
        if seen.len() == PREFACE.len() {
            return Some(true);
        }
        // More cannot come from a client that has finished, and a peek does not tell.
        if stream.ready(Interest::READABLE).await.ok()?.is_read_closed() {
            return None;
        }
        sleep(PREFACE_PAUSE).await;
    }
}
