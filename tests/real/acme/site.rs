//! A gateway, Pebble and BIND that know each other.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{
    Bind, Builder, DEADLINE, Gateway, Pebble, PebblePorts, backend, own_address, own_port, wait_for,
};
use serde_json::Value;
use tokio::process::Command;

/// Everything that takes part.
pub(crate) struct Site {
    pub(crate) pebble: Pebble,
    pub(crate) bind: Bind,
    pub(crate) stub: StubOdoo,
    pub(crate) plain: SocketAddr,
    pub(crate) secure: SocketAddr,
}

impl Site {
    /// BIND and a backend run; Pebble and the gateway are yet to be started.
    pub(crate) async fn new() -> Self {
        let [plain, secure, directory, management] = [(); 4].map(|()| own_port());
        let bind = Bind::start(own_address()).await;
        let ports = PebblePorts {
            directory,
            management,
            http: plain.port(),
            tls: secure.port(),
            dns: bind.address(),
        };
        let stub =
            StubOdoo::start(StubOptions::new("eu-1", ["acme", "globex", "shop"]).threaded()).await.unwrap();
        Self { pebble: Pebble::new(ports), bind, stub, plain, secure }
    }

    /// The same, with Pebble running.
    pub(crate) async fn with_pebble() -> Self {
        let mut site = Self::new().await;
        site.pebble.start().await;
        site
    }

    /// A gateway whose certificates come from Pebble. `acme` holds further keys of `acme`, `more` of the main file.
    pub(crate) fn gateway(&self, acme: &str, more: &str, tenants: &str) -> Builder {
        let config = format!(
            "listeners:\n  - {{ address: \"{}\", tls: {{ acme: true }} }}\n  \
             - {{ address: \"{}\", redirect_to_https: true }}\n\
             state_directory: state\n\
             acme:\n  directory: {}\n  directory_ca: {}\n  terms_of_service_agreed: true\n{acme}\
             threads: 2\nregions: [ {{ name: eu }} ]\npools:\n  main:\n    odoo_version: \"19.0\"\n    \
             database_selection: dbfilter_header\n    regions: {{ eu: {{ backends: [ {} ] }} }}\n{more}",
            self.secure,
            self.plain,
            self.pebble.directory(),
            self.pebble.ca().display(),
            backend(&self.stub),
        );
        Gateway::builder(&config).tenants("tenants.yaml", tenants)
    }

    /// Asks a host over TLS, trusting what Pebble issues and nothing else. The certificates that were served, in PEM, if
    /// the host answered from its database.
    pub(crate) async fn served(&self, host: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let trust = folder.path().join("root.pem");
        fs::write(&trust, self.pebble.root().await).unwrap();
        self.served_by(host, &trust).await
    }

    /// The same, trusting a file.
    pub(crate) async fn served_by(&self, host: &str, trust: &PathBuf) -> Option<String> {
        self.served_to(host, trust, None).await
    }

    /// The same, to a client who shows a certificate: a file of it and its key.
    pub(crate) async fn served_to(
        &self,
        host: &str,
        trust: &PathBuf,
        certificate: Option<&Path>,
    ) -> Option<String> {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--fail",
            "--max-time",
            "20",
            "--write-out",
            "%{certs}",
            "--output",
            "/dev/null",
        ]);
        command.arg("--cacert").arg(trust);
        if let Some(certificate) = certificate {
            command.arg("--cert").arg(certificate);
        }
        command.arg("--resolve").arg(format!("{host}:{}:{}", self.secure.port(), self.secure.ip()));
        command.arg(format!("https://{host}:{}/stub/echo", self.secure.port()));
        let output = command.output().await.expect("curl is there: install the package curl");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until a host is served with a certificate of Pebble, and returns it.
    pub(crate) async fn until_served(&self, host: &str, gateway: &Gateway) -> String {
        let mut found = None;
        let mut tries = tokio::time::interval(std::time::Duration::from_millis(100));
        let waiting = async {
            while found.is_none() {
                tries.tick().await;
                found = self.served(host).await;
            }
        };
        if tokio::time::timeout(2 * DEADLINE, waiting).await.is_err() {
            let (log, pebble, bind) = (gateway.operational_log().text(), self.pebble.log(), self.bind.log());
            panic!("no certificate for {host}\n--- gateway\n{log}\n--- pebble\n{pebble}\n--- bind\n{bind}");
        }
        found.unwrap()
    }
}

/// What the status says about ordering.
pub(crate) async fn facts(gateway: &Gateway) -> Value {
    gateway.admin("/v1/status").await["acme"].clone()
}

/// Waits until a name's last order failed for a reason, and returns what is said about it.
pub(crate) async fn until_trouble(gateway: &Gateway, name: &str, reason: &str) -> Value {
    let mut found = Value::Null;
    wait_for(&format!("{name} fails: {reason}"), 2 * DEADLINE, async || {
        let facts = facts(gateway).await;
        let troubles = facts["troubles"].as_array().cloned().unwrap_or_default();
        let trouble =
            troubles.into_iter().find(|trouble| trouble["name"] == name && trouble["reason"] == reason);
        found = trouble.unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}
