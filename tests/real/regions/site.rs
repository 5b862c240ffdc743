//! Two regions.

use std::path::{Path, PathBuf};
use std::process::Command;

use fleetgate_tests::{Builder, Gateway, Lab, Postgres};
use serde_json::Value;
use tempfile::TempDir;

use crate::odoo::Odoo;

pub(crate) const TENANTS: &str = "\
- { id: acme, hosts: [acme.example.com] }
- { id: globex, hosts: [globex.example.com] }
";

/// A primary in paris, with what the lab's server has.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) lab: PathBuf,
    pub(crate) primary: Postgres,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let lab = Lab::up().await;
        let primary = Postgres::copy_of(lab.postgres_port);
        let folder = tempfile::Builder::new().prefix("fleetgate-regions-").tempdir().unwrap();
        for region in ["paris", "dublin"] {
            let data = folder.path().join(region);
            std::fs::create_dir(&data).unwrap();
            let copied =
                Command::new("cp").arg("-a").arg(lab.folder.join("data/filestore")).arg(&data).status();
            assert!(copied.unwrap().success(), "the filestore cannot be copied");
        }
        Self { folder, lab: lab.folder.clone(), primary }
    }

    /// The data folder of a region.
    pub(crate) fn data(&self, region: &str) -> PathBuf {
        self.folder.path().join(region)
    }

    /// Takes the sessions of paris to dublin, as a copy that runs all the time does.
    pub(crate) fn copy_sessions(&self) {
        let sessions = self.data("paris").join("sessions");
        let copied = Command::new("cp").arg("-a").arg(sessions).arg(self.data("dublin")).status();
        assert!(copied.unwrap().success(), "the sessions cannot be copied");
    }

    pub(crate) async fn odoo(&self, region: &str, database: &Postgres) -> Odoo {
        Odoo::start(&self.lab, &self.data(region), database).await
    }

    /// A program of the lab.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        Path::new(&self.lab).join(name)
    }
}

/// One region in a config.
pub(crate) fn region(name: &str, servers: &[&Odoo], database: &Postgres) -> String {
    let backends = servers.iter().map(|odoo| odoo.backend()).collect::<Vec<_>>().join(", ");
    format!("      {name}: {{ backends: [ {backends} ], postgres: \"{}\" }}\n", database.url())
}

/// A gateway before regions, with probes as configured. Clients come by plain HTTP here, and none of them sends a `Secure` cookie over that.
pub(crate) fn gateway_with(health: &str, names: &str, regions: &str) -> Builder {
    let config = format!(
        "threads: 2\ndrain: {{ websocket_spread: 0s }}\nregions: [ {names} ]\npools:\n  shared:\n    \
         odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    session_cookie: {{ secure: false }}\n    \
         health: {{ {health} }}\n    regions:\n{regions}"
    );
    Gateway::builder(&config).tenants("tenants.yaml", TENANTS)
}

/// The same with the usual probes.
pub(crate) fn gateway(names: &str, regions: &str) -> Builder {
    gateway_with("", names, regions)
}

/// What is known of the pool.
pub(crate) async fn pool(gateway: &Gateway) -> Value {
    gateway.admin("/v1/regions").await["pools"][0].clone()
}
