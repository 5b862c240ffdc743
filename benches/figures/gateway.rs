//! The real gateway with a fleet of numbered tenants.

use crate::Failure;
use crate::admin::Admin;
use crate::build::program;
use crate::fleet::{DOMAIN, host, name};
use crate::load::Load;
use crate::machine::measured;
use crate::process::{Process, free_address};
use fleetgate_stub::StubOdoo;
use fleetgate_tests::installed;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;

/// Tenants a file.
const FILE_TENANTS: u32 = 100;
/// Connections of a load that only warms up or fills.
pub(crate) const FILL_CONNECTIONS: u32 = 32;
/// For the gateway to serve, or to change.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// A running gateway with everything on: access log, metrics, admin, watching of its files. One thread moves bytes.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The process; it gets a successor during an upgrade.
    pub(crate) process: Process,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    admin: Admin,
    tenants: u32,
    folder: TempDir,
}

/// The file of the entry that stands for all tenants.
const STAR: &str = "star.yaml";

/// Whether a tenant is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Suspended,
}

impl Gateway {
    /// Starts a gateway for so many tenants of one backend, and waits until it serves.
    pub(crate) async fn start(tenants: u32, backend: &StubOdoo) -> Result<Self, Failure> {
        let folder = new_folder()?;
        for first in (0..tenants).step_by(usize::try_from(FILE_TENANTS)?) {
            fs::write(tenant_file(&folder, first), tenant_lines(first, tenants, None))?;
        }
        Self::start_in(folder, tenants, backend, "", None).await
    }

    /// The same for tenants that are all behind one star, with limits as in the config.
    pub(crate) async fn start_starred(
        tenants: u32,
        backend: &StubOdoo,
        limits: &str,
    ) -> Result<Self, Failure> {
        let folder = new_folder()?;
        fs::write(folder.path().join("tenants.d").join(STAR), star_line(limits))?;
        Self::start_in(folder, tenants, backend, "", None).await
    }

    /// One of several nodes with one tenant: its limits, its line about Redis, and how far its clock is off, as `faketime`
    /// reads it.
    pub(crate) async fn start_node(
        backend: &StubOdoo,
        limits: &str,
        redis: &str,
        skew: &str,
    ) -> Result<Self, Failure> {
        let folder = new_folder()?;
        fs::write(folder.path().join("tenants.d").join(STAR), star_line(limits))?;
        Self::start_in(folder, 1, backend, redis, Some(skew)).await
    }

    async fn start_in(
        folder: TempDir,
        tenants: u32,
        backend: &StubOdoo,
        more: &str,
        skew: Option<&str>,
    ) -> Result<Self, Failure> {
        let (address, observe) = (free_address()?, free_address()?);
        let socket = folder.path().join("admin.sock");
        let text = format!(
            r#"listeners: [ {{ address: "{address}" }} ]
threads: 1
connections: {{ max_per_client: 20000 }}
admin: {{ socket: {socket} }}
observe: {{ address: "{observe}" }}
drain: {{ timeout: 30s, websocket_spread: 1s }}
trusted_proxies: [ "10.0.0.0/8" ]
regions: [ {{ name: here }} ]
pools:
  shared:
    odoo_version: "19.0"
    database_selection: dbfilter_header
    regions:
      here: {{ backends: [ {{ http: "{http}", websocket: "{websocket}" }} ] }}
tenants_directory: tenants.d
state_directory: state
{more}"#,
            socket = socket.display(),
            http = backend.http_addr(),
            websocket = backend.gevent_addr(),
        );
        fs::write(config_file(&folder), text)?;
        let process = start_process(&folder, skew)?;
        let mut gateway = Self { process, address, admin: Admin(socket), tenants, folder };
        gateway.until_serving(None).await?;
        Ok(gateway)
    }

    /// Kills the process as `kill -9` does, and starts another in its place.
    pub(crate) async fn killed_and_restarted(self) -> Result<Self, Failure> {
        let Self { process, address, admin, tenants, folder } = self;
        drop(process);
        let process = start_process(&folder, None)?;
        let mut gateway = Self { process, address, admin, tenants, folder };
        gateway.until_serving(None).await?;
        Ok(gateway)
    }

