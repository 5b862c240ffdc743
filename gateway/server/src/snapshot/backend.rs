//! What is known about a backend while the process lives.

use super::flag::Flag;
use super::traffic::TrafficCell;
use fleetgate_core::backend::{BackendLoad, stable_hash};
use fleetgate_core::health::{BackendHealth, BackendVerdict, Moment};
use fleetgate_core::pool::Backend;
use fleetgate_core::traffic::BackendPort;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// For how long a backend that refused a connection is asked last.
const FAILING_FOR: Duration = Duration::from_secs(5);

/// One Odoo server of a pool.
#[derive(Debug)]
pub struct BackendState {
    key: Box<str>,
    hash: u64,
    born: Instant,
    /// Traffic on the HTTP port.
    pub http: PortState,
    /// Traffic on the gevent port.
    pub gevent: PortState,
    health: HealthCell,
}

/// What whoever watches a backend last said, for requests to read.
#[derive(Debug)]
struct HealthCell {
    verdict: AtomicU8,
    draining: AtomicBool,
    /// Cancelled while it drains.
    drained: Mutex<CancellationToken>,
    /// Of 1,000 parts, how much of its share it takes: less for a while after it came back.
    share: AtomicU16,
    traffic: TrafficCell,
    /// One of the three below.
    warmth: AtomicU8,
}

const WARM: u8 = 0;
/// It came back, and nobody has begun to warm it.
const COLD: u8 = 1;
const WARMING: u8 = 2;

impl Default for HealthCell {
    fn default() -> Self {
        Self {
            verdict: AtomicU8::new(0),
            draining: AtomicBool::new(false),
            drained: Mutex::default(),
            share: AtomicU16::new(WHOLE_SHARE),
            traffic: TrafficCell::default(),
            warmth: AtomicU8::new(WARM),
        }
    }
}

/// All of it, in parts of 1,000.
const WHOLE_SHARE: u16 = 1_000;
/// Least part that a backend takes that came back.
const SHARE_MIN: u16 = 50;

/// One port of a backend. The two never share counts.
#[derive(Debug)]
pub struct PortState {
    /// Where it listens.
    pub address: SocketAddr,
    in_flight: AtomicU32,
    failing_until_ms: AtomicU64,
    connect_failures: AtomicU64,
    /// Whether probes say that others should be asked first.
    avoided: AtomicBool,
    /// Whether it gives no good answer to its own probes.
    lost: Flag,
    /// Whether it is lost, and an equal takes over what stays open for long.
    abandoned: Flag,
    /// Of those in flight, those that hold no permit any more.
    apart: AtomicU32,
    /// Requests that it serves at once; `u32::MAX` where that is not known.
    workers: AtomicU32,
}

impl PortState {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            workers: AtomicU32::new(u32::MAX),
            in_flight: AtomicU32::new(0),
            apart: AtomicU32::new(0),
            failing_until_ms: AtomicU64::new(0),
            connect_failures: AtomicU64::new(0),
            avoided: AtomicBool::new(false),
            lost: Flag::default(),
            abandoned: Flag::default(),
        }
    }

    /// Waits until probes have found that it answers nobody, which may be so already.
    pub async fn until_lost(&self) {
        self.lost.until_raised().await;
    }

    /// Waits until that is so and an equal answers, which may be so already: what stays open for long moves there.
    pub async fn until_abandoned(&self) {
        self.abandoned.until_raised().await;
    }

    /// Whether it answers nobody, and an equal does.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.is_raised()
    }

    /// Notes whether it answers nobody while an equal does.
    pub fn set_abandoned(&self, abandoned: bool) {
        self.abandoned.set(abandoned);
    }

    /// Requests, or websockets, that it serves now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that it serves at once; `u32::MAX` where that is not known.
    #[must_use]
    pub fn workers(&self) -> u32 {
        self.workers.load(Ordering::Relaxed)
    }

    /// Of those, the ones that hold no permit any more, because they were sent before it was found lost.
    #[must_use]
    pub fn apart(&self) -> u32 {
        self.apart.load(Ordering::Relaxed)
    }

    /// Connections that it refused or let time out.
    #[must_use]
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Ordering::Relaxed)
    }
}

impl BackendState {
    /// A backend nobody has talked to yet.
    #[must_use]
    pub fn new(pool: &str, region: &str, backend: Backend) -> Self {
        let key = format!("{pool}/{region}/{}/{}", backend.http, backend.websocket);
        let hash = stable_hash(backend.http.to_string().as_bytes());
        let (http, gevent) = (PortState::new(backend.http), PortState::new(backend.websocket));
        Self { key: key.into(), hash, born: Instant::now(), http, gevent, health: HealthCell::default() }
    }

