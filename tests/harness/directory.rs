//! The folder a gateway reads its config from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

/// A temporary folder with `fleetgate.yaml`, `tenants.d/` and the admin socket. Removed with its last clone.
#[derive(Clone, Debug)]
pub struct ConfigDirectory {
    folder: Arc<TempDir>,
}

impl ConfigDirectory {
    /// An empty folder, short enough in name for a unix socket in it.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("fleetgate-").tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("cannot make a temporary folder: {error}"));
        let directory = Self { folder: Arc::new(folder) };
        check("make tenants.d", fs::create_dir(directory.path("tenants.d")));
        directory
    }

    /// A path inside the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The main file.
    pub fn config(&self) -> PathBuf {
        self.path("fleetgate.yaml")
    }

    /// The admin socket.
    pub fn admin_socket(&self) -> PathBuf {
        self.path("admin.sock")
    }

    /// Writes the main file. What it leaves out is added: a listener on a free port, the admin socket, the folders of
    /// tenants and of what outlasts the process.
    pub fn write_config(&self, yaml: &str) {
        let says = |key: &str| yaml.lines().any(|line| line.starts_with(key));
        let mut text = yaml.to_owned();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if !says("listeners:") {
            text.push_str("listeners:\n  - { address: \"127.0.0.1:0\" }\n");
        }
        if !says("admin:") {
            text.push_str(&format!("admin: {{ socket: \"{}\" }}\n", self.admin_socket().display()));
        }
        if !says("tenants_directory:") {
            text.push_str("tenants_directory: tenants.d\n");
        }
        if !says("state_directory:") {
            text.push_str("state_directory: state\n");
        }
        self.write("fleetgate.yaml", text.as_bytes());
    }

    /// Writes a file of tenants as a careful editor does: beside it, then renamed over it.
    pub fn write_tenants(&self, file: &str, yaml: &str) {
        self.write(&format!("tenants.d/{file}"), yaml.as_bytes());
    }

    /// Removes a file of tenants.
    pub fn remove_tenants(&self, file: &str) {
        check("remove a file of tenants", fs::remove_file(self.path("tenants.d").join(file)));
    }

    /// Writes any file of the folder by renaming, so that no reader sees half of it.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        // Outside of every folder that is watched for config files.
        let beside = self.path(".write");
        check("write a file", fs::write(&beside, bytes));
        check("put a file in place", fs::rename(&beside, self.path(name)));
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Default for ConfigDirectory {
    fn default() -> Self {
        Self::new()
    }
}

fn check(what: &str, done: io::Result<()>) {
    if let Err(error) = done {
        panic!("cannot {what} in a temporary folder: {error}");
    }
}
