//! A running gateway: the real binary, in a process of its own, with a config folder of its own.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use fleetgate_stub::StubOdoo;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::connection::Connection;
use crate::directory::ConfigDirectory;
use crate::lines::Lines;
use crate::program::program;
use crate::request::{Answer, Request};
use crate::wait::{DEADLINE, wait_for};

/// One backend of a pool, as YAML: both ports of a stand-in Odoo.
pub fn backend(stub: &StubOdoo) -> String {
    format!("{{ http: \"{}\", websocket: \"{}\" }}", stub.http_addr(), stub.gevent_addr())
}

/// A gateway that is not started yet.
#[derive(Clone, Debug)]
pub struct Builder {
    directory: ConfigDirectory,
    arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
    program: Option<PathBuf>,
}

impl Builder {
    /// Writes a file of tenants into `tenants.d`.
    pub fn tenants(self, file: &str, yaml: &str) -> Self {
        self.directory.write_tenants(file, yaml);
        self
    }

    /// Writes any other file into the config folder, such as a secret.
    pub fn file(self, name: &str, text: &str) -> Self {
        self.directory.write(name, text.as_bytes());
        self
    }

    /// Adds an argument after `run --config <file>`.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs a copy of the binary, which a test may replace.
    pub fn program(self, copy: impl Into<PathBuf>) -> Self {
        Self { program: Some(copy.into()), ..self }
    }

    /// The config folder.
    pub fn directory(&self) -> &ConfigDirectory {
        &self.directory
    }

    /// Starts the gateway and waits until it listens. Panics with its output if it does not.
    pub async fn start(self) -> Gateway {
        let mut gateway = self.spawn();
        gateway.wait_until_ready().await;
        gateway
    }

    /// Runs the gateway until it exits by itself, as it should with a broken config.
    pub async fn run_to_exit(&self) -> Output {
        let mut command = self.command(&["run".into(), "--config".into(), self.directory.config().into()]);
        command.args(&self.arguments);
        finished(command).await
    }

    /// Runs another command of the binary, such as `check`, in the config folder.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        finished(self.command(&arguments)).await
    }

    fn command(&self, arguments: &[OsString]) -> Command {
        let mut command = Command::new(self.program.clone().unwrap_or_else(program));
        command.args(arguments).current_dir(self.directory.folder());
        command.envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn spawn(self) -> Gateway {
        let mut command = self.command(&["run".into(), "--config".into(), self.directory.config().into()]);
        command.args(&self.arguments);
        // A group of its own: a successor that the gateway starts during an upgrade ends with the test too.
        command.process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start fleetgate: {error}"));
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            panic!("fleetgate was started without pipes");
        };
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { panic!("fleetgate ended before it was asked for its process id") };
        Gateway {
            access_log: Lines::follow(output),
            operational_log: Lines::follow(errors),
            builder: self,
            child,
            pid,
            listeners: Vec::new(),
        }
    }
}

async fn finished(mut command: Command) -> Output {
    match tokio::time::timeout(DEADLINE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => panic!("cannot run fleetgate: {error}"),
        Err(_) => panic!("fleetgate did not exit by itself within {DEADLINE:?}"),
    }
}

/// A running gateway. Dropping it kills the process and every process it started.
#[derive(Debug)]
pub struct Gateway {
    builder: Builder,
    child: Child,
    pid: Pid,
    access_log: Lines,
    operational_log: Lines,
    listeners: Vec<(String, String)>,
}

impl Gateway {
    /// A gateway with a config; what the config leaves out is added by [`ConfigDirectory::write_config`].
    pub fn builder(config_yaml: &str) -> Builder {
        let directory = ConfigDirectory::new();
        directory.write_config(config_yaml);
        Builder { directory, arguments: Vec::new(), variables: Vec::new(), program: None }
    }

    /// Starts a gateway with a config and waits until it listens.
    pub async fn start(config_yaml: &str) -> Self {
        Self::builder(config_yaml).start().await
    }

    /// The address of the first listener.
    pub fn address(&self) -> SocketAddr {
        match self.listeners.first() {
            Some((_, address)) => parsed(address),
            None => panic!("the gateway said that it has no listener"),
        }
    }

    /// The address of a listener by the name it has in the status.
    pub fn listener(&self, name: &str) -> SocketAddr {
        match self.listeners.iter().find(|(listener, _)| listener == name) {
            Some((_, address)) => parsed(address),
            None => panic!("no listener `{name}` in {:?}", self.listeners),
        }
    }

