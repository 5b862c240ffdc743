//! One Odoo server with two workers, as a process group of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fleetgate_tests::{Postgres, Request, free_address, wait_for};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// For Odoo to start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// A running Odoo. Killed with its workers when dropped.
pub(crate) struct Odoo {
    child: Child,
    group: Pid,
    log: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) gevent: SocketAddr,
}

impl Odoo {
    /// Starts it on a database server, with a data folder that servers of one region share.
    pub(crate) async fn start(lab: &Path, data: &Path, database: &Postgres) -> Self {
        Self::start_at(lab, data, database, free_address(), free_address()).await
    }

    /// The same, as another role of PostgreSQL.
    pub(crate) async fn start_as(role: &str, lab: &Path, data: &Path, database: &Postgres) -> Self {
        Self::start_with(role, lab, data, database, (free_address(), free_address())).await
    }

    /// The same, where another one was.
    pub(crate) async fn start_at(
        lab: &Path,
        data: &Path,
        database: &Postgres,
        http: SocketAddr,
        gevent: SocketAddr,
    ) -> Self {
        Self::start_with("odoo", lab, data, database, (http, gevent)).await
    }

    async fn start_with(
        role: &str,
        lab: &Path,
        data: &Path,
        database: &Postgres,
        (http, gevent): (SocketAddr, SocketAddr),
    ) -> Self {
        let library = lab.join("odoo/usr/lib/python3/dist-packages");
        let log = data.join(format!("odoo-{}.log", http.port()));
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let addons =
            format!("{},{}", library.join("odoo/addons").display(), lab.join("addons/odoo/addons").display());
        let mut command = Command::new(lab.join("venv/bin/python"));
        command.arg(lab.join("odoo/usr/bin/odoo")).arg("server");
        command.args([
            "--db_host",
            "127.0.0.1",
            "--db_port",
            &database.port().to_string(),
            "--db_user",
            role,
        ]);
        command.arg("--data-dir").arg(data).args(["--addons-path", &addons, "--http-interface", "127.0.0.1"]);
        command.args(["--http-port", &http.port().to_string(), "--gevent-port", &gevent.port().to_string()]);
        command.args(["--workers", "2", "--max-cron-threads", "0", "--proxy-mode"]);
        command.args(["--load", "base,web,bus,rpc,dbfilter_from_header"]);
        // A settings file of its own: Odoo reads and writes ~/.odoorc otherwise.
        command.env("ODOO_RC", data.join("odoorc")).env("PYTHONPATH", &library).process_group(0);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().expect("the lab has Odoo");
        let group = Pid::from_child(&child);
        let odoo = Self { child, group, log, http, gevent };
        wait_for("Odoo serves", START, async || {
            for (address, path) in [(http, "/web/health"), (gevent, "/websocket/health")] {
                let request = Request::get("localhost", path);
                if !request.try_send(address).await.is_ok_and(|answer| answer.status == 200) {
                    return false;
                }
            }
            true
        })
        .await;
        odoo
    }

    /// One backend of a pool.
    pub(crate) fn backend(&self) -> String {
        format!("{{ http: \"{}\", websocket: \"{}\" }}", self.http, self.gevent)
    }

    /// Sends a signal to the server and its workers.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process_group(self.group, signal).expect("Odoo runs");
    }

    /// Sends a signal to the process of its gevent port alone.
    pub(crate) fn signal_gevent(&self, signal: Signal) {
        let port = self.gevent.port().to_string();
        let is_it = |words: &[u8]| {
            let has = |wanted: &str| words.split(|&byte| byte == 0).any(|word| word == wanted.as_bytes());
            has("gevent") && has(&port)
        };
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let found = processes
            .filter(|process| fs::read(process.path().join("cmdline")).is_ok_and(|words| is_it(&words)))
            .find_map(|process| process.file_name().to_str()?.parse().ok());
        let pid = found.and_then(Pid::from_raw).expect("Odoo has a process for its gevent port");
        kill_process(pid, signal).expect("it runs");
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Requests that it has answered, but for probes.
    pub(crate) fn requests(&self) -> Vec<String> {
        let asked = |line: &&str| line.contains(" HTTP/1.") && !line.contains("/health");
        self.log().lines().filter(asked).map(str::to_owned).collect()
    }

    /// Waits until a tenant's registry is loaded.
    pub(crate) async fn until_warm(&self, database: &str) {
        let host = format!("{database}.example.com");
        wait_for("the login form is served", START, async || {
            let request = Request::get(&host, "/web/login");
            let request = request.header("X-Odoo-dbfilter", &format!("^{database}$"));
            request.try_send(self.http).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }
}

impl Drop for Odoo {
    fn drop(&mut self) {
        // A test may have killed it.
        let _gone = kill_process_group(self.group, Signal::KILL);
        let _waited = self.child.wait();
    }
}
