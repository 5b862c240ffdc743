//! Honest load beside five thousand clients of many addresses that send a byte of a head a second, at default limits.
//!
//! Whoever is cut comes back at once, so the five thousand stay five thousand while honest requests are timed.

use crate::Failure;
use crate::answer::Incoming;
use crate::fleet::{Workers, backend, host};
use crate::gateway::Gateway;
use crate::report::{Figure, Unit, median, p99};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

const TENANTS: u32 = 100;
/// Slow connections at once.
const SLOW: u32 = 5_000;
/// Addresses that they come from.
const SOURCES: u32 = 50;
/// Over which the first of them come.
const RAMP: Duration = Duration::from_secs(5);
/// Between two bytes of one.
const BYTE_PAUSE: Duration = Duration::from_secs(1);
/// The gateway's default for a head from its first byte.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How much later a connection may be cut, on a busy machine.
const MARGIN: Duration = Duration::from_secs(2);
/// Before a client that could not connect tries again.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// Honest connections, and the time between two requests of one.
const HONEST: u32 = 8;
const HONEST_PAUSE: Duration = Duration::from_millis(10);
/// In which honest requests are timed. A request that fails took this long.
const WINDOW: Duration = Duration::from_secs(8);
/// Times that both are measured.
const ROUNDS: u32 = 3;

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(TENANTS, Workers::Threaded).await?;
    let gateway = Gateway::start(TENANTS, &odoo).await?;
    gateway.ask_each_tenant().await?;
    let (mut ratios, mut held) = (Vec::new(), 0);
    for round in 1..=ROUNDS {
        let without = p99(honest(gateway.address).await);
        let attack = Arc::new(Attack::new(gateway.address));
        let begun = Arc::clone(&attack);
        let attacking = std::thread::spawn(move || begun.run());
        sleep(RAMP + BYTE_PAUSE).await;
        let with = p99(honest(gateway.address).await);
        let open = attack.open.load(Ordering::Relaxed);
        attack.stop.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(move || attacking.join()).await?;
        let outcome = joined.map_err(|_| "the attack panicked")??;
        eprintln!(
            "   round {round}: p99 {without:?} without, {with:?} beside {open} slow connections; {} cut after {:?} in \
             the middle and {:?} at most, {} held, {} refused",
            outcome.lives.len(),
            outcome.middle(),
            outcome.lives.iter().max(),
            outcome.held,
            outcome.refused
        );
        if open < SLOW / 10 * 9 || outcome.middle() < Some(HEAD_TIMEOUT / 2) {
            return Err("these were not the slow connections that were meant, see above".into());
        }
        held += outcome.held;
        ratios.push(with.as_secs_f64() / without.as_secs_f64());
    }
    let ratio = median(ratios).ok_or("no round was measured")?;
    Ok(vec![
        Figure { name: "slowloris_p99_ratio", value: ratio, unit: Unit::Ratio },
        Figure { name: "slowloris_held", value: f64::from(held), unit: Unit::Count },
    ])
}

struct Attack {
    server: SocketAddr,
    stop: AtomicBool,
    open: AtomicU32,
}

/// What became of slow connections.
#[derive(Debug, Default)]
struct Outcome {
    /// How long those lived that were cut in time.
    lives: Vec<Duration>,
    /// How many were not.
    held: u32,
    /// How many could not be opened.
    refused: u32,
}

impl Outcome {
    fn middle(&self) -> Option<Duration> {
        let mut lives = self.lives.clone();
        lives.sort_unstable();
        lives.get(lives.len() / 2).copied()
    }
}

impl Attack {
    const fn new(server: SocketAddr) -> Self {
        Self { server, stop: AtomicBool::new(false), open: AtomicU32::new(0) }
    }

    /// Attacks until told to stop and the last connection is cut, on a thread of its own that lets others go first: attackers
    /// have machines of their own, and honest clients do not wait for slow ones here.
    fn run(self: Arc<Self>) -> io::Result<Outcome> {
        rustix::process::nice(19)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut clients = JoinSet::new();
            for number in 0..SLOW {
                clients.spawn(Arc::clone(&self).client(number));
            }
            Ok(clients.join_all().await.into_iter().fold(Outcome::default(), |mut all, one| {
                all.lives.extend(one.lives);
                all.held += one.held;
                all.refused += one.refused;
                all
            }))
        })
    }

    /// One slow connection after the other.
    async fn client(self: Arc<Self>, number: u32) -> Outcome {
        sleep(RAMP * number / SLOW).await;
        let mut outcome = Outcome::default();
        while !self.stop.load(Ordering::Relaxed) {
            let Ok(stream) = self.connect(number).await else {
                outcome.refused += 1;
                sleep(REFUSED_PAUSE).await;
                continue;
            };
            let begun = Instant::now();
            self.open.fetch_add(1, Ordering::Relaxed);
            match timeout(HEAD_TIMEOUT + MARGIN, until_cut(stream)).await {
                Ok(()) => outcome.lives.push(begun.elapsed()),
                Err(_) => outcome.held += 1,
            }
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        outcome
    }

    async fn connect(&self, number: u32) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        let [_, _, _, last] = (number % SOURCES + 1).to_be_bytes();
        socket.bind((Ipv4Addr::new(127, 0, 9, last), 0).into())?;
        socket.connect(self.server).await
    }
}

/// Sends a head that never ends, until the server closes the connection.
async fn until_cut(mut stream: TcpStream) {
    let (mut reader, mut writer) = stream.split();
    let trickle = async {
        let head = format!("GET / HTTP/1.1\r\nHost: {}\r\nX-Slow: ", host(0));
        for byte in head.into_bytes().into_iter().chain(std::iter::repeat(b'a')) {
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(BYTE_PAUSE).await;
        }
    };
    let end = async { while reader.read(&mut [0; 512]).await.is_ok_and(|bytes| bytes > 0) {} };
    tokio::select! {
        () = trickle => {}
        () = end => {}
    }
}

/// How long honest requests take.
async fn honest(server: SocketAddr) -> Vec<Duration> {
    let mut clients = JoinSet::new();
    for number in 0..HONEST {
        clients.spawn(async move {
            sleep(HONEST_PAUSE * number / HONEST).await;
            let (mut taken, begun) = (Vec::new(), Instant::now());
            let mut pace = interval(HONEST_PAUSE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut kept = None;
            while begun.elapsed() < WINDOW {
                pace.tick().await;
                let asked = Instant::now();
                let answered = timeout(WINDOW, ask(server, number, &mut kept)).await;
                taken.push(if matches!(answered, Ok(Ok(()))) { asked.elapsed() } else { WINDOW });
            }
            taken
        });
    }
    clients.join_all().await.concat()
}

/// Asks once, on the kept connection if there is one.
async fn ask(server: SocketAddr, tenant: u32, kept: &mut Option<TcpStream>) -> Result<(), Failure> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(server).await?,
    };
    stream.set_nodelay(true)?;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", host(tenant));
    stream.write_all(request.as_bytes()).await?;
    let answer = Incoming::new().answer(&mut stream).await?;
    if answer.status != 200 {
        return Err(format!("an honest client was answered {}", answer.status).into());
    }
    *kept = answer.keep.then_some(stream);
    Ok(())
}
