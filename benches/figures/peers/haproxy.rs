//! HAProxy of Debian, set up for the same work: a map from host to database, and the headers Odoo wants.

use super::{Peer, Route, install, routes};
use crate::Failure;
use crate::machine::measured;
use crate::process::free_address;
use fleetgate_stub::StubOdoo;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "/usr/sbin/haproxy";

/// Starts it for so many tenants.
pub(crate) async fn start(tenants: u32, backend: &StubOdoo) -> Result<Peer, Failure> {
    before(&routes(tenants), backend.http_addr(), "").await
}

/// Starts it for any tenants before a backend that gets no more requests at once than it has workers. The others wait.
pub(crate) async fn limited(tenants: &[Route], backend: SocketAddr, workers: u16) -> Result<Peer, Failure> {
    before(tenants, backend, &format!(" maxconn {workers}")).await
}

async fn before(tenants: &[Route], backend: SocketAddr, server_options: &str) -> Result<Peer, Failure> {
    let program = installed()?;
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let mut lines = String::new();
    for Route { host, database } in tenants {
        // Writing to a string does not fail.
        let _infallible = writeln!(lines, "{host} {database}");
    }
    let (map, config) = (folder.path().join("hosts.map"), folder.path().join("haproxy.cfg"));
    fs::write(&map, lines)?;
    let text = CONFIG
        .replace("MAP", &map.display().to_string())
        .replace("ADDRESS", &address.to_string())
        .replace("BACKEND", &format!("{backend}{server_options}"));
    fs::write(&config, text)?;
    let mut command = measured(&program);
    command.arg("-db").arg("-f").arg(&config);
    Peer::start(command, address, folder).await
}

fn installed() -> Result<PathBuf, Failure> {
    let program = Path::new(PROGRAM);
    if !program.is_file() {
        install(
            "haproxy",
            Path::new("apt-get"),
            &["install", "--yes", "--no-install-recommends", "haproxy"],
        )?;
    }
    Ok(program.to_owned())
}

const CONFIG: &str = r"
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
  timeout http-request 10s
  option forwardfor
frontend web
  bind ADDRESS
  http-request set-var(txn.database) req.hdr(host),field(1,:),lower,map(MAP)
  http-request return status 421 unless { var(txn.database) -m found }
  http-request set-header X-Odoo-dbfilter ^%[var(txn.database)]$
  http-request del-header X-Odoo-Database
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend odoo
backend odoo
  server one BACKEND
";
