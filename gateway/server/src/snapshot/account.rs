//! What is counted and held for one tenant while the process lives.

use crate::limits::{Gauge, HasPlaces, PlaceFor, PlaceLease, TenantUse};
use crate::spool::BytesHeld;
use crate::usage::{TenantUsage, UsageStore};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio_util::sync::CancellationToken;

/// The live state of one tenant, or of a tenant entry as a whole. It outlives snapshots.
#[derive(Debug)]
pub struct TenantAccount {
    id: Arc<str>,
    /// Whether its name came from a client's label.
    pub(super) labelled: bool,
    /// Seconds on the clock of [`Accounts`](super::Accounts) at which somebody held it last.
    pub(super) used_at: AtomicU32,
    /// A host at which it was served.
    host: OnceLock<Box<str>>,
    requests: AtomicU64,
    rejections: AtomicU64,
    used: TenantUse,
    disk_use: Arc<BytesHeld>,
    /// What it has used of its quotas, once it has any.
    usage: OnceLock<Arc<TenantUsage>>,
    /// Ends its websockets when it is suspended, once it has had any since it was.
    suspended: Mutex<Option<CancellationToken>>,
}

impl TenantAccount {
    /// A tenant nobody has asked for yet.
    #[must_use]
    pub(super) fn new(id: Arc<str>, labelled: bool) -> Self {
        Self {
            id,
            labelled,
            used_at: AtomicU32::new(0),
            host: OnceLock::new(),
            requests: AtomicU64::new(0),
            rejections: AtomicU64::new(0),
            used: TenantUse::default(),
            disk_use: Arc::default(),
            usage: OnceLock::new(),
            suspended: Mutex::default(),
        }
    }

    /// The tenant's id, with the label in its place; of an entry as a whole, as it is written.
    #[must_use]
    pub const fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// What the tenant has used of its quotas.
    #[must_use]
    pub fn usage(&self, store: &UsageStore) -> &Arc<TenantUsage> {
        self.usage.get_or_init(|| store.tenant(&self.id))
    }

    /// Notes a host at which it was served. The first one stays.
    pub fn note_host(&self, host: &str) {
        self.host.get_or_init(|| host.into());
    }

    /// A host at which it was served, if it was.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.get().map(|host| &**host)
    }

    /// Counts a request that has been answered.
    pub fn count_request(&self, rejected: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if rejected {
            self.rejections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests answered, by Odoo or by the gateway.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests answered by the gateway itself.
    #[must_use]
    pub fn rejections(&self) -> u64 {
        self.rejections.load(Ordering::Relaxed)
    }

    /// Whether anybody has asked for the tenant since the process started.
    #[must_use]
    pub fn seen(&self) -> bool {
        self.requests() > 0 || self.websockets() > 0
    }

    /// Bytes of bodies that are on disk now.
    #[must_use]
    pub const fn disk_use(&self) -> &Arc<BytesHeld> {
        &self.disk_use
    }

    /// What it uses of its limits.
    #[must_use]
    pub const fn used(&self) -> &TenantUse {
        &self.used
    }

    /// Cancelled when the tenant is suspended the next time.
    pub(super) fn suspended(&self) -> CancellationToken {
        let mut suspended = self.suspended.lock().unwrap_or_else(PoisonError::into_inner);
        suspended.get_or_insert_default().clone()
    }

    /// Ends its websockets that are open now.
    pub(super) fn suspend(&self) {
        if let Some(told) = self.suspended.lock().unwrap_or_else(PoisonError::into_inner).take() {
            told.cancel();
        }
    }

    /// Requests at once, without websockets and polls.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.held(PlaceFor::Request)
    }

    /// Websockets open now, handshakes included.
    #[must_use]
    pub fn websockets(&self) -> u32 {
        self.held(PlaceFor::Websocket)
    }

    fn held(&self, of: PlaceFor) -> u32 {
        self.used.places(of).map_or(0, Gauge::held)
    }
}

impl HasPlaces for TenantAccount {
    fn places(&self, of: PlaceFor) -> Option<&Gauge> {
        self.used.places(of)
    }
}

/// An open websocket, counted for its tenant and for the tenant's entry until it is dropped.
#[derive(Debug)]
pub struct OpenWebsocket {
    _tenant: PlaceLease<TenantAccount>,
    /// `None` where the tenant is the entry.
    _entry: Option<PlaceLease<TenantAccount>>,
}

impl OpenWebsocket {
    /// Counts a websocket, unless the tenant has `max` of them already.
    #[must_use]
    pub fn open(tenant: &Arc<TenantAccount>, entry: Option<&Arc<TenantAccount>>, max: u32) -> Option<Self> {
        let tenant = PlaceLease::take(tenant, PlaceFor::Websocket, max)?;
        let entry = entry.and_then(|entry| PlaceLease::take(entry, PlaceFor::Websocket, u32::MAX));
        Some(Self { _tenant: tenant, _entry: entry })
    }
}
