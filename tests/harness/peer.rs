//! Servers of other projects, run as they come from their packages.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::lines::Lines;
use crate::wait::{DEADLINE, wait_for};

/// A running server with a folder of its own. Dropping it ends it.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    log: Lines,
    _folder: TempDir,
}

impl Peer {
    /// Starts a program of a Debian package and waits until it listens at each of the addresses. Panics with what to
    /// install when it is missing, and with its log when it does not come up.
    pub async fn start(
        program: &str,
        package: &str,
        arguments: &[&OsStr],
        folder: TempDir,
        listens: &[SocketAddr],
    ) -> Self {
        let mut command = Command::new(installed(program, package));
        command.args(arguments).current_dir(folder.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let Some(errors) = child.stderr.take() else { panic!("{program} was started without a pipe") };
        let mut peer = Self { child, log: Lines::follow(errors), _folder: folder };
        for address in listens {
            wait_for(&format!("{program} listens on {address}"), DEADLINE, async || {
                if let Ok(Some(exit)) = peer.child.try_wait() {
                    panic!("{program} ended before it listened ({exit}):\n{}", peer.log.text());
                }
                TcpStream::connect(address).await.is_ok()
            })
            .await;
        }
        peer
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { panic!("the server has ended:\n{}", self.log.text()) };
        kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot send {signal:?}: {error}"));
    }

    /// Ends it at once.
    pub fn end(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.start_kill();
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> &Lines {
        &self.log
    }
}

/// Where a program is: in the path, in sbin, or where `.ci/setup` puts what has no package. Panics with the package that
/// has it.
pub fn installed(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
    // Servers are in sbin, which is not in everybody's path.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into(), tools]);
    let mut found = folders.map(|folder: PathBuf| folder.join(program)).filter(|path| Path::is_file(path));
    found.next().unwrap_or_else(|| panic!("{program} is missing: install {package}, or run .ci/setup test"))
}
