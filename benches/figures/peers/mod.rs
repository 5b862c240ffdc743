//! Other proxies that are given the same work.

pub(crate) mod bare_pingora;
pub(crate) mod haproxy;
pub(crate) mod nginx;
pub(crate) mod traefik;

use crate::Failure;
use crate::fleet::{host, name};
use crate::load::Load;
use crate::process::Process;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;

/// For a peer to read its routes.
const ROUTED_TIMEOUT: Duration = Duration::from_secs(60);
const ROUTED_PAUSE: Duration = Duration::from_millis(200);

/// A host and the database behind it.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) host: String,
    pub(crate) database: String,
}

/// The routes of numbered tenants.
fn routes(tenants: u32) -> Vec<Route> {
    (0..tenants).map(|tenant| Route { host: host(tenant), database: name(tenant) }).collect()
}

/// A running peer.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The process.
    pub(crate) process: Process,
    /// Where clients connect.
    address: SocketAddr,
    /// Its files, removed with it.
    _folder: TempDir,
}

impl Peer {
    async fn start(command: Command, address: SocketAddr, folder: TempDir) -> Result<Self, Failure> {
        let mut process = Process::start(command, &folder.path().join("log"))?;
        process.until_listening(address).await?;
        Ok(Self { process, address, _folder: folder })
    }

    /// Waits until the last tenant is served: a proxy may listen before it has read its routes.
    async fn until_routed(&self, tenants: u32) -> Result<(), Failure> {
        let deadline = Instant::now() + ROUTED_TIMEOUT;
        let load = Load { connections: 1, ..self.load(tenants, 1) };
        while load.ask_each().await?.failed > 0 {
            if Instant::now() > deadline {
                return Err(format!("not all tenants are routed:\n{}", self.process.log_end()).into());
            }
            sleep(ROUTED_PAUSE).await;
        }
        Ok(())
    }

    /// Where clients connect.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A load of so many tenants over so many kept connections.
    pub(crate) const fn load(&self, tenants: u32, connections: u32) -> Load {
        Load { server: self.address, tenants, connections, single_use: false }
    }
}

/// Runs a command of an installation and says so.
fn install(why: &str, program: &Path, arguments: &[&str]) -> Result<(), Failure> {
    eprintln!("   installing {why}: {} {}", program.display(), arguments.join(" "));
    let output = Command::new(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("cannot install {why}:\n{}", String::from_utf8_lossy(&output.stderr)).into())
}