    /// Waits until the admin API is served by a process, by any or by another than `previous`; returns its id.
    pub(crate) async fn until_serving(&mut self, previous: Option<u32>) -> Result<u32, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.admin.serving_process().await {
                Ok(Some(pid)) if Some(pid) != previous => return Ok(pid),
                Ok(_) | Err(_) if Instant::now() < deadline => sleep(PAUSE).await,
                Ok(_) => return Err("no other process took over within a minute".into()),
                Err(error) => return Err(format!("{error}\n{}", self.process.log_end()).into()),
            }
            if previous.is_none() {
                self.process.check()?;
            }
        }
    }

    /// A load of all tenants over so many kept connections.
    pub(crate) const fn load(&self, connections: u32) -> Load {
        Load { server: self.address, tenants: self.tenants, connections, single_use: false }
    }

    /// Asks for every tenant once.
    pub(crate) async fn ask_each_tenant(&self) -> Result<(), Failure> {
        let tally = self.load(FILL_CONNECTIONS).ask_each().await?;
        if tally.failed > 0 || tally.done != self.tenants {
            return Err(format!("not every tenant was served: {tally:?}").into());
        }
        Ok(())
    }

    /// Writes the file of a tenant anew with another state for it, as a careful editor does.
    pub(crate) fn set_state(&self, tenant: u32, state: State) -> Result<(), Failure> {
        let first = tenant - tenant % FILE_TENANTS;
        let beside = self.folder.path().join("written");
        fs::write(&beside, tenant_lines(first, self.tenants, Some((tenant, state))))?;
        Ok(fs::rename(beside, tenant_file(&self.folder, first))?)
    }

    /// Writes other limits for all tenants behind the star.
    pub(crate) fn set_limits(&self, limits: &str) -> Result<(), Failure> {
        let beside = self.folder.path().join("written");
        fs::write(&beside, star_line(limits))?;
        Ok(fs::rename(beside, self.folder.path().join("tenants.d").join(STAR))?)
    }

    /// What a tenant has used of a quota.
    pub(crate) async fn used(&self, tenant: &str, quota: &str) -> Result<u64, Failure> {
        self.admin.used(tenant, quota).await
    }

    /// Reads the files again; the time from the call to its answer.
    pub(crate) async fn reload(&self) -> Result<Duration, Failure> {
        let started = Instant::now();
        self.admin.reload().await?;
        Ok(started.elapsed())
    }
}

fn new_folder() -> Result<TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("fleetgate-figures-").tempdir()?;
    fs::create_dir(folder.path().join("tenants.d"))?;
    Ok(folder)
}

fn config_file(folder: &TempDir) -> PathBuf {
    folder.path().join("fleetgate.yaml")
}

fn start_process(folder: &TempDir, skew: Option<&str>) -> Result<Process, Failure> {
    let program = program("fleetgate")?;
    let mut command = match skew {
        Some(skew) => {
            let mut command = measured(&installed("faketime", "faketime"));
            command.args(["--exclude-monotonic", "-f", skew]).arg(program);
            command
        }
        None => measured(&program),
    };
    command.arg("run").arg("--config").arg(config_file(folder));
    Process::start(command, &folder.path().join("log"))
}

fn star_line(limits: &str) -> String {
    format!(
        "- {{ id: \"{{1}}\", hosts: [\"*.{DOMAIN}\"], database: \"{{1}}\", pool: shared, limits: {limits} }}\n"
    )
}

fn tenant_file(folder: &TempDir, first: u32) -> PathBuf {
    folder.path().join("tenants.d").join(format!("{}.yaml", name(first)))
}

fn tenant_lines(first: u32, tenants: u32, changed: Option<(u32, State)>) -> String {
    let mut lines = String::new();
    for tenant in first..tenants.min(first + FILE_TENANTS) {
        let (name, host) = (name(tenant), host(tenant));
        let state = match changed {
            Some((other, State::Suspended)) if other == tenant => ", state: suspended",
            Some(_) | None => "",
        };
        // Writing to a string does not fail.
        let _infallible =
            writeln!(lines, "- {{ id: {name}, hosts: [{host}], database: {name}, pool: shared{state} }}");
    }
    lines
}
