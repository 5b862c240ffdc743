//! What clients cost that said something once, over TLS, and keep their connection.

use crate::Failure;
use crate::answer::Incoming;
use crate::authority::Authority;
use crate::fleet::{Workers, backend, host, name};
use crate::front::{Front, before};
use crate::process::resident_kib;
use crate::report::{Figure, Unit};
use crate::tls_client::trusting;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Connections at once.
const CONNECTIONS: u32 = 2_000;
/// Connections that warm the process up, and end before anything is measured.
const WARM_UP: u32 = 100;
/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what the handshakes left behind to be given back.
const SETTLING: Duration = Duration::from_secs(2);

/// What each of many idle connections adds.
pub(crate) async fn memory() -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    authority.write(folder.path(), &host(0))?;
    let connector = trusting(CertificateDer::from(authority.der))?;
    let odoo = backend(1, Workers::Threaded).await?;
    let main_file = format!("connections: {{ max_per_client: {} }}\n{}", 2 * CONNECTIONS, before(&odoo));
    let tenant = format!("- {{ id: {}, hosts: [{}] }}\n", name(0), host(0));
    let front = Front::serving_tls(folder.path(), &main_file, &tenant).await?;

    drop(open(&connector, front.address, WARM_UP).await?);
    sleep(SETTLING).await;
    let without = resident_kib(front.process.id())?;
    let mut clients = open(&connector, front.address, CONNECTIONS).await?;
    sleep(SETTLING).await;
    let with = resident_kib(front.process.id())?;
    // They were there while it was measured if each is still good for a request.
    for client in &mut clients {
        client.ask().await?;
    }
    eprintln!("   {without:.0} KiB without, {with:.0} KiB with {CONNECTIONS} connections");
    let value = (with - without) / f64::from(CONNECTIONS);
    Ok(vec![Figure { name: "idle_conn_kib_tls", value, unit: Unit::Kibibytes }])
}

/// Opens connections and asks once on each.
async fn open(connector: &TlsConnector, server: SocketAddr, times: u32) -> Result<Vec<Client>, Failure> {
    let mut clients = Vec::new();
    for _ in 0..times {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let stream = timeout(PATIENCE, connector.connect(ServerName::try_from(host(0))?, stream)).await??;
        let mut client = Client { stream };
        client.ask().await?;
        clients.push(client);
    }
    Ok(clients)
}

struct Client {
    stream: TlsStream<TcpStream>,
}

impl Client {
    async fn ask(&mut self) -> Result<(), Failure> {
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", host(0));
        self.stream.write_all(request.as_bytes()).await?;
        let answer = timeout(PATIENCE, Incoming::new().answer(&mut self.stream)).await??;
        if (answer.status, answer.keep) == (200, true) {
            Ok(())
        } else {
            Err(format!("an idle client was answered {answer:?}").into())
        }
    }
}
