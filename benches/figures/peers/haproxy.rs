//! HAProxy of Debian, set up for the same work: a map from host to database, and the headers Odoo wants.

use super::{Peer, install};
use crate::Failure;
use crate::fleet::{host, name};
use crate::machine::measured;
use crate::process::free_address;
use fleetgate_stub::StubOdoo;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "/usr/sbin/haproxy";

/// Starts it for so many tenants.
pub(crate) async fn start(tenants: u32, backend: &StubOdoo) -> Result<Peer, Failure> {
    let program = installed()?;
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let mut lines = String::new();
    for tenant in 0..tenants {
        // Writing to a string does not fail.
        let _infallible = writeln!(lines, "{} {}", host(tenant), name(tenant));
    }
    let (map, config) = (folder.path().join("hosts.map"), folder.path().join("haproxy.cfg"));
    fs::write(&map, lines)?;
    let text = CONFIG
        .replace("MAP", &map.display().to_string())
        .replace("ADDRESS", &address.to_string())
        .replace("BACKEND", &backend.http_addr().to_string());
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
