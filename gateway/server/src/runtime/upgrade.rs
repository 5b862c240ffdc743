//! Replacing the program while it serves.
//!
//! The running process starts the new program with its listening sockets, waits until the new one serves, and only
//! then drains. The sockets stay open throughout, so that no connection is refused. A new program that fails to
//! start costs nothing: the old one goes on.

use crate::admin::{Phase, Status};
use crate::admin_client::AdminClient;
use crate::front::Listener;
use command_fds::{CommandFdExt, FdMapping};
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// For the new process to load its config and serve.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two looks at the new process.
const READY_PAUSE: Duration = Duration::from_millis(50);
/// First file descriptor that systemd's protocol passes (`sd_listen_fds(3)`).
const FIRST_PASSED: i32 = 3;

/// Why an upgrade did not happen.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    /// The sockets could not be passed on.
    #[error("cannot pass the listening sockets on")]
    Sockets(#[source] io::Error),
    /// The program could not be started.
    #[error("cannot start the new program")]
    Spawn(#[source] io::Error),
    /// The new process ended.
    #[error("the new process ended with {0}; its log says why")]
    Ended(std::process::ExitStatus),
    /// The new process did not serve in time; it was ended.
    #[error("the new process did not serve within 60 s and was ended")]
    Late,
}

/// The new process, which is ended unless it came to serve.
struct Successor {
    child: Child,
    serves: bool,
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.serves {
            // A process that has just ended by itself needs no killing.
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// Starts the program anew with the same arguments; returns its status when it serves. Dropped before, it ends the new
/// process.
pub(super) async fn upgrade(sockets: &[Listener], admin_socket: &Path) -> Result<Status, UpgradeError> {
    let mut successor = Successor { child: spawn(sockets)?, serves: false };
    let deadline = Instant::now() + READY_TIMEOUT;
    let client = AdminClient::new(admin_socket);
    loop {
        // The new process takes over the path of the admin socket when it is about to serve. It may have been
        // replaced in turn before this one looked.
        let status = client.get::<Status>("/v1/status").await.ok();
        let serving = status.filter(|status| status.phase == Phase::Serving);
        if let Some(status) = serving.filter(|status| status.pid != std::process::id()) {
            successor.serves = true;
            return Ok(status);
        }
        if let Ok(Some(status)) = successor.child.try_wait() {
            return Err(UpgradeError::Ended(status));
        }
        if Instant::now() >= deadline {
            return Err(UpgradeError::Late);
        }
        sleep(READY_PAUSE).await;
    }
}

fn spawn(sockets: &[Listener]) -> Result<Child, UpgradeError> {
    let mut arguments = std::env::args_os();
    let program = arguments.next().ok_or_else(|| UpgradeError::Spawn(io::ErrorKind::NotFound.into()))?;
    let mappings = (FIRST_PASSED..).zip(sockets).map(|(child_fd, listener)| {
        listener.socket.try_clone().map(|socket| FdMapping { parent_fd: socket.into(), child_fd })
    });
    let mappings = mappings.collect::<io::Result<Vec<_>>>().map_err(UpgradeError::Sockets)?;
    let names: Vec<&str> = sockets.iter().map(|listener| &*listener.configured).collect();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LISTEN_FDS", sockets.len().to_string())
        .env_remove("LISTEN_PID")
        .env(crate::front::INHERITED_NAMES_VARIABLE, names.join(","));
    command.fd_mappings(mappings).map_err(|error| UpgradeError::Sockets(io::Error::other(error)))?;
    command.spawn().map_err(UpgradeError::Spawn)
}