    /// Same for the same pool, region and addresses.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// One of the two ports.
    #[must_use]
    pub const fn port(&self, port: BackendPort) -> &PortState {
        match port {
            BackendPort::Http => &self.http,
            BackendPort::Gevent => &self.gevent,
        }
    }

    /// What a choice between backends looks at.
    #[must_use]
    pub fn load(&self, port: BackendPort) -> BackendLoad {
        let state = self.port(port);
        let failing_until = state.failing_until_ms.load(Ordering::Relaxed);
        let failing = failing_until > 0 && self.age_ms() < failing_until;
        let cold = port == BackendPort::Http && self.health.warmth.load(Ordering::Relaxed) != WARM;
        let failing = failing || cold || state.avoided.load(Ordering::Relaxed);
        let in_flight = state.in_flight();
        let full = in_flight >= state.workers();
        let draining = self.health.draining.load(Ordering::Relaxed);
        BackendLoad { hash: self.hash, in_flight: self.weighed(in_flight), failing, draining, full }
    }

    /// Requests in flight as they weigh: one at a backend that takes a tenth of its share weighs like ten.
    fn weighed(&self, in_flight: u32) -> u32 {
        let share = self.health.share.load(Ordering::Relaxed);
        if share >= WHOLE_SHARE {
            return in_flight;
        }
        let next = in_flight.saturating_add(1).saturating_mul(u32::from(WHOLE_SHARE));
        next.checked_div(u32::from(share.max(SHARE_MIN))).unwrap_or(in_flight)
    }

    /// Takes what the watch of its pool says.
    pub fn set_health(&self, health: &BackendHealth, slow_start: Duration, now: Moment) {
        let verdict = health.verdict();
        let place = BackendVerdict::ALL.iter().position(|known| *known == verdict).unwrap_or_default();
        self.health.verdict.store(u8::try_from(place).unwrap_or_default(), Ordering::Relaxed);
        if self.health.draining.swap(health.is_draining(), Ordering::Relaxed) != health.is_draining() {
            let mut drained = self.health.drained.lock().unwrap_or_else(PoisonError::into_inner);
            if health.is_draining() { drained.cancel() } else { *drained = CancellationToken::new() }
        }
        self.health.share.store(health.share_permille(slow_start, now), Ordering::Relaxed);
        for port in [BackendPort::Http, BackendPort::Gevent] {
            self.port(port).avoided.store(health.avoids(port), Ordering::Relaxed);
            self.port(port).lost.set(health.is_lost(port));
        }
    }

    /// Forgets what its probes said, and whether it was taken out: nobody asks it any more.
    pub fn forget_health(&self) {
        self.set_health(&BackendHealth::default(), Duration::ZERO, Moment::ZERO);
        self.health.warmth.store(WARM, Ordering::Relaxed);
        [&self.http, &self.gevent].into_iter().for_each(|port| port.set_abandoned(false));
    }

