//! A gateway with a config of its own.

use crate::Failure;
use crate::build::program;
use crate::machine::measured;
use crate::process::{Process, free_address};
use std::fs;
use std::net::SocketAddr;
use tempfile::TempDir;

/// A running gateway. One thread moves bytes.
#[derive(Debug)]
pub(crate) struct Front {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Front {
    /// Starts a gateway with a main file, without its listener and admin socket, and with a file of tenants; waits
    /// until it listens.
    pub(crate) async fn start(main_file: &str, tenants: &str) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("fleetgate-figures-").tempdir()?;
        let (address, config) = (free_address()?, folder.path().join("fleetgate.yaml"));
        let text = format!(
            "listeners: [ {{ address: \"{address}\" }} ]\nthreads: 1\nadmin: {{ socket: {} }}\n\
             tenants_directory: tenants.d\n{main_file}",
            folder.path().join("admin.sock").display(),
        );
        fs::write(&config, text)?;
        fs::create_dir(folder.path().join("tenants.d"))?;
        fs::write(folder.path().join("tenants.d/tenants.yaml"), tenants)?;
        let mut command = measured(&program("fleetgate")?);
        command.arg("run").arg("--config").arg(&config);
        let mut process = Process::start(command, &folder.path().join("log"))?;
        process.until_listening(address).await?;
        Ok(Self { address, _process: process, _folder: folder })
    }
}