    /// The access log: one JSON object a request, from standard output.
    pub fn access_log(&self) -> &Lines {
        &self.access_log
    }

    /// The operational log: JSON objects from standard error.
    pub fn operational_log(&self) -> &Lines {
        &self.operational_log
    }

    /// The config folder, to change it under the running gateway.
    pub fn directory(&self) -> &ConfigDirectory {
        &self.builder.directory
    }

    /// Writes a file of tenants under the running gateway.
    pub fn write_tenants(&self, file: &str, yaml: &str) {
        self.directory().write_tenants(file, yaml);
    }

    /// GET of the admin API, which must answer 200 with JSON.
    pub async fn admin(&self, path: &str) -> Value {
        let answer = self.try_admin(&Request::get("admin", path)).await;
        let answer = answer.unwrap_or_else(|error| panic!("the admin API is away: {error}"));
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// Any request to the admin API, and what it answers.
    ///
    /// # Errors
    /// When the socket is away or breaks off.
    pub async fn try_admin(&self, request: &Request) -> io::Result<Answer> {
        let stream = UnixStream::connect(self.directory().admin_socket()).await?;
        Connection::over(stream).await?.ask(request).await
    }

    /// Runs another command of the binary in the config folder of this gateway.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        self.builder.cli(arguments).await
    }

    /// The process that was started, whether or not it still runs.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The process that answers on the admin socket: another one after an upgrade.
    pub async fn serving_pid(&self) -> u64 {
        let pid = self.admin("/v1/status").await.get("pid").and_then(Value::as_u64);
        pid.unwrap_or_else(|| panic!("the status has no process id"))
    }

    /// Has the process that serves replace itself; the one that serves then.
    pub async fn replace(&self, deadline: Duration) -> u64 {
        let old = self.serving_pid().await;
        let process = i32::try_from(old).ok().and_then(Pid::from_raw);
        if process.is_none_or(|process| kill_process(process, Signal::QUIT).is_err()) {
            panic!("cannot tell process {old} to replace itself");
        }
        wait_for("another process serves", deadline, async || self.serving_pid().await != old).await;
        self.serving_pid().await
    }

    /// Resident memory of the process that was started, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.unwrap_or_else(|error| panic!("fleetgate does not run: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        line.and_then(|kib| kib.parse().ok()).unwrap_or_else(|| panic!("no VmRSS in {status}"))
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process(self.pid, signal) {
            panic!("cannot send {signal:?} to fleetgate: {error}");
        }
    }

    /// Waits until the process exits by itself; panics with its log if it does not.
    pub async fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        match tokio::time::timeout(deadline, self.child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => panic!("cannot wait for fleetgate: {error}"),
            Err(_) => panic!("fleetgate still runs after {deadline:?}\n{}", self.operational_log.text()),
        }
    }

    /// Waits until the admin API says where the gateway listens, and remembers it. Needed after a restart or an
    /// upgrade; a gateway just started has done it.
    pub async fn wait_until_ready(&mut self) {
        let mut listeners = Vec::new();
        let status = Request::get("admin", "/v1/status");
        wait_for("fleetgate listens or exits", DEADLINE, async || {
            listeners = match self.try_admin(&status).await {
                Ok(answer) if answer.status == 200 => listening(&answer.json()),
                Ok(_) | Err(_) => Vec::new(),
            };
            // After an upgrade the process that was started may be gone, and another one answers.
            if let (true, Ok(Some(exit))) = (listeners.is_empty(), self.child.try_wait()) {
                let log = self.operational_log.text();
                panic!("fleetgate ended before it was ready ({exit}):\n{log}\n{}", self.access_log.text());
            }
            !listeners.is_empty()
        })
        .await;
        self.listeners = listeners;
    }
}

fn parsed(address: &str) -> SocketAddr {
    address.parse().unwrap_or_else(|_| panic!("`{address}` is no address and port"))
}

/// `listeners: [{name, address}]` of the status.
fn listening(status: &Value) -> Vec<(String, String)> {
    let listeners = status.get("listeners").and_then(Value::as_array);
    let listener = |listener: &Value| {
        let text = |key: &str| Some(listener.get(key)?.as_str()?.to_owned());
        Some((text("name")?, text("address")?))
    };
    listeners.into_iter().flatten().filter_map(listener).collect()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The group outlives its first process after an upgrade; it is gone when there was none.
        if let Err(error) = kill_process_group(self.pid, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            eprintln!("cannot end fleetgate {:?}: {error}", self.pid);
        }
    }
}
