//! nginx of Debian, set up for the same work: a map from host to database, the headers Odoo wants, an access log.

use super::{Peer, Route, install, routes};
use crate::Failure;
use crate::fleet::Workers;
use crate::machine::measured;
use crate::process::free_address;
use fleetgate_stub::StubOdoo;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
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
    let program = installed()?;
    let folder = tempfile::tempdir()?;
    // Its workers run as nobody, and keep large bodies in here.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
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
    let text = CONFIG
        .replace("FOLDER", &folder.path().display().to_string())
        .replace("ADDRESS", &address.to_string())
        .replace("BACKEND", &backend.to_string())
        .replace("KEEP_CONNECTIONS", keep.0)
        .replace("KEEP_HEADERS", keep.1)
        .replace("MAP", &map);
    let config = folder.path().join("nginx.conf");
    fs::write(&config, text)?;
    let mut command = measured(&program);
    command.arg("-c").arg(&config).arg("-e").arg("stderr");
    Peer::start(command, address, folder).await
}

/// Starts one that answers by itself, through TLS with `NAME.crt` and `NAME.key` of a folder.
pub(crate) async fn secured(certificates: &Path, name: &str) -> Result<Peer, Failure> {
    let program = installed()?;
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let address = free_address()?;
    let text = SECURED
        .replace("FOLDER", &folder.path().display().to_string())
        .replace("ADDRESS", &address.to_string())
        .replace("PAIR", &certificates.join(name).display().to_string());
    let config = folder.path().join("nginx.conf");
    fs::write(&config, text)?;
    let mut command = measured(&program);
    command.arg("-c").arg(&config).arg("-e").arg("stderr");
    Peer::start(command, address, folder).await
}

const SECURED: &str = r"
daemon off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
  access_log off;
  server {
    listen ADDRESS ssl backlog=4096;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate PAIR.crt;
    ssl_certificate_key PAIR.key;
    location / { return 204; }
  }
}
";

fn installed() -> Result<PathBuf, Failure> {
    let program = Path::new(PROGRAM);
    if !program.is_file() {
        install(
            "nginx-light",
            Path::new("apt-get"),
            &["install", "--yes", "--no-install-recommends", "nginx-light"],
        )?;
    }
    Ok(program.to_owned())
}

/// The fields of the log are those of the gateway's access events that nginx knows.
const CONFIG: &str = r#"
daemon off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
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
  access_log /dev/null events buffer=64k flush=1s;
  upstream odoo { server BACKEND; KEEP_CONNECTIONS }
  server {
    listen ADDRESS backlog=4096;
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
}
"#;
