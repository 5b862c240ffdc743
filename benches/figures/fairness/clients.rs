//! Tenants that ask, and one that asks for too much.

use crate::Failure;
use crate::fleet::Dice;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, sleep_until, timeout};

/// For a page, before whoever asked gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before a client that was refused asks again.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Asks for a page once; whether it came.
pub(super) async fn page(front: SocketAddr, host: &str, target: &str) -> Result<bool, Failure> {
    let asked = async {
        let mut stream = TcpStream::connect(front).await?;
        stream.set_nodelay(true)?;
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.get(9..12) == Some(b"200"))
    };
    Ok(timeout(PATIENCE, asked).await.unwrap_or(Ok(false))?)
}

/// Work that goes on until it is dropped.
pub(super) struct Flood {
    tasks: Vec<JoinHandle<()>>,
    served: Rc<RefCell<u32>>,
}

impl Flood {
    /// So many clients of one host, each with one request after the other.
    pub(super) fn start(front: SocketAddr, host: &str, target: &str, clients: u32) -> Self {
        let served = Rc::new(RefCell::new(0_u32));
        let tasks = (0..clients).map(|_| {
            let (host, target, served) = (host.to_owned(), target.to_owned(), Rc::clone(&served));
            tokio::task::spawn_local(async move {
                loop {
                    match page(front, &host, &target).await {
                        Ok(true) => *served.borrow_mut() += 1,
                        Ok(false) | Err(_) => sleep(REFUSED_PAUSE).await,
                    }
                }
            })
        });
        Self { tasks: tasks.collect(), served }
    }

    /// Requests that were served so far.
    pub(super) fn served(&self) -> u32 {
        *self.served.borrow()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// How long the pages of many quiet tenants take: each asks about once a second, at moments and for work that are the
/// same in every run. A page that did not come took as long as anybody waits.
pub(super) async fn visit(
    front: SocketAddr,
    hosts: &[String],
    seconds: u32,
    series: u64,
) -> Result<Vec<Duration>, Failure> {
    let mut dice = Dice::new(series);
    let begun = tokio::time::Instant::now();
    let mut visits = JoinSet::new();
    for host in hosts {
        for second in 0..seconds {
            let at = begun + Duration::from_millis(u64::from(1_000 * second + dice.below(1_000)));
            // 120 ms in the mean, few of them much longer.
            let takes_ms = 60 + exponential(&mut dice, 60.0);
            let (host, target) = (host.clone(), format!("/stub/slow?ms={takes_ms}"));
            visits.spawn_local(async move {
                sleep_until(at).await;
                let asked = Instant::now();
                match page(front, &host, &target).await {
                    Ok(true) => asked.elapsed(),
                    Ok(false) | Err(_) => PATIENCE,
                }
            });
        }
    }
    Ok(visits.join_all().await)
}

/// Pages of one client, one after the other with pauses, for a while.
pub(super) async fn browse(
    front: SocketAddr,
    host: &str,
    target: &str,
    window: Duration,
) -> Result<Vec<Duration>, Failure> {
    let begun = Instant::now();
    let mut taken = Vec::new();
    while begun.elapsed() < window {
        let asked = Instant::now();
        let came = page(front, host, target).await?;
        taken.push(if came { asked.elapsed() } else { PATIENCE });
        sleep(Duration::from_millis(100)).await;
    }
    Ok(taken)
}

fn exponential(dice: &mut Dice, mean: f64) -> u32 {
    let uniform = (f64::from(dice.below(1_000_000)) + 1.0) / 1_000_001.0;
    let drawn = -uniform.ln() * mean;
    (0..2_000).find(|whole| f64::from(*whole) >= drawn).unwrap_or(2_000)
}
