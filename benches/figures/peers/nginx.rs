//! nginx of Debian, set up for the same work: a map from host to database, the headers Odoo wants, an access log.

use super::{Peer, Route, install, routes};
use crate::Failure;
use crate::fleet::Workers;
use crate::machine::measured;
use crate::process::free_address;
use fleetgate_stub::StubOdoo;
use fleetgate_tests::{NGINX_PACKAGE, nginx_arguments};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "/usr/sbin/nginx";

/// Starts it for so many tenants. To a threaded backend it keeps connections, to prefork workers it cannot.
pub(crate) async fn start(tenants: u32, backend: &StubOdoo, workers: Workers) -> Result<Peer, Failure> {
    before(&routes(tenants), backend.http_addr(), workers).await
}

/// Starts it for any tenants before any backend.
pub(crate) async fn before(
    tenants: &[Route],
    backend: SocketAddr,
    workers: Workers,
) -> Result<Peer, Failure> {
    let address = free_address()?;
    let mut map = String::new();
    for Route { host, database } in tenants {
        // Writing to a string does not fail.
        let _infallible = writeln!(map, "    {host} {database};");
    }
    let keep = match workers {
        Workers::Threaded => ("keepalive 1024;", "proxy_http_version 1.1; proxy_set_header Connection \"\";"),
        Workers::Prefork => ("", "proxy_http_version 1.0;"),
    };
    let http = HTTP
        .replace("ADDRESS", &address.to_string())
        .replace("BACKEND", &backend.to_string())
        .replace("KEEP_CONNECTIONS", keep.0)
        .replace("KEEP_HEADERS", keep.1)
        .replace("MAP", &map);
    serve(&http, address).await
}

/// Starts one that answers by itself, through TLS with `NAME.crt` and `NAME.key` of a folder.
pub(crate) async fn secured(certificates: &Path, name: &str) -> Result<Peer, Failure> {
    let address = free_address()?;
    let pair = certificates.join(name).display().to_string();
    let http = SECURED.replace("ADDRESS", &address.to_string()).replace("PAIR", &pair);
    serve(&http, address).await
}

async fn serve(http: &str, address: SocketAddr) -> Result<Peer, Failure> {
    let program = installed()?;
    let folder = tempfile::tempdir()?;
    let mut command = measured(&program);
    command.args(nginx_arguments(folder.path(), http));
    Peer::start(command, address, folder).await
}

const SECURED: &str = r"
  server {
    listen ADDRESS ssl backlog=4096;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate PAIR.crt;
    ssl_certificate_key PAIR.key;
    location / { return 204; }
  }
";

fn installed() -> Result<PathBuf, Failure> {
    let program = Path::new(PROGRAM);
    if !program.is_file() {
        install(
            NGINX_PACKAGE,
            Path::new("apt-get"),
            &["install", "--yes", "--no-install-recommends", NGINX_PACKAGE],
        )?;
    }
    Ok(program.to_owned())
}

/// The fields of the log are those of the gateway's access events that nginx knows.
const HTTP: &str = r#"
  server_tokens off;
  tcp_nodelay on;
  keepalive_requests 100000000;
  geo $dollar { default "$"; }
  map_hash_max_size 65536;
  map_hash_bucket_size 128;
  map $host $database {
    default "";
MAP  }
  log_format events escape=json '{"time":"$time_iso8601","event":"request","request_id":"$request_id",'
    '"trace_id":"$http_traceparent","client":"$remote_addr","scheme":"$scheme","protocol":"$server_protocol",'
    '"method":"$request_method","host":"$host","path":"$uri","tenant":"$database","database":"$database",'
    '"backend":"$upstream_addr","status":$status,"bytes_in":$request_length,"bytes_out":$body_bytes_sent,'
    '"duration_ms":$request_time,"first_byte_ms":"$upstream_header_time"}';
  upstream odoo { server BACKEND; KEEP_CONNECTIONS }
  server {
    listen ADDRESS backlog=4096;
    access_log /dev/null events buffer=64k flush=1s;
    if ($database = "") { return 421; }
    location / {
      KEEP_HEADERS
      proxy_set_header Host $http_host;
      proxy_set_header X-Odoo-dbfilter "^$database$dollar";
      proxy_set_header X-Odoo-Database "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Request-Id $request_id;
      add_header X-Request-Id $request_id always;
      proxy_next_upstream error timeout;
      proxy_pass http://odoo;
    }
  }
"#;
