//! What happens to a connection before its first request.

use super::hello;
use super::passthrough::{Passing, Passthrough};
use super::tls::{Secured, TlsFront};
use crate::connection::{ClientStream, Origin, Socket, Transport};
use crate::telemetry::metrics::Metrics;
use fleetgate_core::config::{Connections, UnixTrust};
use fleetgate_core::forwarded::{PeerTrust, is_trusted};
use fleetgate_core::http2::PREFACE;
use ipnet::IpNet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
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
    /// Who connects.
    pub peers: Peers,
    /// How slow clients may be.
    pub clocks: Connections,
}

/// Who connects to a listener, and who of them speaks for others.
pub enum Peers {
    /// Whoever is in a network.
    Network {
        /// Those that say in front of each connection whose it is.
        balancers: Vec<IpNet>,
    },
    /// Processes of this machine, which have no address.
    Unix(UnixTrust),
    /// Gateways of other sites, which have shown their certificates.
    Gateways,
}

impl Peers {
    /// What is believed of the peer of a connection whose client is known by its address, or not at all.
    const fn trust(&self, client: Option<SocketAddr>) -> PeerTrust {
        match (self, client) {
            (Self::Network { .. }, _) | (Self::Unix(_), Some(_)) => PeerTrust::ByAddress,
            (Self::Unix(UnixTrust::Forwarded), None) | (Self::Gateways, _) => PeerTrust::Always,
            (Self::Unix(UnixTrust::Nothing | UnixTrust::ProxyProtocol), None) => PeerTrust::Never,
        }
    }
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
    pub(super) fn is_balancer(&self, peer: Option<SocketAddr>) -> bool {
        match &self.peers {
            Peers::Network { balancers } => peer.is_some_and(|peer| is_trusted(peer.ip(), balancers)),
            Peers::Unix(trust) => *trust == UnixTrust::ProxyProtocol,
            Peers::Gateways => false,
        }
    }

    /// Whether whoever was let in is a gateway, which stands for many clients.
    pub(super) const fn serves_gateways(&self) -> bool {
        matches!(self.peers, Peers::Gateways)
    }

    /// Lets a connection in. `None` when it does not come to a request.
    pub(super) async fn enter(
        &self,
        stream: Socket,
        client: Option<SocketAddr>,
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
        let (redirect_to_https, peer_trust) = (self.redirect_to_https, self.peers.trust(client));
        let origin = Origin { redirect_to_https, peer_trust, ..Origin::default() };
        let transport = Transport::Left(stream);
        let stream = ClientStream::new(transport, client, http2, origin, &self.clocks, metrics).ok()?;
        Some(Entered::Http { stream: Box::new(stream), http2 })
    }

    async fn enter_tls(
        &self,
        mut stream: Socket,
        client: Option<SocketAddr>,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Option<Entered>> {
        let hello = hello::read(&mut stream).await?;
        if let Some(to) = hello.server_name.and_then(|name| self.passthrough.find(&name)) {
            return Ok(Some(Entered::Passing(Passing {
                client: stream,
                first: hello.bytes,
                address: client,
                to,
            })));
        }
        let Some(tls) = &self.tls else {
            stream.write_all(&UNRECOGNIZED_NAME).await?;
            return Ok(None);
        };
        let Secured { transport, http2, server_name, asked_certificate, certificate } =
            tls.answer(hello, stream).await?;
        let (redirect_to_https, peer_trust) = (self.redirect_to_https, self.peers.trust(client));
        let gateway = self.serves_gateways();
        // A gateway asks for the gateway, and for the hosts of all tenants over one connection.
        let server_name = server_name.filter(|_| !gateway);
        let origin = Origin {
            server_name,
            tls: true,
            asked_certificate,
            certificate,
            redirect_to_https,
            peer_trust,
            gateway,
        };
        let stream = ClientStream::new(transport, client, http2, origin, &self.clocks, metrics)
            .map_err(io::Error::other)?;
        Ok(Some(Entered::Http { stream: Box::new(stream), http2 }))
    }
}

/// Looks at the first bytes without taking them. `None` when the client left.
async fn speaks_http2(stream: &Socket) -> Option<bool> {
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
        if stream.readable().await.ok()?.is_read_closed() {
            return None;
        }
        sleep(PREFACE_PAUSE).await;
    }
}
