//! Metrics of requests that waited for their pool to have a region.

use prometheus::core::Collector;
use prometheus::{IntCounterVec, Opts};

/// How the wait of a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A region took over, and the request went there.
    Served,
    /// None did in time.
    Refused,
    /// The client left.
    Left,
}

impl Held {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Refused => "refused",
            Self::Left => "left",
        }
    }
}

/// What is counted when such a request has waited.
#[derive(Debug)]
pub(super) struct HeldCounter(IntCounterVec);

impl HeldCounter {
    pub(super) fn new() -> prometheus::Result<Self> {
        let held = Opts::new(
            "fleetgate_region_held_total",
            "Requests that waited for their pool to have a region, by how that ended.",
        );
        Ok(Self(IntCounterVec::new(held, &["pool", "outcome"])?))
    }

    pub(super) fn collector(&self) -> Box<dyn Collector> {
        Box::new(self.0.clone())
    }

    pub(super) fn count(&self, pool: &str, held: Held) {
        self.0.with_label_values(&[pool, held.as_str()]).inc();
    }
}
