//! A randomised attack of two tenants on each other, judged by what their Odoo received.
//!
//! Many connections of both tenants at once, kept and shared by both, send requests that are honest or twisted in host,
//! target, headers, cookies, body and framing, over HTTP/1 and HTTP/2; some clients leave early. Every request carries
//! a mark that says whose it is. Whatever a stand-in Odoo receives must carry the mark of the tenant whose database it
//! was given, and whatever comes back must be the answer to the mark that asked. Which requests are refused does not
//! matter here. All choices follow from a seed, and a leak is told with the bytes that led to it.

mod answer;
mod ask;
mod crafted;
mod dice;
mod framing;
mod http2;
mod judge;
mod ledger;
mod mark;
mod tenants;
mod twist;
mod visit;
mod wire;

pub use ledger::Outcome;
pub use tenants::{DATABASES, TENANTS, main_file};

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fleetgate_stub::{SessionStore, StubOdoo, StubOptions};
use tokio::task::JoinSet;

use crate::request::Request;
use crate::wait::{DEADLINE, wait_for};
use ledger::Ledger;
use tenants::{Sessions, Tenant};
use visit::Visit;

/// For the answers to what was sent at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at what the servers received.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// More than the servers receive between two looks.
const RECEIVED_MAX: usize = 100_000;

/// A trial of a gateway that runs with [`main_file`] and [`TENANTS`].
#[derive(Debug)]
pub struct Trial<'a> {
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// The servers behind it.
    pub servers: &'a [StubOdoo],
    /// Decides every choice.
    pub seed: u64,
    /// Requests to send, a few more or less.
    pub requests: u64,
    /// Clients at once.
    pub clients: usize,
}

/// Two servers with all databases and one store of sessions: a threaded one, whose connections are kept, and one with prefork workers.
///
/// # Errors
/// When no address can be bound.
pub async fn servers() -> std::io::Result<[StubOdoo; 2]> {
    let sessions = SessionStore::default();
    let options = |name| StubOptions {
        received_max: RECEIVED_MAX,
        sessions: sessions.clone(),
        ..StubOptions::new(name, DATABASES)
    };
    Ok([StubOdoo::start(options("threaded").threaded()).await?, StubOdoo::start(options("prefork")).await?])
}

impl Trial<'_> {
    /// Makes the trial.
    pub async fn run(&self) -> Outcome {
        let sessions =
            Sessions { acme: self.log_in(Tenant::Acme).await, globex: self.log_in(Tenant::Globex).await };
        self.servers.iter().for_each(StubOdoo::forget_received);
        let ledger = Arc::new(Ledger::new(self.seed, sessions));
        let next = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            clients.spawn(client(self.gateway, self.requests, Arc::clone(&next), Arc::clone(&ledger)));
        }
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                ended = clients.join_next() => match ended {
                    None => break,
                    Some(Ok(())) => {}
                    Some(Err(error)) => ledger.trouble(&error.to_string()),
                },
                _ = looks.tick() => self.look(&ledger),
            }
        }
        // What clients left behind may still be on its way.
        let in_flight = || self.servers.iter().map(|server| server.counts().requests_in_flight).sum::<u64>();
        wait_for("the servers are idle", DEADLINE, async || in_flight() == 0).await;
        self.look(&ledger);
        ledger.outcome()
    }

    async fn log_in(&self, tenant: Tenant) -> String {
        let form = format!("login={}&password=pw", tenant.user());
        let answer = Request::post(tenant.host(), "/web/login", form).send(self.gateway).await;
        let cookie = answer.cookie("session_id");
        let session = cookie.as_deref().and_then(|cookie| cookie.strip_prefix("session_id="));
        session
            .map(str::to_owned)
            .unwrap_or_else(|| panic!("no session of {}: {}", tenant.name(), answer.text()))
    }

    /// Judges what the servers received since the last look.
    fn look(&self, ledger: &Ledger) {
        for request in self.servers.iter().flat_map(StubOdoo::take_received) {
            ledger.received();
            let (mark, verdict) = judge::received(&request);
            if let Err(problem) = verdict {
                let what = format!("{problem}; received {request:?}");
                match mark {
                    Some(mark) => ledger.leak(&Visit::plan(self.seed, mark.visit, &ledger.sessions), &what),
                    None => ledger.leak(&Visit { http2: false, steps: Vec::new() }, &what),
                }
            }
        }
    }
}

async fn client(gateway: SocketAddr, requests: u64, next: Arc<AtomicU64>, ledger: Arc<Ledger>) {
    while ledger.sent_so_far() < requests {
        let visit = Visit::plan(ledger.seed, next.fetch_add(1, Ordering::Relaxed), &ledger.sessions);
        if visit.http2 {
            http2::make(gateway, &visit, &ledger).await;
        } else {
            wire::make(gateway, &visit, &ledger).await;
        }
    }
}
