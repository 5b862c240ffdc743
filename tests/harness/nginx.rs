//! nginx of Debian, set up to run from a folder of its own.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::peer::Peer;

/// Debian's package of it.
pub const NGINX_PACKAGE: &str = "nginx-light";

/// One process in the foreground that writes to nothing but its folder and standard error.
const CONFIG: &str = "\
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
HTTP
}
";

/// Writes the config of an nginx into its folder: `http` is what stands in the block of that name, `FOLDER` in it is the
/// folder's path. Returns the arguments to start it with.
///
/// # Panics
/// The folder cannot be written to.
pub fn nginx_arguments(folder: &Path, http: &str) -> Vec<OsString> {
    // Its workers run as nobody, and keep large bodies in here.
    let opened = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
    let path = folder.join("nginx.conf");
    let text = CONFIG.replace("HTTP", http).replace("FOLDER", &folder.display().to_string());
    if let Err(error) = opened.and_then(|()| fs::write(&path, text)) {
        panic!("cannot write {}: {error}", path.display());
    }
    vec!["-c".into(), path.into(), "-e".into(), "stderr".into()]
}

impl Peer {
    /// Starts nginx with what stands in its `http` block, as [`nginx_arguments`] takes it, and waits until it listens.
    pub async fn nginx(folder: TempDir, http: &str, listens: &[SocketAddr]) -> Self {
        let arguments = nginx_arguments(folder.path(), http);
        let arguments: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
        Self::start("nginx", NGINX_PACKAGE, &arguments, folder, listens).await
    }
}
