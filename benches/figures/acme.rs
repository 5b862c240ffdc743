//! How long a new host waits for its certificate: from the change of a file of tenants to the first handshake with what
//! Pebble issued. Pebble validates without a delay of its own, and finds hosts by BIND.

use crate::Failure;
use crate::report::{Figure, Unit, median};
use crate::tls_client::trusting;
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{Bind, Gateway, Pebble, PebblePorts, backend, own_address, own_port};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

/// Hosts that are added, one after the other.
const ROUNDS: u32 = 5;
/// For one certificate.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two handshakes that are tried.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) async fn issue() -> Result<Vec<Figure>, Failure> {
    let [plain, secure, directory, management] = [(); 4].map(|()| own_port());
    let bind = Bind::start(own_address()).await;
    let ports =
        PebblePorts { directory, management, http: plain.port(), tls: secure.port(), dns: bind.address() };
    let mut pebble = Pebble::new(ports);
    pebble.start().await;
    let odoo = StubOdoo::start(StubOptions::new("stub", ["acme"]).threaded()).await?;
    let config = format!(
        "listeners:\n  - {{ address: \"{secure}\", tls: {{ acme: true }} }}\n  \
         - {{ address: \"{plain}\", redirect_to_https: true }}\n\
         state_directory: state\n\
         acme: {{ directory: \"{}\", directory_ca: {}, terms_of_service_agreed: true }}\n\
         threads: 1\nregions: [ {{ name: here }} ]\npools:\n  shared:\n    odoo_version: \"19.0\"\n    \
         database_selection: dbfilter_header\n    regions: {{ here: {{ backends: [ {} ] }} }}\n",
        pebble.directory(),
        pebble.ca().display(),
        backend(&odoo),
    );
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", "[]\n").start().await;
    let connector = trusting(CertificateDer::from_pem_slice(pebble.root().await.as_bytes())?)?;
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        let host = format!("host{round}.test");
        let tenant = format!("- {{ id: host{round}, hosts: [{host}], database: acme }}\n");
        let changed = Instant::now();
        gateway.write_tenants(&format!("host{round}.yaml"), &tenant);
        while let Err(failure) = shake_hands(&connector, secure, &host).await {
            if changed.elapsed() > PATIENCE {
                let log = gateway.operational_log().text();
                return Err(format!("no certificate for {host}: {failure}\n{log}").into());
            }
            sleep(PAUSE).await;
        }
        let waited = changed.elapsed();
        eprintln!("   {host}: {waited:?}");
        rounds.push(waited.as_secs_f64());
    }
    let value = median(rounds).ok_or("no certificate was issued")?;
    Ok(vec![Figure { name: "acme_issue_seconds", value, unit: Unit::Seconds }])
}

async fn shake_hands(connector: &TlsConnector, server: SocketAddr, host: &str) -> Result<(), Failure> {
    let stream = TcpStream::connect(server).await?;
    connector.connect(ServerName::try_from(host.to_owned())?, stream).await?;
    Ok(())
}
