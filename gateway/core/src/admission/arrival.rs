//! What the scheduler is told, and what it answers.

use super::route::RouteGroup;
use super::work::WorkClass;
use crate::backend::stable_hash;
use core::num::NonZeroU16;
use core::time::Duration;

/// A tenant, told apart by a hash of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TenantKey(pub(super) u64);

impl TenantKey {
    /// The key of a tenant id.
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self(stable_hash(id.as_bytes()))
    }

    pub(super) fn mixed_with(self, number: u16) -> u64 {
        stable_hash(&(self.0 ^ u64::from(number).rotate_left(40)).to_le_bytes())
    }
}

/// A request that wants a worker.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Whose it is.
    pub tenant: TenantKey,
    /// The tenant's weight against others; 100 is usual.
    pub weight: NonZeroU16,
    /// Workers that the tenant can be served by.
    pub reach: u32,
    /// What it is to the scheduler.
    pub class: WorkClass,
    /// What its time is learnt by.
    pub route: RouteGroup,
    /// Longest wait.
    pub wait_max: Duration,
}

impl Arrival {
    /// Weight of a tenant that has no other.
    pub const WEIGHT_USUAL: NonZeroU16 = match NonZeroU16::new(100) {
        Some(weight) => weight,
        None => NonZeroU16::MIN,
    };
}

/// What becomes of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It has a worker.
    Start(Ticket),
    /// It waits, until an [`Event`] names its ticket.
    Wait(Ticket),
    /// It is refused.
    Refuse(Refusal),
}

/// A request that waits or is served. No two in the life of a scheduler are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(super) place: usize,
    pub(super) serial: u64,
}

/// Why there is no worker for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What is short.
    pub shortage: Shortage,
    /// After which asking again makes sense.
    pub retry_after: Duration,
}

/// What is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shortage {
    /// As many requests of the tenant wait as may.
    TenantQueue,
    /// As many requests wait as may.
    Queue,
    /// It would wait for longer than it may.
    Time,
    /// It has waited for as long as it may.
    Expired,
}

impl Shortage {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::TenantQueue, Self::Queue, Self::Time, Self::Expired];

    /// Name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantQueue => "tenant_queue",
            Self::Queue => "queue",
            Self::Time => "time",
            Self::Expired => "expired",
        }
    }
}

/// What becomes of a request that waited.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<W> {
    /// It has a worker.
    Start {
        /// Which request.
        ticket: Ticket,
        /// What it waits with.
        waiter: Option<W>,
    },
    /// It has waited too long and is forgotten.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// What it waits with.
        waiter: Option<W>,
    },
}

/// How busy a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Workers.
    pub workers: u32,
    /// Workers that are held.
    pub in_service: u32,
    /// Those of them that are held beside the queue.
    pub beside: u32,
    /// Requests that are served and that wait, by [`WorkClass`].
    pub classes: [(u32, u32); 4],
}
