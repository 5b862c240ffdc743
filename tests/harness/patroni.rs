//! A real Patroni with etcd: members that promote and demote PostgreSQL by themselves.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::peer::{Peer, installed};
use crate::ports::{free_address, free_port};
use crate::postgres::{PROGRAMS, as_postgres, is_root, run};
use crate::wait::wait_for;

/// For a member to lose its lock after it died, in seconds: the least that Patroni allows.
const TTL_SECONDS: u32 = 20;

/// For what Patroni does in its own time, the end of a lock included.
const PATRONI_DEADLINE: Duration = Duration::from_secs(90);

/// A cluster of two members. Ended when dropped.
#[derive(Debug)]
pub struct PatroniCluster {
    /// In the order in which they were started; the first one leads.
    pub members: [PatroniMember; 2],
    _etcd: Peer,
}

/// TLS of REST APIs, in PEM: the server's certificate, and that of who may ask.
#[derive(Debug, Clone)]
pub struct RestTls {
    /// Certificates and key of the members.
    pub server: (String, String),
    /// Certificates and key of a client.
    pub client: (String, String),
    /// The authority of the members, and that of clients.
    pub authorities: [String; 2],
}

/// A member: Patroni, and the PostgreSQL that it runs.
#[derive(Debug)]
pub struct PatroniMember {
    name: &'static str,
    rest: SocketAddr,
    /// Where a client's certificate and key are, if it has to show them.
    client: Option<PathBuf>,
    data: PathBuf,
    patroni: Peer,
}

