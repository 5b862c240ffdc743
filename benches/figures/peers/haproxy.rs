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
    before(&routes(tenants), &format!("server one {}", backend.http_addr())).await
}

/// Starts it for any tenants before a backend that gets no more requests at once than it has workers. The others wait.
pub(crate) async fn limited(tenants: &[Route], backend: SocketAddr, workers: u16) -> Result<Peer, Failure> {
    before(tenants, &format!("server one {backend} maxconn {workers}")).await
}

/// Starts it before two backends that it asks for their health as often as the gateway does. What failed is asked of the
/// other one: anything when there was no connection, and only GET when there was.
pub(crate) async fn redundant(tenants: &[Route], [one, two]: [SocketAddr; 2]) -> Result<Peer, Failure> {
    let servers = format!(
        "option httpchk GET /web/health\n  option redispatch 1\n  retries 3\n  retry-on all-retryable-errors\n  \
         http-request disable-l7-retry unless METH_GET\n  balance leastconn\n  \
         server one {one} check inter 1s fall 3 rise 2\n  server two {two} check inter 1s fall 3 rise 2"
    );
    before(tenants, &servers).await
}

async fn before(tenants: &[Route], servers: &str) -> Result<Peer, Failure> {
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
        .replace("SERVERS", servers);
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
  SERVERS
";
