//! What the server received: the last requests and the counters, for tests to assert on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::body::Body;
use super::head::Head;

/// Which of the two ports of an Odoo server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The HTTP port, 8069 in Odoo.
    Http,
    /// The gevent port for websocket and longpolling, 8072 in Odoo.
    Gevent,
}

impl Port {
    /// `http` or `gevent`, as in the answer header `X-Stub-Port`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Gevent => "gevent",
        }
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The port it came to.
    pub port: Port,
    /// Which connection brought it; connections of a server are numbered from 1.
    pub connection: u64,
    /// The method as sent.
    pub method: String,
    /// The request target as sent, not decoded.
    pub target: String,
    /// Minor version of HTTP/1.
    pub minor: u8,
    /// Every header line in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// The database that was chosen for it, if any.
    pub database: Option<String>,
    /// How many bytes of body arrived.
    pub body_bytes: u64,
    /// FNV-1a (64 bits) of the whole body.
    pub body_hash: u64,
    /// The first bytes of the body, at most 4 KiB.
    pub body_start: Bytes,
    /// False when the client went away or stalled before the end of the body.
    pub complete: bool,
}

impl Received {
    /// Every value of a header in order of arrival; the name matches without regard to case.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a header.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }
}

/// Totals since the start, and gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted on both ports.
    pub connections: u64,
    /// Connections open now on both ports, websockets included.
    pub connections_open: u64,
    /// Requests whose head was fully read.
    pub requests: u64,
    /// Requests being worked on now, websockets not included.
    pub requests_in_flight: u64,
    /// Requests that were not HTTP/1, or whose framing was ambiguous.
    pub malformed: u64,
    /// Requests dropped because the client stalled while a prefork worker waited.
    pub stalled: u64,
    /// Websockets that were opened.
    pub websockets: u64,
    /// Websockets open now.
    pub websockets_open: u64,
}

/// The counters of a running server.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_open: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) requests_in_flight: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) stalled: AtomicU64,
    pub(crate) websockets: AtomicU64,
    pub(crate) websockets_open: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        Counts {
            connections: self.connections.load(Ordering::Relaxed),
            connections_open: self.connections_open.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            requests_in_flight: self.requests_in_flight.load(Ordering::Relaxed),
            malformed: self.malformed.load(Ordering::Relaxed),
            stalled: self.stalled.load(Ordering::Relaxed),
            websockets: self.websockets.load(Ordering::Relaxed),
            websockets_open: self.websockets_open.load(Ordering::Relaxed),
        }
    }
}

/// Adds one to a counter of events.
pub(crate) fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

/// One unit of a gauge; given back when dropped, also when the task is cut.
pub(crate) struct Held<'a>(&'a AtomicU64);

impl<'a> Held<'a> {
    pub(crate) fn take(gauge: &'a AtomicU64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The latest requests of a server.
#[derive(Debug)]
pub(crate) struct Log {
    max: usize,
    latest: Mutex<VecDeque<Received>>,
}

impl Log {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, latest: Mutex::default() }
    }

    pub(crate) fn add(&self, port: Port, connection: u64, head: &Head, database: Option<&str>, body: &Body) {
        if self.max == 0 {
            return;
        }
        let received = Received {
            port,
            connection,
            method: head.method.clone(),
            target: head.target.clone(),
            minor: head.minor,
            headers: head.headers.iter().map(|(name, value)| (text(name), text(value))).collect(),
            database: database.map(str::to_owned),
            body_bytes: body.bytes,
            body_hash: body.hash,
            body_start: body.start(),
            complete: body.complete,
        };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() >= self.max {
            latest.pop_front();
        }
        latest.push_back(received);
    }

    pub(crate) fn read(&self) -> Vec<Received> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    pub(crate) fn clear(&self) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
