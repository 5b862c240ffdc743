//! Real Redis servers, and a Sentinel that watches them.

use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::peer::installed;
use crate::ports::free_port;
use crate::wait::{DEADLINE, wait_for};

/// A Redis that keeps nothing on disk: whoever starts again is empty. Ended when dropped.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    arguments: Vec<String>,
    server: Option<Child>,
    folder: TempDir,
}

impl Redis {
    /// Starts a server. `arguments` are options such as `--requirepass x`.
    pub async fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("fleetgate-redis-").tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("cannot make a temporary folder: {error}"));
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut redis = Self { port: free_port(), arguments, server: None, folder };
        redis.start_again().await;
        redis
    }

    /// Starts a Sentinel that knows a server as `fleet`, and takes it for dead after half a second.
    pub async fn sentinel(primary: &Self) -> Self {
        let folder = tempfile::Builder::new().prefix("fleetgate-sentinel-").tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("cannot make a temporary folder: {error}"));
        let config = folder.path().join("sentinel.conf");
        let text = format!(
            "sentinel monitor fleet 127.0.0.1 {} 1\nsentinel down-after-milliseconds fleet 500\n\
             sentinel failover-timeout fleet 5000\n",
            primary.port
        );
        std::fs::write(&config, text)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", config.display()));
        let arguments = vec![config.display().to_string(), "--sentinel".to_owned()];
        let mut sentinel = Self { port: free_port(), arguments, server: None, folder };
        sentinel.start_again().await;
        sentinel
    }

    /// Starts the server again, empty, after it was killed.
    pub async fn start_again(&mut self) {
        let mut command = Command::new(installed("redis-server", "redis-server"));
        let (config, options): (Vec<_>, Vec<_>) =
            self.arguments.iter().partition(|argument| argument.ends_with(".conf"));
        command.args(config).args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]).args(options);
        if !self.arguments.iter().any(|argument| argument == "--sentinel") {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = command.spawn().unwrap_or_else(|error| panic!("cannot start redis-server: {error}"));
        self.server = Some(server);
        wait_for("Redis answers", DEADLINE, async || {
            self.try_ask(&["PING"]).is_some_and(|said| !said.is_empty())
        })
        .await;
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a command, and returns what it prints. Panics when the server is away.
    pub fn ask(&self, command: &[&str]) -> String {
        self.try_ask(command).unwrap_or_else(|| panic!("Redis does not answer {command:?}"))
    }

    fn try_ask(&self, command: &[&str]) -> Option<String> {
        let mut cli = Command::new(installed("redis-cli", "redis-tools"));
        let output = cli.args(["-p", &self.port.to_string()]).args(command).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ended = server.kill();
            let _reaped = server.wait();
        }
    }

    /// Stops it in the middle of whatever it does; connections stay open, and nobody is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Goes on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id =
            self.server.as_ref().and_then(|server| i32::try_from(server.id()).ok()).and_then(Pid::from_raw);
        let sent = id.map(|id| kill_process(id, signal));
        assert!(matches!(sent, Some(Ok(()))), "cannot send {signal:?} to Redis: {sent:?}");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
