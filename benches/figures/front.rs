//! A gateway with a config of its own.

use crate::Failure;
use crate::admin::Admin;
use crate::build::program;
use crate::machine::measured;
use crate::process::{Process, free_address};
use fleetgate_stub::StubOdoo;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;

/// A running gateway. One thread moves bytes.
#[derive(Debug)]
pub(crate) struct Front {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// The process.
    pub(crate) process: Process,
    /// Its admin socket.
    pub(crate) admin: Admin,
    _folder: TempDir,
}

impl Front {
    /// Starts a gateway with a main file, without its listener and admin socket, and with a file of tenants; waits
    /// until it listens.
    pub(crate) async fn start(main_file: &str, tenants: &str) -> Result<Self, Failure> {
        Self::listening("", main_file, tenants).await
    }

    /// Starts a gateway that speaks TLS with the certificates of a folder. Its one tenant has no backend.
    pub(crate) async fn secured(certificates: &Path, host: &str) -> Result<Self, Failure> {
        let tenants = format!("- {{ id: tls, hosts: [{host}] }}\n");
        Self::serving_tls(certificates, NOBODY, &tenants).await
    }

    /// [`start`](Self::start), and TLS with the certificates of a folder.
    pub(crate) async fn serving_tls(
        certificates: &Path,
        main_file: &str,
        tenants: &str,
    ) -> Result<Self, Failure> {
        let tls = format!(", tls: {{ certificates: {} }}", certificates.display());
        Self::listening(&tls, main_file, tenants).await
    }

    async fn listening(listener: &str, main_file: &str, tenants: &str) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("fleetgate-figures-").tempdir()?;
        let (address, config) = (free_address()?, folder.path().join("fleetgate.yaml"));
        let socket = folder.path().join("admin.sock");
        let text = format!(
            "listeners: [ {{ address: \"{address}\"{listener} }} ]\nthreads: 1\nadmin: {{ socket: {} }}\n\
             tenants_directory: tenants.d\nstate_directory: state\n{main_file}",
            socket.display(),
        );
        fs::write(&config, text)?;
        fs::create_dir(folder.path().join("tenants.d"))?;
        fs::write(folder.path().join("tenants.d/tenants.yaml"), tenants)?;
        let mut command = measured(&program("fleetgate")?);
        command.arg("run").arg("--config").arg(&config);
        let mut process = Process::start(command, &folder.path().join("log"))?;
        process.until_listening(address).await?;
        Ok(Self { address, process, admin: Admin(socket), _folder: folder })
    }
}

/// The part of a main file that has one pool, of a stand-in Odoo.
pub(crate) fn before(odoo: &StubOdoo) -> String {
    format!(
        "regions: [ {{ name: here }} ]\npools:\n  shared:\n    odoo_version: \"19.0\"\n    \
         database_selection: dbfilter_header\n    \
         regions: {{ here: {{ backends: [ {{ http: \"{}\", websocket: \"{}\" }} ] }} }}\n",
        odoo.http_addr(),
        odoo.gevent_addr(),
    )
}

/// A pool whose backend takes no connection.
const NOBODY: &str = r#"regions: [ { name: here } ]
pools:
  nobody:
    odoo_version: "19.0"
    database_selection: dbfilter_header
    regions: { here: { backends: [ { http: "127.0.0.1:1" } ] } }
"#;
