//! The parts of a real Odoo, and databases to copy.

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
pub(crate) struct Lab {
    pub(crate) folder: PathBuf,
    /// Of its PostgreSQL server.
    pub(crate) postgres_port: u16,
    ours: bool,
}

impl Lab {
    pub(crate) async fn up() -> Self {
        fleet("get", GET).await;
        let said = fleet("up", UP).await;
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.lab");
        let folder = env::var_os("FLEETGATE_LAB").map_or(default, PathBuf::from);
        let facts =
            std::fs::read_to_string(folder.join("run/fleet.env")).expect("fleet.sh up writes fleet.env");
        let port = facts.lines().find_map(|line| line.strip_prefix("PG_PORT="));
        let postgres_port = port.and_then(|port| port.parse().ok()).expect("a port of PostgreSQL");
        Self { folder: folder.canonicalize().unwrap(), postgres_port, ours: !said.contains("already up") }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.ours {
            let down = std::process::Command::new(script("fleet.sh")).arg("down").status();
            assert!(down.is_ok_and(|status| status.success()), "fleet.sh down failed: Odoo may still run");
        }
    }
}

/// A script of the real Odoo.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("real/odoo").join(name)
}

async fn fleet(command: &str, deadline: Duration) -> String {
    let running =
        Command::new(script("fleet.sh")).arg(command).stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = tokio::time::timeout(deadline, running).await;
    let output =
        ended.unwrap_or_else(|_| panic!("fleet.sh {command} did not end within {deadline:?}")).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "fleet.sh {command}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
