//! A measured process: its log, its CPU time, its memory, its end.

use crate::Failure;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// For a process to listen.
const LISTENING_TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// Lines of a log that are shown when its process failed.
const SHOWN_LINES: usize = 20;

/// A running process with a process group of its own. Dropping it kills the whole group.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts a command. Standard output is thrown away, standard error goes to `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self, Failure> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?).process_group(0);
        let child =
            command.spawn().map_err(|error| format!("cannot start {:?}: {error}", command.get_program()))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("a process without an id")?;
        Ok(Self { child, pid, log: log.to_owned() })
    }

    /// Waits until an address accepts connections.
    pub(crate) async fn until_listening(&mut self, address: SocketAddr) -> Result<(), Failure> {
        let deadline = Instant::now() + LISTENING_TIMEOUT;
        while TcpStream::connect(address).await.is_err() {
            self.check()?;
            if Instant::now() > deadline {
                return Err(format!("nobody listens on {address}:\n{}", self.log_end()).into());
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// An error with the log when the process has ended.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the process ended with {status}:\n{}", self.log_end()).into()),
        }
    }

    /// Whether the process that was started still runs.
    pub(crate) fn runs(&mut self) -> Result<bool, Failure> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// The last lines of standard error.
    pub(crate) fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default().join("\n")
    }

    /// Everything that it wrote to standard error.
    pub(crate) fn log(&self) -> Result<String, Failure> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// CPU time of the process and all it started, since their start.
    pub(crate) fn cpu_time(&self) -> Result<Duration, Failure> {
        cpu_time(self.pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = kill_process_group(self.pid, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            eprintln!("cannot end process group {:?}: {error}", self.pid);
        }
        if let Err(error) = self.child.wait() {
            eprintln!("cannot wait for process {:?}: {error}", self.pid);
        }
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(id: u32, signal: Signal) -> Result<(), Failure> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or("not a process id")?;
    Ok(kill_process(pid, signal)?)
}

/// User and system time of a process tree, from `/proc/PID/stat` (proc_pid_stat(5), fields 14 and 15).
fn cpu_time(id: u32) -> Result<Duration, Failure> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The second field is the program's name in parentheses and may hold anything.
    let fields = stat.rsplit_once(") ").ok_or("/proc/PID/stat has another form than expected")?.1;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
    let own = Duration::from_secs(1) * ticks / per_second;
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    let children = children.split_whitespace().map(|child| cpu_time(child.parse()?));
    children.sum::<Result<Duration, Failure>>().map(|children| own + children)
}

/// Memory of a process that is in RAM, in KiB.
pub(crate) fn resident_kib(id: u32) -> Result<f64, Failure> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmRSS of the process")?;
    Ok(kib.trim().parse()?)
}

/// A loopback address that nobody uses at this moment.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
