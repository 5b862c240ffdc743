//! Clients that ask one thing after the other over kept connections, and remember what became of it.

use crate::answer::Incoming;
use crate::fleet::host;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before a client that was refused asks again.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// One client.
pub(super) struct Client {
    server: SocketAddr,
    tenant: u32,
    kept: Option<(TcpStream, Incoming)>,
}

impl Client {
    pub(super) const fn new(server: SocketAddr, tenant: u32) -> Self {
        Self { server, tenant, kept: None }
    }

    /// Asks once; the status of a whole answer, or why there is none.
    pub(super) async fn ask(&mut self, method: &str, target: &str) -> io::Result<u16> {
        timeout(PATIENCE, self.exchange(method, target)).await?
    }

    async fn exchange(&mut self, method: &str, target: &str) -> io::Result<u16> {
        // A connection that was closed between two requests is none of the request's troubles.
        let kept = self.kept.take().filter(|(stream, _)| is_open(stream));
        let (mut stream, mut incoming) = match kept {
            Some(kept) => kept,
            None => (TcpStream::connect(self.server).await?, Incoming::new()),
        };
        stream.set_nodelay(true)?;
        let body = if method == "POST" { "Content-Length: 2\r\n\r\nhi" } else { "\r\n" };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{body}", host(self.tenant));
        stream.write_all(head.as_bytes()).await?;
        let answer = incoming.answer(&mut stream).await?;
        incoming.forget(&answer);
        self.kept = answer.keep.then_some((stream, incoming));
        Ok(answer.status)
    }
}

fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Clients that read and clients that write, until told to stop.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    clients: JoinSet<Tally>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) reads: u64,
    pub(super) failed_reads: u64,
    pub(super) writes: u64,
    pub(super) refused_writes: u64,
}

impl Traffic {
    pub(super) fn start(server: SocketAddr, readers: u32, writers: u32, tenants: u32) -> Self {
        let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for number in 0..readers {
            let client = Client::new(server, number % tenants);
            clients.spawn(read(client, Arc::clone(&stop), Arc::clone(&reads)));
        }
        for number in 0..writers {
            clients.spawn(write(Client::new(server, number % tenants), number, Arc::clone(&stop)));
        }
        Self { stop, reads, clients }
    }

    /// Reads so far.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) async fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await.into_iter().fold(Tally::default(), |all, one| Tally {
            reads: all.reads + one.reads,
            failed_reads: all.failed_reads + one.failed_reads,
            writes: all.writes + one.writes,
            refused_writes: all.refused_writes + one.refused_writes,
        })
    }
}

async fn read(mut client: Client, stop: Arc<AtomicBool>, reads: Arc<AtomicU64>) -> Tally {
    let mut tally = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        let answer = client.ask("GET", "/stub/slow?ms=5").await;
        tally.reads += 1;
        reads.fetch_add(1, Ordering::Relaxed);
        if !matches!(answer, Ok(200)) {
            tally.failed_reads += 1;
            sleep(REFUSED_PAUSE).await;
        }
    }
    tally
}

/// Each write has a number of its own, and is not made again.
async fn write(mut client: Client, number: u32, stop: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        let target = format!("/stub/slow?ms=5&write={number}-{}", tally.writes);
        let answer = client.ask("POST", &target).await;
        tally.writes += 1;
        if !matches!(answer, Ok(200)) {
            tally.refused_writes += 1;
            sleep(REFUSED_PAUSE).await;
        }
    }
    tally
}