    /// Cancelled when an operator takes it out: what stays open for long, such as a websocket, moves elsewhere.
    #[must_use]
    pub fn drained(&self) -> CancellationToken {
        self.health.drained.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that it came back with nothing in memory: others are asked first until it is warm.
    pub fn set_cold(&self) {
        self.health.warmth.store(COLD, Ordering::Relaxed);
    }

    /// Whether the caller is the one to warm it.
    #[must_use]
    pub fn begin_warming(&self) -> bool {
        let begun = self.health.warmth.compare_exchange(COLD, WARMING, Ordering::Relaxed, Ordering::Relaxed);
        begun.is_ok()
    }

    /// It is as warm as it will be. One that has come back again meanwhile is warmed again.
    pub fn end_warming(&self) {
        let ended = self.health.warmth.compare_exchange(WARMING, WARM, Ordering::Relaxed, Ordering::Relaxed);
        if ended.is_err() {
            tracing::debug!(backend = %self.http.address, "a backend came back again while it was warmed");
        }
    }

    /// What the watch of its pool last said.
    #[must_use]
    pub fn verdict(&self) -> BackendVerdict {
        let place = usize::from(self.health.verdict.load(Ordering::Relaxed));
        BackendVerdict::ALL.get(place).copied().unwrap_or(BackendVerdict::Up)
    }

    /// What requests of clients meet on the HTTP port.
    #[must_use]
    pub const fn traffic(&self) -> &TrafficCell {
        &self.health.traffic
    }

    /// Notes how many requests it serves at once on its HTTP port.
    pub fn set_workers(&self, workers: Option<NonZeroU16>) {
        let workers = workers.map_or(u32::MAX, |workers| u32::from(workers.get()));
        self.http.workers.store(workers, Ordering::Relaxed);
    }

    /// Notes that a connection could not be made: for some seconds others are asked first. `true` when that is news.
    pub fn note_connect_failure(&self, port: BackendPort) -> bool {
        let news = !self.load(port).failing;
        let until = self.age_ms().saturating_add(millis(FAILING_FOR));
        self.port(port).failing_until_ms.store(until, Ordering::Relaxed);
        self.port(port).connect_failures.fetch_add(1, Ordering::Relaxed);
        if port == BackendPort::Http {
            self.health.traffic.note_failure();
        }
        news
    }

    /// Notes that a connection was made.
    pub fn note_connected(&self, port: BackendPort) {
        self.port(port).failing_until_ms.store(0, Ordering::Relaxed);
    }

    fn age_ms(&self) -> u64 {
        millis(self.born.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A request's place at a backend, given back when dropped.
#[derive(Debug)]
pub struct BackendLease {
    backend: Arc<BackendState>,
    port: BackendPort,
    held: bool,
    apart: bool,
}

impl BackendLease {
    /// Takes a place.
    #[must_use]
    pub fn take(backend: &Arc<BackendState>, port: BackendPort) -> Self {
        backend.port(port).in_flight.fetch_add(1, Ordering::Relaxed);
        Self { backend: Arc::clone(backend), port, held: true, apart: false }
    }

    /// Notes that the request holds no permit any more, and that its worker is still busy.
    pub fn set_apart(&mut self) {
        if self.held && !std::mem::replace(&mut self.apart, true) {
            self.backend.port(self.port).apart.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the request holds no permit any more.
    #[must_use]
    pub const fn is_apart(&self) -> bool {
        self.apart
    }

    /// Leaves the place to another holder; this one only knows whose it was.
    #[must_use]
    pub fn hand_over(&mut self) -> Self {
        let (held, apart) = (std::mem::take(&mut self.held), std::mem::take(&mut self.apart));
        Self { backend: Arc::clone(&self.backend), port: self.port, held, apart }
    }

    /// Gives the place back early, once.
    pub fn give_back(&mut self) {
        if std::mem::take(&mut self.held) {
            self.backend.port(self.port).in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        if std::mem::take(&mut self.apart) {
            self.backend.port(self.port).apart.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whose place it is.
    #[must_use]
    pub fn backend(&self) -> &Arc<BackendState> {
        &self.backend
    }

    /// Which port.
    #[must_use]
    pub const fn port(&self) -> BackendPort {
        self.port
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.backend.port(self.port).address
    }
}

impl Drop for BackendLease {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_counted_apart_and_leases_come_back() {
        let address = "127.0.0.1:8069".parse().unwrap();
        let backend = Arc::new(BackendState::new(
            "p",
            "r",
            Backend { http: address, websocket: address, workers: None },
        ));
        let mut lease = BackendLease::take(&backend, BackendPort::Gevent);
        assert_eq!((backend.http.in_flight(), backend.gevent.in_flight()), (0, 1));
        lease.give_back();
        assert_eq!(backend.gevent.in_flight(), 0);
        drop(lease);
        assert_eq!(backend.gevent.in_flight(), 0);
    }

    #[test]
    fn a_worker_whose_permit_is_gone_is_counted_until_its_place_comes_back() {
        let address = "127.0.0.1:8069".parse().unwrap();
        let backend = Backend { http: address, websocket: address, workers: None };
        let backend = Arc::new(BackendState::new("p", "r", backend));
        let mut lease = BackendLease::take(&backend, BackendPort::Http);
        lease.set_apart();
        lease.set_apart();
        assert_eq!((backend.http.in_flight(), backend.http.apart()), (1, 1));
        let handed_over = lease.hand_over();
        drop(lease);
        assert_eq!((backend.http.in_flight(), backend.http.apart()), (1, 1));
        drop(handed_over);
        assert_eq!((backend.http.in_flight(), backend.http.apart()), (0, 0));
    }

    #[test]
    fn a_refused_connection_marks_the_port_until_one_is_made() {
        let address = "127.0.0.1:8069".parse().unwrap();
        let backend =
            BackendState::new("p", "r", Backend { http: address, websocket: address, workers: None });
        assert!(backend.note_connect_failure(BackendPort::Http), "the first is news");
        assert!(!backend.note_connect_failure(BackendPort::Http), "the second is none");
        assert!(backend.load(BackendPort::Http).failing);
        assert!(!backend.load(BackendPort::Gevent).failing);
        backend.note_connected(BackendPort::Http);
        assert!(!backend.load(BackendPort::Http).failing);
    }
}
