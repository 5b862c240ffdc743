//! What a full TLS handshake costs a server, beside peers: the same certificate, nothing resumed.

use crate::Failure;
use crate::authority::Authority;
use crate::front::Front;
use crate::peers::{Peer, nginx, traefik};
use crate::process::Process;
use crate::report::{Figure, Unit, median};
use crate::tls_client::trusting;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

/// The one name.
const NAME: &str = "tls.fleet.example";
/// Handshakes of one side in one round.
const HANDSHAKES: u32 = 1_500;
/// For a server to have its certificate.
const SECURED_TIMEOUT: Duration = Duration::from_secs(30);
const SECURED_PAUSE: Duration = Duration::from_millis(100);
/// Times that both sides are measured.
const ROUNDS: usize = 9;

pub(crate) async fn beside_nginx() -> Result<Vec<Figure>, Failure> {
    let site = Site::new()?;
    let peer = nginx::secured(site.folder.path(), NAME).await?;
    site.ratio("tls_handshake_cpu_vs_nginx", "nginx", &peer).await
}

pub(crate) async fn beside_traefik() -> Result<Vec<Figure>, Failure> {
    let site = Site::new()?;
    let peer = traefik::secured(site.folder.path(), NAME).await?;
    site.ratio("tls_handshake_cpu_vs_traefik", "Traefik", &peer).await
}

/// A certificate, and clients that trust it.
struct Site {
    folder: TempDir,
    connector: TlsConnector,
}

impl Site {
    fn new() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new()?;
        authority.write(folder.path(), NAME)?;
        let connector = trusting(CertificateDer::from(authority.der))?;
        Ok(Self { folder, connector })
    }

    /// The median over the rounds of our CPU time per handshake divided by the peer's.
    async fn ratio(&self, figure: &'static str, name: &str, peer: &Peer) -> Result<Vec<Figure>, Failure> {
        let front = Front::secured(self.folder.path(), NAME).await?;
        let ours = (front.address, &front.process);
        let theirs = (peer.address(), &peer.process);
        for (address, _) in [ours, theirs] {
            self.until_secured(address).await?;
            self.shake_hands(address, HANDSHAKES).await?;
        }
        let mut ratios = Vec::with_capacity(ROUNDS);
        for round in 0..ROUNDS {
            // Whoever goes first in one round goes last in the next: what drifts, drifts for both.
            let (our_cost, their_cost) = if round % 2 == 0 {
                let our_cost = self.cost(ours).await?;
                (our_cost, self.cost(theirs).await?)
            } else {
                let their_cost = self.cost(theirs).await?;
                (self.cost(ours).await?, their_cost)
            };
            let ratio = our_cost / their_cost;
            eprintln!(
                "   round {}: fleetgate {our_cost:.1} us, {name} {their_cost:.1} us of CPU a handshake, ratio {ratio:.3}",
                round + 1
            );
            ratios.push(ratio);
        }
        let value = median(ratios).ok_or("no round was measured")?;
        Ok(vec![Figure { name: figure, value, unit: Unit::Ratio }])
    }

    /// Waits until a server has the certificate: Traefik may listen before.
    async fn until_secured(&self, address: SocketAddr) -> Result<(), Failure> {
        let deadline = Instant::now() + SECURED_TIMEOUT;
        while let Err(failure) = self.shake_hands(address, 1).await {
            if Instant::now() > deadline {
                return Err(format!("no handshake with {address}: {failure}").into());
            }
            sleep(SECURED_PAUSE).await;
        }
        Ok(())
    }

    /// CPU time per handshake in microseconds.
    async fn cost(&self, (address, process): (SocketAddr, &Process)) -> Result<f64, Failure> {
        let before = process.cpu_time()?;
        self.shake_hands(address, HANDSHAKES).await?;
        let spent = process.cpu_time()?.saturating_sub(before);
        Ok(spent.as_secs_f64() * 1e6 / f64::from(HANDSHAKES))
    }

    /// Shakes hands so many times, one after the other, and says goodbye each time.
    async fn shake_hands(&self, address: SocketAddr, times: u32) -> Result<(), Failure> {
        for number in 0..times {
            let socket = TcpSocket::new_v4()?;
            // The kernel keeps the ports of closed connections for a minute, those of each address apart.
            let [_, _, _, last] = number.to_be_bytes();
            socket.bind((Ipv4Addr::new(127, 0, 7, last), 0).into())?;
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            let mut stream = self.connector.connect(ServerName::try_from(NAME)?, stream).await?;
            stream.shutdown().await?;
            // The handshake counts when the server has seen its end.
            let _closed = stream.read(&mut [0; 1]).await;
        }
        Ok(())
    }
}
