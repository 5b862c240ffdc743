//! A TCP proxy between two parts that does to their connections what a test says.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// Largest piece that is passed at once.
const PIECE_BYTES: usize = 16 * 1024;

/// What becomes of connections, those that are open included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    /// They are passed on.
    Clear,
    /// Each piece waits for so long, and for up to `spread` more.
    Delayed {
        /// At least.
        least: Duration,
        /// At most so much more.
        spread: Duration,
    },
    /// So many bytes a second, either way.
    Slow {
        /// More than none.
        bytes_per_second: u32,
    },
    /// Of a hundred new connections, so many are reset, and so are those that are open.
    Lossy {
        /// Of a hundred.
        percent: u8,
    },
    /// Each connection is reset after so many bytes of the server's.
    CutAfter {
        /// Bytes.
        bytes: u64,
    },
    /// Connections are taken, and nothing is passed either way.
    BlackHole,
    /// What the server sends never arrives, the end of its connections neither: to clients they stay open.
    HalfOpen,
}

/// A proxy in front of one address. Dropping it cuts every connection.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    link: watch::Sender<Link>,
    accepted: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy that passes everything. What it leaves to chance is decided by the seed.
    pub async fn start(server: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("no free port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let (link, seen) = watch::channel(Link::Clear);
        let accepted = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, server, seen, Arc::clone(&accepted), Dice(seed)));
        Self { address, link, accepted, task }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Changes what becomes of connections, from now on.
    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Choices that look random and follow from a seed: SplitMix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The series of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`; 0 when there is none.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    link: watch::Receiver<Link>,
    accepted: Arc<AtomicU64>,
    mut dice: Dice,
) {
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            client = listener.accept() => client,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((client, _)) = client else { continue };
        accepted.fetch_add(1, Ordering::Relaxed);
        let lost = matches!(*link.borrow(), Link::Lossy { percent } if dice.roll(100) < u64::from(percent));
        let seed = dice.roll(u64::MAX);
        if lost {
            reset(&client);
        } else {
            connections.spawn(pass(client, server, link.clone(), Dice(seed)));
        }
    }
}

/// Sends a reset instead of an end when the connection is dropped.
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        eprintln!("a connection was gone before it was reset: {error}");
    }
}

async fn pass(client: TcpStream, server: SocketAddr, mut link: watch::Receiver<Link>, dice: Dice) {
    // Nothing is asked of the server while nothing is passed.
    if link.wait_for(|link| *link != Link::BlackHole).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return reset(&client) };
    for stream in [&client, &server] {
        if stream.set_nodelay(true).is_err() {
            return;
        }
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = Pump { from: from_client, to: to_server, link: link.clone(), dice: dice.clone(), down: false };
    let down = Pump { from: from_server, to: to_client, link: link.clone(), dice, down: true };
    // A change to a link that loses connections resets those that are open.
    let changed = async {
        link.mark_unchanged();
        loop {
            if link.changed().await.is_err() || matches!(*link.borrow(), Link::Lossy { .. }) {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = changed => {}
        // Each way ends for itself, and one that breaks ends both.
        _ = async { tokio::try_join!(up.run(), down.run()) } => {}
    }
}

/// One direction of a connection.
struct Pump {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    link: watch::Receiver<Link>,
    dice: Dice,
    /// From the server to the client.
    down: bool,
}

impl Pump {
    async fn run(mut self) -> io::Result<()> {
        let (mut piece, mut passed) = (vec![0; PIECE_BYTES], 0_u64);
        loop {
            let bytes = self.from.read(&mut piece).await.unwrap_or(0);
            let link = self.until_open().await?;
            match link {
                Link::Delayed { least, spread } => {
                    let spread = u64::try_from(spread.as_micros()).unwrap_or(u64::MAX);
                    sleep(least + Duration::from_micros(self.dice.roll(spread))).await;
                }
                Link::Slow { bytes_per_second } => {
                    let parts = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
                    sleep(Duration::from_secs_f64(parts / f64::from(bytes_per_second.max(1)))).await;
                }
                Link::CutAfter { bytes: whole } if self.down => {
                    let left = usize::try_from(whole.saturating_sub(passed)).unwrap_or(usize::MAX);
                    if bytes >= left {
                        self.to.write_all(piece.get(..left).unwrap_or_default()).await?;
                        reset(self.to.as_ref());
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                }
                Link::Clear
                | Link::Lossy { .. }
                | Link::CutAfter { .. }
                | Link::BlackHole
                | Link::HalfOpen => {}
            }
            if bytes == 0 {
                return self.to.shutdown().await;
            }
            self.to.write_all(piece.get(..bytes).unwrap_or_default()).await?;
            passed += u64::try_from(bytes).unwrap_or(u64::MAX);
        }
    }

    /// Waits until something may be passed in this direction.
    async fn until_open(&mut self) -> io::Result<Link> {
        let down = self.down;
        let open = |link: &Link| match link {
            Link::BlackHole => false,
            Link::HalfOpen => !down,
            Link::Clear
            | Link::Delayed { .. }
            | Link::Slow { .. }
            | Link::Lossy { .. }
            | Link::CutAfter { .. } => true,
        };
        let link = self.link.wait_for(open).await;
        link.map(|link| *link).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
