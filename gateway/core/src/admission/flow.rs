//! Start-time fair queueing: the virtual times of classes, and of tenants inside a class.
//!
//! Each side has a virtual time, from which its next request counts. The side with the lowest is served, and its time
//! grows by the cost of what it got, divided by its weight. A side that had nothing to ask for begins at the time of
//! those that are served: no credit for having been idle. A side that got more than was expected is behind by that
//! much, and the other way round: what a request really cost is known at its end.

use super::arrival::Arrival;
use super::slab::List;
use std::collections::BTreeSet;

/// Weight of a tenant that has no other.
pub(super) const WEIGHT_USUAL: u16 = Arrival::WEIGHT_USUAL.get();

/// Place of a flow among those that may be served: virtual time, then age, then tenant.
pub(super) type ReadyKey = (u64, u64, usize);

/// Requests of one tenant in one class.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Virtual time from which the next request counts.
    pub(super) start: u64,
    pub(super) waiting: List,
    pub(super) queued: u32,
    /// Expected time of what waits, in microseconds, as far as it is known.
    pub(super) queued_us: u64,
    /// Where it is among those that may be served. `None` when nothing waits, or the tenant has its share.
    pub(super) ready: Option<ReadyKey>,
}

/// What is known about one class.
#[derive(Debug, Default)]
pub(super) struct ClassQueue {
    /// Virtual time from which the class's next request counts.
    pub(super) start: u64,
    /// Virtual time of the tenants that are served.
    pub(super) virtual_time: u64,
    /// Latest virtual time that a tenant was given.
    latest: u64,
    pub(super) ready: BTreeSet<ReadyKey>,
    /// Weights of the tenants that may be served.
    pub(super) ready_weight: u64,
    pub(super) queued: u32,
    pub(super) serving: u32,
    /// Mean time of what was served, in microseconds; 0 before anything was.
    pub(super) mean_us: u64,
}

impl ClassQueue {
    /// Charges a flow for a request that begins.
    pub(super) fn charge(&mut self, flow: &mut Flow, cost_us: u64, weight: u16) {
        self.virtual_time = self.virtual_time.max(flow.start);
        flow.start = flow.start.saturating_add(virtual_us(cost_us, weight));
        self.latest = self.latest.max(flow.start);
    }

    /// Corrects what a flow was charged by what it took.
    pub(super) fn correct(&mut self, flow: &mut Flow, charged_us: u64, took_us: u64, weight: u16) {
        flow.start = corrected(flow.start, virtual_us(charged_us, weight), virtual_us(took_us, weight));
        self.latest = self.latest.max(flow.start);
    }

    /// Nobody waits and nobody is served: all are quits.
    pub(super) fn forgive(&mut self) {
        self.virtual_time = self.virtual_time.max(self.latest);
    }

    pub(super) fn note_served(&mut self, us: u64) {
        self.mean_us = if self.mean_us == 0 {
            us.max(1)
        } else {
            self.mean_us.saturating_mul(15).saturating_add(us).wrapping_div(16).max(1)
        };
    }
}

/// Cost in virtual time.
pub(super) fn virtual_us(cost_us: u64, weight: u16) -> u64 {
    cost_us.saturating_mul(u64::from(WEIGHT_USUAL)).checked_div(u64::from(weight)).unwrap_or(cost_us).max(1)
}

pub(super) fn corrected(time: u64, charged: u64, took: u64) -> u64 {
    if took >= charged {
        time.saturating_add(took.saturating_sub(charged))
    } else {
        time.saturating_sub(charged.saturating_sub(took))
    }
}
