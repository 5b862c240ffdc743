//! What is counted per tenant while the process lives.

use crate::spool::DiskUse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counters of one tenant entry; a reload keeps them.
#[derive(Debug, Default)]
pub struct TenantCounters {
    requests: AtomicU64,
    rejections: AtomicU64,
    websockets: AtomicU32,
    disk_use: Arc<DiskUse>,
}

impl TenantCounters {
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
    pub const fn disk_use(&self) -> &Arc<DiskUse> {
        &self.disk_use
    }

    /// Websockets open now.
    #[must_use]
    pub fn websockets(&self) -> u32 {
        self.websockets.load(Ordering::Relaxed)
    }

    /// Counts a websocket until the guard is dropped.
    #[must_use]
    pub fn open_websocket(self: Arc<Self>) -> OpenWebsocket {
        self.websockets.fetch_add(1, Ordering::Relaxed);
        OpenWebsocket(self)
    }
}

/// An open websocket of a tenant.
#[derive(Debug)]
pub struct OpenWebsocket(Arc<TenantCounters>);

impl Drop for OpenWebsocket {
    fn drop(&mut self) {
        self.0.websockets.fetch_sub(1, Ordering::Relaxed);
    }
}
