//! A closed-loop load of browser-like requests over all tenants: each connection asks, checks the answer, asks again.

use crate::Failure;
use crate::answer::Incoming;
use crate::fleet::{Dice, host, name};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

/// For one answer, or one connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// A page of the stand-in Odoo; its body names the database that answered.
const PATH: &str = "/";
/// What a browser with an Odoo session says besides the host.
const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: fr-BE,fr;q=0.8,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Cookie: frontend_lang=fr_BE; session_id=0PYkRkQhWZVSrMVvSIjPjzyxZAcCE5FyYNgkKkbuWSCjCvUUKqQYYHe5DQkcTzBRXNAbZIDHgBzvLvSl; tz=Europe/Brussels\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n";

/// What a load did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Requests answered whole, 200, by the right database.
    pub(crate) done: u32,
    /// Requests of which at least a byte was sent and that had no such answer, and connections refused.
    pub(crate) failed: u32,
    /// Connections after the first that were opened because the server closed one.
    pub(crate) reconnects: u32,
}

impl Tally {
    /// Both together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            done: self.done + other.done,
            failed: self.failed + other.failed,
            reconnects: self.reconnects + other.reconnects,
        }
    }
}

/// A load to put on a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// The server.
    pub(crate) server: SocketAddr,
    /// Tenants that are asked for in turn, in random order.
    pub(crate) tenants: u32,
    /// Connections at once.
    pub(crate) connections: u32,
    /// Whether each request has a connection of its own.
    pub(crate) single_use: bool,
}

impl Load {
    /// Runs for a time.
    pub(crate) async fn run(self, time: Duration) -> Result<Tally, Failure> {
        let ((), tally) = self.run_while(sleep(time)).await?;
        Ok(tally)
    }

    /// Runs until something else is done.
    pub(crate) async fn run_while<T>(self, other: impl Future<Output = T>) -> Result<(T, Tally), Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..self.connections {
            let client = Client { load: self, stop: Arc::clone(&stop), dice: Dice::new(u64::from(number)) };
            clients.spawn(client.run());
        }
        clients.spawn(stay_awake(Arc::clone(&stop)));
        let result = other.await;
        stop.store(true, Ordering::Relaxed);
        let tally = clients.join_all().await.into_iter().fold(Tally::default(), Tally::and);
        Ok((result, tally))
    }

    /// Asks for every tenant once.
    pub(crate) async fn ask_each(self) -> Result<Tally, Failure> {
        let mut clients = JoinSet::new();
        for first in 0..self.connections {
            let load = self;
            clients.spawn(async move {
                let (mut tally, mut kept) = (Tally::default(), None);
                for tenant in (first..load.tenants).step_by(usize::try_from(load.connections).unwrap_or(1)) {
                    load.ask(tenant, &mut kept, &mut tally).await;
                }
                tally
            });
        }
        Ok(clients.join_all().await.into_iter().fold(Tally::default(), Tally::and))
    }

    /// Sends one request and reads its answer, on a kept connection if there is one.
    async fn ask(&self, tenant: u32, kept: &mut Option<Connection>, tally: &mut Tally) {
        let connection = match kept.take() {
            Some(connection) => connection,
            None => match Connection::open(self.server).await {
                Ok(connection) => connection,
                Err(_) => return tally.failed += 1,
            },
        };
        let answered = timeout(PATIENCE, connection.exchange(tenant, self.single_use)).await;
        match answered {
            Ok(Exchange::Answered { next, right: true }) => {
                tally.done += 1;
                *kept = next;
            }
            // Closed between two requests, before the next one was begun: nothing is lost.
            Ok(Exchange::NotSent) => {}
            Ok(Exchange::Answered { right: false, .. } | Exchange::Broken) | Err(_) => tally.failed += 1,
        }
        if kept.is_none() && !self.single_use {
            tally.reconnects += 1;
        }
    }
}

/// Keeps this thread, which is load and backend in one, from sleeping: a proxy that is slower than its load would pay
/// for waking it at every write, and in production load and backend are other machines.
async fn stay_awake(stop: Arc<AtomicBool>) -> Tally {
    while !stop.load(Ordering::Relaxed) {
        yield_now().await;
    }
    Tally::default()
}

/// One connection's worth of load.
struct Client {
    load: Load,
    stop: Arc<AtomicBool>,
    dice: Dice,
}

impl Client {
    async fn run(mut self) -> Tally {
        let (mut tally, mut kept) = (Tally::default(), None);
        while !self.stop.load(Ordering::Relaxed) {
            let failed = tally.failed;
            self.load.ask(self.dice.below(self.load.tenants), &mut kept, &mut tally).await;
            if tally.failed != failed {
                // A server that refuses is not asked in a busy loop.
                sleep(Duration::from_millis(10)).await;
            }
        }
        tally
    }
}

/// How a request ended.
enum Exchange {
    /// With a whole answer; `right` when it is a 200 of the tenant's own database.
    Answered { next: Option<Connection>, right: bool },
    /// The connection was found closed before a byte of the request was sent.
    NotSent,
    /// The connection broke.
    Broken,
}

struct Connection {
    stream: TcpStream,
    incoming: Incoming,
}

impl Connection {
    async fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(server)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, incoming: Incoming::new() })
    }

    async fn exchange(mut self, tenant: u32, single_use: bool) -> Exchange {
        if self.is_closed() {
            return Exchange::NotSent;
        }
        let close = if single_use { "Connection: close\r\n" } else { "" };
        let request = format!("GET {PATH} HTTP/1.1\r\nHost: {}\r\n{BROWSER}{close}\r\n", host(tenant));
        if self.stream.write_all(request.as_bytes()).await.is_err() {
            return Exchange::Broken;
        }
        let Ok(answer) = self.incoming.answer(&mut self.stream).await else { return Exchange::Broken };
        let heading = format!("<h1>{}</h1>", name(tenant));
        let body = self.incoming.body(&answer);
        let right =
            answer.status == 200 && body.windows(heading.len()).any(|window| window == heading.as_bytes());
        self.incoming.forget(&answer);
        let next = (answer.keep && !single_use && self.incoming.is_empty()).then_some(self);
        Exchange::Answered { next, right }
    }

    /// Whether the server has closed the connection, as far as is known here.
    fn is_closed(&self) -> bool {
        match self.stream.try_read(&mut [0]) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}
