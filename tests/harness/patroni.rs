//! A real Patroni with etcd: members that promote and demote PostgreSQL by themselves.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::peer::{Peer, installed};
use crate::postgres::{PROGRAMS, as_postgres, free_ports, is_root, run};
use crate::request::Request;
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

/// A member: Patroni, and the PostgreSQL that it runs.
#[derive(Debug)]
pub struct PatroniMember {
    name: &'static str,
    rest: SocketAddr,
    data: PathBuf,
    patroni: Peer,
}

impl PatroniCluster {
    /// Starts etcd and two members, the second one a standby of the first.
    pub async fn start(names: [&'static str; 2]) -> Self {
        let [client, peer] = free_ports();
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, client));
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let (url, peer) = (format!("http://{client}"), format!("http://127.0.0.1:{peer}"));
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
        let first = PatroniMember::start(names[0], client).await;
        first.says("primary").await;
        let second = PatroniMember::start(names[1], client).await;
        second.says("replica").await;
        Self { members: [first, second], _etcd: etcd }
    }

    /// Has Patroni make another member the leader.
    pub async fn switch_over(&self, from: usize, to: usize) {
        let [from, to] = [from, to].map(|at| self.members.get(at).map_or("", |member| member.name));
        let rest = self.members[0].rest;
        let order = json!({ "leader": from, "candidate": to }).to_string();
        let answer = Request::post("patroni", "/switchover", order).send(rest).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

impl PatroniMember {
    async fn start(name: &'static str, etcd: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("fleetgate-patroni-").tempdir();
        let folder: TempDir = folder.unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let [rest, port] = free_ports();
        let rest = SocketAddr::from((Ipv4Addr::LOCALHOST, rest));
        let (config, data) = (folder.path().join("patroni.yml"), folder.path().join("data"));
        let text = CONFIG
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
        Self { name, rest, data, patroni }
    }

    /// URL of its REST API.
    pub fn url(&self) -> String {
        format!("http://{}", self.rest)
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
        let path = format!("/{what}");
        wait_for(&format!("{} is {what}", self.name), PATRONI_DEADLINE, async || {
            let answer = Request::get("patroni", &path).try_send(self.rest).await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }
}

impl Drop for PatroniMember {
    fn drop(&mut self) {
        // Patroni would start it again.
        self.patroni.end();
        self.stop_postgres();
    }
}

const CONFIG: &str = "\
scope: fleet
name: NAME
restapi: { listen: 'REST', connect_address: 'REST' }
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
