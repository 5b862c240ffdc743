//! A real server of ACME: Pebble, which Let's Encrypt tests clients with.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;

use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::peer::installed;
use crate::wait::{DEADLINE, wait_for};

/// An address of this machine that nobody else uses: by the process id, which is unique among those that run.
pub fn own_address() -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 64 | high, middle, low))
}

/// A port of the [own address](own_address) that is free, and stays so: nobody else looks for one there.
pub fn own_port() -> SocketAddr {
    let found = TcpListener::bind((own_address(), 0)).and_then(|socket| socket.local_addr());
    found.unwrap_or_else(|error| panic!("no free port: {error}"))
}

/// Where Pebble listens, and where it looks for proofs.
#[derive(Debug, Clone, Copy)]
pub struct PebblePorts {
    /// The directory.
    pub directory: SocketAddr,
    /// Its own root certificate.
    pub management: SocketAddr,
    /// Port for `http-01`.
    pub http: u16,
    /// Port for `tls-alpn-01`.
    pub tls: u16,
    /// Who is asked for names.
    pub dns: SocketAddr,
}

/// Pebble's files; it can be started and ended many times.
#[derive(Debug)]
pub struct Pebble {
    folder: TempDir,
    ports: PebblePorts,
    child: Option<Child>,
}

impl Pebble {
    /// Writes its config and certificate.
    pub fn new(ports: PebblePorts) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let certificate = CertificateParams::new(vec![ports.directory.ip().to_string()]);
        let made = KeyPair::generate()
            .and_then(|key| Ok((certificate?.self_signed(&key)?.pem(), key.serialize_pem())));
        let (certificate, key) = made.unwrap_or_else(|error| panic!("no certificate for Pebble: {error}"));
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = json!({ "pebble": {
            "listenAddress": ports.directory.to_string(),
            "managementListenAddress": ports.management.to_string(),
            "certificate": path("server.pem"),
            "privateKey": path("server.key"),
            "httpPort": ports.http,
            "tlsPort": ports.tls,
        }});
        for (name, text) in
            [("server.pem", certificate), ("server.key", key), ("config.json", config.to_string())]
        {
            fs::write(folder.path().join(name), text)
                .unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
        }
        Self { folder, ports, child: None }
    }

    /// Starts it, without the sleeps that it has for clients that cannot wait. It has forgotten every account.
    pub async fn start(&mut self) {
        let log = fs::File::options().append(true).create(true).open(self.folder.path().join("log"));
        let log = log.unwrap_or_else(|error| panic!("no log: {error}"));
        let errors = log.try_clone().unwrap_or_else(|error| panic!("no log: {error}"));
        let mut command = Command::new(installed("pebble", "pebble"));
        command.arg("-config").arg(self.folder.path().join("config.json"));
        command.args(["-dnsserver", &self.ports.dns.to_string()]);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        command.stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true);
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot start Pebble: {error}"));
        wait_for("Pebble listens or exits", DEADLINE, async || {
            if let Ok(Some(exit)) = child.try_wait() {
                panic!("Pebble ended before it was ready ({exit}):\n{}", self.log());
            }
            TcpStream::connect(self.ports.directory).await.is_ok()
                && TcpStream::connect(self.ports.management).await.is_ok()
        })
        .await;
        self.child = Some(child);
    }

    /// Ends it.
    pub async fn stop(&mut self) {
        if let Some(mut child) = self.child.take()
            && let Err(error) = child.kill().await
        {
            panic!("cannot end Pebble: {error}");
        }
    }

    /// URL of the directory.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.ports.directory)
    }

    /// The file to know it by.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The root of what it issues, in PEM. Another one after each start.
    pub async fn root(&self) -> String {
        let url = format!("https://{}/roots/0", self.ports.management);
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--fail", "--max-time", "20", "--cacert"])
            .arg(self.ca())
            .arg(url);
        let output = command.output().await;
        let output =
            output.unwrap_or_else(|error| panic!("curl is missing, install the package curl: {error}"));
        assert!(output.status.success(), "Pebble has no root: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
