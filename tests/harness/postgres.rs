//! Real PostgreSQL servers: a primary, and standbys that stream from it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::ports::free_port;

/// Where Debian's package `postgresql-15` has its programs.
pub(crate) const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// Who may connect when probes have to speak TLS.
const SECURED: &str = "hostssl all probe 127.0.0.1/32 trust\nhost all postgres 127.0.0.1/32 trust\n\
    host replication postgres 127.0.0.1/32 trust\n";
/// The user that probes connect as.
const PROBE: &str = "probe";

/// A PostgreSQL server with a data folder of its own. Ended when dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: Arc<TempDir>,
    name: &'static str,
    port: u16,
}

impl Postgres {
    /// Starts a primary that takes writes.
    pub fn primary() -> Self {
        let server = Self::empty();
        server.program("initdb", &["-A", "trust", "-U", "postgres", "-N", "-D", &server.data()]);
        server.start();
        server.sql(&format!("CREATE ROLE {PROBE} LOGIN"));
        server
    }

    /// Starts a primary with everything that a running server has on a loopback port, whose user `postgres` may copy it.
    pub fn copy_of(port: u16) -> Self {
        let server = Self::empty();
        let (port, data) = (port.to_string(), server.data());
        let arguments = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-c", "fast", "-D", &data];
        server.program("pg_basebackup", &arguments);
        server.start();
        server.sql(&format!("CREATE ROLE {PROBE} LOGIN"));
        server
    }

    /// Starts a standby that follows this server.
    pub fn standby(&self) -> Self {
        self.standby_with(&[])
    }

    /// Starts a standby that follows this server by a slot.
    pub fn standby_by(&self, slot: &str) -> Self {
        self.standby_with(&["-C", "-S", slot])
    }

    fn standby_with(&self, more: &[&str]) -> Self {
        let standby = Self { folder: Arc::clone(&self.folder), name: "standby", port: free_port() };
        let port = self.port.to_string();
        let arguments = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-c", "fast", "-R", "-D"];
        let data = standby.data();
        standby.program("pg_basebackup", &[&arguments[..], &[&data], more].concat());
        standby.start();
        standby
    }

    /// Lets probes in through TLS alone, with a certificate and key in PEM. Standbys that are made later do so, too.
    pub fn secure(&self, chain: &str, key: &str) {
        let data = PathBuf::from(self.data());
        for (name, text) in [("server.crt", chain), ("server.key", key), ("pg_hba.conf", SECURED)] {
            let path = data.join(name);
            let written = fs::write(&path, text)
                .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o600)));
            written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
            if is_root() {
                run(Command::new("chown").arg("postgres").arg(&path));
            }
        }
        self.sql("ALTER SYSTEM SET ssl = on");
        self.sql("SELECT pg_reload_conf()");
    }

    /// Where a probe asks it.
    pub fn url(&self) -> String {
        format!("postgres://{PROBE}@127.0.0.1:{}/postgres", self.port)
    }

    fn empty() -> Self {
        let folder = tempfile::Builder::new().prefix("fleetgate-pg-").tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("cannot make a temporary folder: {error}"));
        // PostgreSQL does not run as root.
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        Self { folder: Arc::new(folder), name: "primary", port: free_port() }
    }

    /// Its loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again as it was.
    pub fn start(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c wal_level=replica \
             -c shared_buffers=16MB",
            self.port
        );
        let log = self.folder.path().join(format!("{}.log", self.name)).display().to_string();
        self.program("pg_ctl", &["-w", "-D", &self.data(), "-l", &log, "-o", &options, "start"]);
    }

    /// Ends it in order: sessions are cut, and standbys have got everything.
    pub fn stop(&self) {
        self.program("pg_ctl", &["-w", "-D", &self.data(), "-m", "fast", "stop"]);
    }

    /// Ends it at once, as a power cut does.
    pub fn kill(&self) {
        self.program("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
    }

    /// Stops all its processes where they are: its kernel goes on taking connections.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let first = fs::read_to_string(Path::new(&self.data()).join("postmaster.pid")).unwrap_or_default();
        let first = first.lines().next().and_then(|line| line.parse::<i32>().ok());
        // The first one begins all others: once it has stopped, these are all of them.
        let mut signalled = first.into_iter().collect::<Vec<_>>();
        let mut next = 0;
        while let Some(id) = signalled.get(next).copied() {
            if let Some(pid) = Pid::from_raw(id) {
                // One that just ended needs no signal.
                let _gone = kill_process(pid, signal);
            }
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            signalled.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
            next += 1;
        }
    }

    /// Makes a standby take writes.
    pub fn promote(&self) {
        self.program("pg_ctl", &["-w", "-D", &self.data(), "promote"]);
    }

    /// Runs a statement as the superuser, and returns what it prints.
    pub fn sql(&self, statement: &str) -> String {
        self.sql_in("postgres", statement)
    }

    /// Runs a statement in a database as the superuser, and returns what it prints.
    pub fn sql_in(&self, database: &str, statement: &str) -> String {
        let output = run(&mut psql(self.port, "postgres", database, statement));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn data(&self) -> String {
        self.folder.path().join(self.name).display().to_string()
    }

    fn program(&self, name: &str, arguments: &[&str]) -> Output {
        let path = Path::new(PROGRAMS).join(name);
        assert!(path.is_file(), "no {}: install the Debian package postgresql-15", path.display());
        let mut command = as_postgres(&path);
        run(command.args(arguments).current_dir(self.folder.path()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // One that is frozen does not end.
        self.thaw();
        let stop = ["-D", &self.data(), "-m", "immediate", "stop"];
        // A test may have ended it.
        let _ended = as_postgres(&Path::new(PROGRAMS).join("pg_ctl")).args(stop).output();
    }
}

/// A program that runs as the user postgres: the server does not run as root.
pub(crate) fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

/// Runs a statement in a database of the server at a port of this machine, and prints what it returns without any frame.
pub fn psql(port: u16, user: &str, database: &str, statement: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &port.to_string()]);
    command.args(["-U", user, "-d", database, "-c", statement]);
    command
}

pub(crate) fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {errors}");
    output
}
