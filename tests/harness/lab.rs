//! The parts of a real Odoo with PostgreSQL, and databases to copy, as `tests/real/odoo/fleet.sh` makes them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// For downloads on a slow line.
const GET: Duration = Duration::from_secs(900);
/// For making databases on a busy machine.
const UP: Duration = Duration::from_secs(300);

/// The lab folder with its fleet running, whose databases can be copied. The fleet is ended when this is dropped, unless
/// it ran before.
#[derive(Debug)]
pub struct Lab {
    /// Where the parts are: `$FLEETGATE_LAB`, or `.lab` in the repository.
    pub folder: PathBuf,
    /// Port of its Odoo.
    pub http_port: u16,
    /// Port of its Odoo for websockets.
    pub gevent_port: u16,
    /// Port of its PostgreSQL server.
    pub postgres_port: u16,
    ours: bool,
}

impl Lab {
    /// Installs what is missing and starts the fleet, which takes minutes the first time.
    pub async fn up() -> Self {
        run_to_end(Command::new(odoo_script("fleet.sh")).arg("get"), GET).await;
        let said = run_to_end(Command::new(odoo_script("fleet.sh")).arg("up"), UP).await;
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.lab");
        let folder = env::var_os("FLEETGATE_LAB").map_or(default, PathBuf::from);
        let folder = folder.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let facts = std::fs::read_to_string(folder.join("run/fleet.env"));
        let facts = facts.unwrap_or_else(|error| panic!("fleet.sh up writes fleet.env: {error}"));
        let port = |name: &str| {
            let mut ports = facts.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            let port = ports.next().and_then(|port| port.parse().ok());
            port.unwrap_or_else(|| panic!("no {name} in fleet.env:\n{facts}"))
        };
        Self {
            http_port: port("HTTP_PORT"),
            gevent_port: port("GEVENT_PORT"),
            postgres_port: port("PG_PORT"),
            ours: !said.contains("already up"),
            folder,
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.ours {
            let down = std::process::Command::new(odoo_script("fleet.sh")).arg("down").status();
            assert!(down.is_ok_and(|status| status.success()), "fleet.sh down failed: Odoo may still run");
        }
    }
}

/// A script of the real Odoo.
pub fn odoo_script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("real/odoo").join(name)
}

/// Runs a program to its end and returns what it said; fails with that unless it succeeds in time.
pub async fn run_to_end(command: &mut Command, deadline: Duration) -> String {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let what = format!("{:?}", command.as_std());
    let ended = tokio::time::timeout(deadline, running).await;
    let output = ended.unwrap_or_else(|_| panic!("{what} did not end within {deadline:?}"));
    let output = output.unwrap_or_else(|error| panic!("cannot run {what}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what} ended with {}\n{said}{errors}", output.status);
    said
}