impl PatroniCluster {
    /// Starts etcd and two members, the second one a standby of the first.
    pub async fn start(names: [&'static str; 2]) -> Self {
        Self::start_with(names, None).await
    }

    /// The same, where REST APIs are asked over TLS by whoever shows a certificate.
    pub async fn start_secured(names: [&'static str; 2], rest: &RestTls) -> Self {
        Self::start_with(names, Some(rest)).await
    }

    async fn start_with(names: [&'static str; 2], rest: Option<&RestTls>) -> Self {
        let (client, peer) = (free_address(), free_address());
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let (url, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let cluster = format!("default={peer}");
        let arguments = [
            "--data-dir",
            "data",
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster",
            &cluster,
        ]
        .map(OsStr::new);
        let etcd = Peer::start("etcd", "etcd-server", &arguments, folder, &[client]).await;
        let first = PatroniMember::start(names[0], client, rest).await;
        first.says("primary").await;
        let second = PatroniMember::start(names[1], client, rest).await;
        second.says("replica").await;
        Self { members: [first, second], _etcd: etcd }
    }

    /// Has Patroni make another member the leader.
    pub async fn switch_over(&self, from: usize, to: usize) {
        let [from, to] = [from, to].map(|at| self.members.get(at).map_or("", |member| member.name));
        let order = json!({ "leader": from, "candidate": to }).to_string();
        assert_eq!(self.members[0].ask("switchover", Some(&order)).await, Some(200));
    }
}

impl PatroniMember {
    async fn start(name: &'static str, etcd: SocketAddr, tls: Option<&RestTls>) -> Self {
        let folder = tempfile::Builder::new().prefix("fleetgate-patroni-").tempdir();
        let folder: TempDir = folder.unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let (rest, port) = (free_address(), free_port());
        let (config, data) = (folder.path().join("patroni.yml"), folder.path().join("data"));
        let client = tls.map(|tls| {
            let files = [
                ("rest.crt", &tls.server.0),
                ("rest.key", &tls.server.1),
                ("members.crt", &tls.authorities[0]),
                ("clients.crt", &tls.authorities[1]),
                ("client.pem", &(tls.client.0.clone() + &tls.client.1)),
            ];
            for (name, text) in files {
                let written = fs::write(folder.path().join(name), text);
                written.unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
            }
            folder.path().join("client.pem")
        });
        let text = CONFIG
            .replace("SECURED", if tls.is_some() { SECURED } else { "" })
            .replace("NAME", name)
            .replace("REST", &rest.to_string())
            .replace("ETCD", &etcd.to_string())
            .replace("PORT", &port.to_string())
            .replace("TTL", &TTL_SECONDS.to_string())
            .replace("PROGRAMS", PROGRAMS)
            .replace("FOLDER", &folder.path().display().to_string());
        fs::write(&config, text).unwrap_or_else(|error| panic!("cannot write Patroni's config: {error}"));
        let patroni = installed("patroni", "patroni");
        // Without a process in between, so that a signal to the child is one to Patroni.
        let dropped = ["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"].map(OsStr::new);
        let own = [patroni.as_os_str(), config.as_os_str()];
        let arguments: Vec<&OsStr> = dropped.into_iter().filter(|_| is_root()).chain(own).collect();
        let program = if is_root() { "setpriv" } else { "env" };
        let patroni = Peer::start(program, "util-linux", &arguments, folder, &[rest]).await;
        Self { name, rest, client, data, patroni }
    }

    /// URL of its REST API.
    pub fn url(&self) -> String {
        let scheme = if self.client.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.rest)
    }

    /// Ends Patroni and PostgreSQL at once, as a power cut does.
    pub fn kill(&self) {
        self.patroni.signal(Signal::KILL);
        self.stop_postgres();
    }

    fn stop_postgres(&self) {
        let stop = ["-m", "immediate", "stop", "-D"];
        // It may have ended with the test.
        let _ended = as_postgres(&Path::new(PROGRAMS).join("pg_ctl")).args(stop).arg(&self.data).output();
    }

    /// Waits until it answers 200 to a question such as `primary`.
    pub async fn says(&self, what: &str) {
        wait_for(&format!("{} is {what}", self.name), PATRONI_DEADLINE, async || {
            self.ask(what, None).await == Some(200)
        })
        .await;
    }

    /// The status of an answer of its REST API, to an order if there is one.
    async fn ask(&self, what: &str, order: Option<&str>) -> Option<u16> {
        let mut command = tokio::process::Command::new(installed("curl", "curl"));
        command.args(["-sk", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}"]);
        if let Some(client) = &self.client {
            command.arg("--cert").arg(client);
        }
        if let Some(order) = order {
            command.args(["-d", order]);
        }
        let output = command.arg(format!("{}/{what}", self.url())).output().await;
        let output = output.unwrap_or_else(|error| panic!("cannot run curl: {error}"));
        String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|status| *status != 0)
    }
}

impl Drop for PatroniMember {
    fn drop(&mut self) {
        // Patroni would start it again.
        self.patroni.end();
        self.stop_postgres();
    }
}

/// What stands in `restapi` where it speaks TLS.
const SECURED: &str = ", certfile: 'FOLDER/rest.crt', keyfile: 'FOLDER/rest.key', cafile: 'FOLDER/clients.crt', \
    verify_client: required }\nctl: { certfile: 'FOLDER/client.pem', \
    keyfile: 'FOLDER/client.pem', cacert: 'FOLDER/members.crt'";

const CONFIG: &str = "\
scope: fleet
name: NAME
restapi: { listen: 'REST', connect_address: 'REST'SECURED }
etcd3: { hosts: 'ETCD' }
bootstrap:
  dcs: { ttl: TTL, loop_wait: 1, retry_timeout: 3, postgresql: { use_pg_rewind: false } }
  initdb: [ { auth: trust } ]
postgresql:
  listen: '127.0.0.1:PORT'
  connect_address: '127.0.0.1:PORT'
  data_dir: 'FOLDER/data'
  bin_dir: 'PROGRAMS'
  pgpass: 'FOLDER/pgpass'
  pg_hba: [ 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust' ]
  authentication: { superuser: { username: postgres }, replication: { username: replicator } }
  parameters: { unix_socket_directories: 'FOLDER', fsync: 'off', shared_buffers: '1MB' }
";
