//! Tests of the config on disk, with real files.

mod generated;
mod last_good;
mod printed;
mod strange_files;
mod watching;

use super::{Loaded, Loader};
use fleetgate_core::config::{Problem, Running};
use fleetgate_core::host::HostKey;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(super) const MAIN: &str = r#"
listeners: [ { address: "127.0.0.1:8080" } ]
regions: [ { name: paris } ]
pools:
  shared:
    odoo_version: "19.0"
    database_selection: dbfilter_header
    regions:
      paris: { backends: [ { http: "10.0.0.11:8069" } ] }
tenants_directory: tenants.d
"#;

/// A folder with a main file and tenants, and the loader that reads them.
pub(super) struct Site {
    folder: TempDir,
    pub(super) loader: Loader,
}

impl Site {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tenants.d")).unwrap();
        let loader = Loader::new(&folder.path().join("fleetgate.yaml"), 2);
        let site = Self { folder, loader };
        site.write("fleetgate.yaml", MAIN);
        for (name, text) in files {
            site.write(&format!("tenants.d/{name}"), text);
        }
        site
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    pub(super) fn load(&mut self) -> Loaded {
        self.loader.load().unwrap_or_else(|problems| panic!("no config at all: {}", lines(&problems)))
    }

    /// Loads files that have no problem.
    pub(super) fn load_clean(&mut self) -> Loaded {
        let loaded = self.load();
        assert_eq!(lines(&loaded.problems), "");
        loaded
    }
}

pub(super) fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// A tenant with one host.
pub(super) fn tenant(id: &str) -> String {
    format!("- {{ id: {id}, hosts: [{id}.example.com] }}\n")
}

/// The database behind a host.
pub(super) fn database(loaded: &Loaded, host: &str) -> Option<String> {
    let (key, _) = HostKey::parse(host.as_bytes()).unwrap();
    let found = loaded.config.fleet.tenants.resolve(&key)?;
    Some(found.tenant.database.resolve(found.label).into_owned())
}

/// Ids of all tenants, sorted.
pub(super) fn ids(loaded: &Loaded) -> Vec<String> {
    let mut ids: Vec<String> =
        loaded.config.fleet.tenants.iter().map(|(_, tenant)| tenant.id.to_string()).collect();
    ids.sort_unstable();
    ids
}

pub(super) fn running(loaded: &Loaded, name: &str) -> Running {
    let file = loaded.files.iter().find(|file| file.path.ends_with(Path::new(name)));
    file.unwrap_or_else(|| panic!("no file {name}: {:?}", loaded.files)).running
}
