//! Asking an agent about a backend or a region: a port, a URL, or a command here.

use super::http::{NoAnswer, get, get_target};
use super::odoo::Seen;
use crate::snapshot::BackendState;
use fleetgate_core::health::Reading;
use fleetgate_core::pool::{Agent, AgentQuestion, CheckQuestion, RegionCheck};
use hyper::body::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, copy, sink};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Of what an agent says, as much is shown.
const SAID_BYTES_MAX: usize = 200;
/// Where a command finds other programs: nothing of this process's environment is its own.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an agent said: whether all is well, how it said so, and its words.
type Said = (bool, String, Vec<u8>);

/// Asks about a backend once.
pub(super) async fn ask(agent: &Agent, pool: &str, region: &str, backend: &BackendState) -> Seen {
    let asked = async {
        match &agent.question {
            AgentQuestion::Http { port, path } => {
                let address = SocketAddr::new(backend.http.address.ip(), *port);
                Ok(answered("the agent", get(address, path, None).await?))
            }
            AgentQuestion::Command(words) => {
                let environment = [
                    ("FLEETGATE_POOL", pool.to_owned()),
                    ("FLEETGATE_REGION", region.to_owned()),
                    ("FLEETGATE_BACKEND", backend.http.address.to_string()),
                    ("FLEETGATE_WEBSOCKET", backend.gevent.address.to_string()),
                ];
                run(words, &environment).await.map_err(|error| format!("the command cannot be run: {error}"))
            }
        }
    };
    in_time("the agent", agent.cadence.timeout, asked).await
}

/// Checks a region once; `serving` is the one that serves.
pub(super) async fn check(check: &RegionCheck, pool: &str, region: &str, serving: &str) -> Seen {
    let asked = async {
        match &check.question {
            CheckQuestion::Http(target) => {
                let answer = get_target(target, &target.path, None).await;
                Ok(answered("the check", answer.map_err(NoAnswer::into_words)?))
            }
            CheckQuestion::Command(words) => {
                let environment = [
                    ("FLEETGATE_POOL", pool.to_owned()),
                    ("FLEETGATE_REGION", region.to_owned()),
                    ("FLEETGATE_SERVING", serving.to_owned()),
                ];
                let ended = run(words, &environment).await;
                let (well, answer, said) =
                    ended.map_err(|error| format!("the command cannot be run: {error}"))?;
                // Its words are for people, and say more than how it ended.
                let answer = if first_line(&said).is_empty() { answer } else { String::new() };
                Ok((well, answer, said))
            }
        }
    };
    in_time("the check", check.cadence.timeout, asked).await
}

fn answered(who: &str, (status, body): (u16, Bytes)) -> Said {
    ((200..300).contains(&status), format!("{who} answers {status}"), body.to_vec())
}

async fn in_time(who: &str, patience: Duration, asked: impl Future<Output = Result<Said, String>>) -> Seen {
    match timeout(patience, asked).await {
        Ok(Ok((well, answer, said))) => {
            let reading = if well { Reading::Pass } else { Reading::Fail };
            let said = first_line(&said);
            let words = match (answer.is_empty(), said.is_empty()) {
                (true, _) => said,
                (false, true) => answer,
                (false, false) => format!("{answer}: {said}"),
            };
            (reading, words)
        }
        Ok(Err(words)) => (Reading::Fail, words),
        Err(_) => (Reading::Fail, format!("{who} says nothing within {patience:?}")),
    }
}

/// A command with all that it has started. Ended with them when dropped before it ended by itself.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Its process id is its own for as long as nobody has waited for it.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn run(words: &[Box<str>], environment: &[(&str, String)]) -> io::Result<Said> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(OsStr::new(&**program));
    command.args(arguments.iter().map(|argument| OsStr::new(&**argument)));
    command.env_clear().env("PATH", PATH).envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.process_group(0).kill_on_drop(true);
    let child = command.spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut running = Running { child, group };
    let mut said = Vec::new();
    if let Some(mut output) = running.child.stdout.take() {
        let max = u64::try_from(SAID_BYTES_MAX).unwrap_or(u64::MAX);
        (&mut output).take(max).read_to_end(&mut said).await?;
        // Whoever says more is listened to, and not remembered.
        copy(&mut output, &mut sink()).await?;
    }
    let status = running.child.wait().await?;
    running.group = None;
    Ok((status.success(), format!("the command ends with {status}"), said))
}

/// The first line of what was said that holds words, as much of it as fits and without what would change a terminal: ssh draws
/// a line before it says that it does not believe a host.
fn first_line(said: &[u8]) -> String {
    let mut lines = said.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.iter().any(u8::is_ascii_alphanumeric)).unwrap_or_default();
    let line = line.get(..SAID_BYTES_MAX.min(line.len())).unwrap_or_default();
    String::from_utf8_lossy(line).chars().filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn the_first_line_with_words_is_shown() {
        assert_eq!(first_line(b"disk is full\nand more"), "disk is full");
        assert_eq!(first_line(b"\n@@@@\n@ WARNING! @\x1b[31m\n@@@@\n"), "@ WARNING! @[31m");
        assert_eq!(first_line(b"\n---\n"), "");
        assert_eq!(first_line(&[b'x'; 900]).len(), 200);
    }
}
