//! Visitors who keep asking while a test changes things, and who notice every failure.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fleetgate_tests::{Connection, DEADLINE, Request, wait_for};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// Visitors of several hosts. Half of them keep their connection for as long as the gateway lets them, the others
/// make one a request; every third request is a POST.
#[derive(Debug)]
pub(crate) struct Visitors {
    leaving: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

impl Visitors {
    /// Sends four visitors to each `(host, database)`.
    pub(crate) fn come(way: impl Into<Way>, hosts: &[(&'static str, &'static str)]) -> Self {
        let way = way.into();
        let (leaving, answered) = (Arc::new(AtomicBool::default()), Arc::new(AtomicU64::default()));
        let visit = |number: usize| {
            let (host, database) = hosts[number % hosts.len()];
            let visitor =
                Visitor { way: way.clone(), host, database, keeps: (number / hosts.len()).is_multiple_of(2) };
            tokio::spawn(visitor.visit(Arc::clone(&leaving), Arc::clone(&answered)))
        };
        let tasks = (0..4 * hosts.len()).map(visit).collect();
        Self { leaving, answered, tasks }
    }

    /// Waits until so many more requests were answered.
    pub(crate) async fn served(&self, more: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + more;
        let what = format!("{more} more visitors are served");
        wait_for(&what, DEADLINE, async || {
            self.answered.load(Ordering::Relaxed) >= goal || self.tasks.iter().any(JoinHandle::is_finished)
        })
        .await;
    }

    /// Ends the visits after the requests in flight: how many were answered, and what failed.
    pub(crate) async fn leave(self) -> (u64, Vec<String>) {
        self.leaving.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for task in self.tasks {
            failures.extend(task.await.unwrap());
        }
        (self.answered.load(Ordering::Relaxed), failures)
    }
}

/// How visitors reach a gateway.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl From<SocketAddr> for Way {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<PathBuf> for Way {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

impl Way {
    async fn connect(&self) -> io::Result<Connection> {
        match self {
            Self::Tcp(address) => Connection::http1(*address).await,
            Self::Unix(path) => Connection::over(UnixStream::connect(path).await?).await,
        }
    }
}

struct Visitor {
    way: Way,
    host: &'static str,
    database: &'static str,
    keeps: bool,
}

impl Visitor {
    /// Visits until told to leave, or until ten requests failed.
    async fn visit(self, leaving: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Vec<String> {
        let mut failures = Vec::new();
        let mut kept = None;
        for number in 0_u64.. {
            if leaving.load(Ordering::Relaxed) || failures.len() >= 10 {
                break;
            }
            match self.ask(number, &mut kept).await {
                Ok(()) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(failure) => {
                    kept = None;
                    failures.push(format!("request {number} of {}: {failure}", self.host));
                }
            }
        }
        failures
    }

    async fn ask(&self, number: u64, kept: &mut Option<Connection>) -> Result<(), String> {
        let mut connection = match kept.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.way.connect().await.map_err(|error| format!("connecting: {error}"))?,
        };
        let request = match number % 3 {
            0 => Request::post(self.host, "/stub/upload", vec![b'x'; 10_000]),
            1 => Request::get(self.host, "/web/login"),
            _ => Request::get(self.host, "/stub/bytes?n=20000"),
        };
        let answer =
            connection.ask(&request).await.map_err(|error| format!("{error}: {:?}", error.kind()))?;
        if (answer.status, answer.database()) != (200, Some(self.database)) {
            return Err(format!("{} from {:?}: {}", answer.status, answer.database(), answer.text()));
        }
        let closing = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        *kept = (self.keeps && !closing).then_some(connection);
        Ok(())
    }
}
