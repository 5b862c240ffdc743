//! What requests of clients met at a backend: counted where they meet it, read by whoever watches it.

use fleetgate_core::backend::stable_hash;
use fleetgate_core::health::{PACES, Pace, TenantSet, Traffic};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// An answer of a backend to a request of a client.
#[derive(Debug, Clone, Copy)]
pub struct Met<'a> {
    /// Status.
    pub status: u16,
    /// Whose request it was.
    pub tenant: &'a str,
    /// How late the answer began; `None` where that says nothing about the server, such as of a report.
    pub late: Option<Duration>,
}

/// Counts since they were last taken.
#[derive(Debug, Default)]
pub struct TrafficCell {
    answered: AtomicU32,
    failed: AtomicU32,
    broken: AtomicU32,
    server_errors: AtomicU32,
    erring: AtomicU64,
    paces: [AtomicU32; PACES],
    tenants: [AtomicU64; PACES],
}

impl TrafficCell {
    /// Notes the head of an answer.
    pub fn note_answer(&self, met: Met<'_>) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let tenant = TenantSet::of(stable_hash(met.tenant.as_bytes()));
        if (500..600).contains(&met.status) {
            self.server_errors.fetch_add(1, Ordering::Relaxed);
            self.erring.fetch_or(tenant.0, Ordering::Relaxed);
        }
        let Some(place) = met.late.map(Pace::place_of) else { return };
        if let Some((count, tenants)) = self.paces.get(place).zip(self.tenants.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
            tenants.fetch_or(tenant.0, Ordering::Relaxed);
        }
    }

    /// Notes a request that got no answer.
    pub fn note_failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that an answer broke off.
    pub fn note_broken(&self) {
        self.broken.fetch_add(1, Ordering::Relaxed);
    }

    /// What was met since this was last asked.
    #[must_use]
    pub fn take(&self) -> Traffic {
        Traffic {
            answered: self.answered.swap(0, Ordering::Relaxed),
            failed: self.failed.swap(0, Ordering::Relaxed),
            broken: self.broken.swap(0, Ordering::Relaxed),
            server_errors: self.server_errors.swap(0, Ordering::Relaxed),
            erring: TenantSet(self.erring.swap(0, Ordering::Relaxed)),
        }
    }

    /// How late answers began since this was last asked.
    #[must_use]
    pub fn take_pace(&self) -> Pace {
        Pace {
            answers: self.paces.each_ref().map(|count| count.swap(0, Ordering::Relaxed)),
            tenants: self.tenants.each_ref().map(|tenants| TenantSet(tenants.swap(0, Ordering::Relaxed))),
        }
    }
}
