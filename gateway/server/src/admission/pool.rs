//! The workers of one pool.

use super::permit::{Permit, Waiting};
use fleetgate_core::admission::{Arrival, Decision, Event, Load, Refusal, RouteGroup, Scheduler, Ticket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What a request that waits is told.
pub(super) type Told = Result<(), Refusal>;

/// Who is served by the workers of a pool, and who waits for them. It outlives snapshots.
#[derive(Debug)]
pub struct PoolAdmission {
    born: Instant,
    /// Workers that the pool has.
    whole: AtomicU32,
    /// Of them, those that this node may use.
    leased: AtomicU32,
    /// Workers beside those of the pool that are still at work for this node.
    apart: AtomicU32,
    scheduler: Mutex<Scheduler<oneshot::Sender<Told>>>,
}

/// What becomes of a request that asks for a worker.
#[derive(Debug)]
pub enum Asked {
    /// It has one.
    Permit(Permit),
    /// It waits for one.
    Waiting(Waiting),
    /// It gets none.
    Refused(Refusal),
}

impl PoolAdmission {
    /// So many workers, all of them free.
    #[must_use]
    pub fn new(workers: u32) -> Self {
        Self {
            born: Instant::now(),
            whole: AtomicU32::new(workers),
            leased: AtomicU32::new(u32::MAX),
            apart: AtomicU32::new(0),
            scheduler: Mutex::new(Scheduler::new(workers)),
        }
    }

    /// Asks for a worker.
    #[must_use]
    pub fn ask(self: &Arc<Self>, arrival: &Arrival) -> Asked {
        self.with(|scheduler, now| match scheduler.arrive(arrival, now) {
            Decision::Start(ticket) => Asked::Permit(Permit::new(self, ticket)),
            Decision::Wait(ticket) => {
                let (tell, told) = oneshot::channel();
                scheduler.attach(ticket, tell);
                Asked::Waiting(Waiting::new(self, ticket, told, arrival.wait_max))
            }
            Decision::Refuse(refusal) => Asked::Refused(refusal),
        })
    }

    /// Asks for a worker beside the queue, for what Odoo needs to end another request. `None` when too many have one.
    #[must_use]
    pub fn ask_beside(self: &Arc<Self>, route: RouteGroup) -> Option<Permit> {
        let ticket = self.with(|scheduler, now| scheduler.arrive_beside(route, now))?;
        Some(Permit::new(self, ticket))
    }

    /// Notes how many workers there are now, and that time has passed. Beside them, `apart` are at backends that get nothing
    /// new, and still hold permits of this node: those are none of the others'.
    pub fn refresh(&self, workers: u32, apart: u32) {
        self.whole.store(workers, Ordering::Release);
        self.apart.store(apart, Ordering::Release);
        let part = self.leased.load(Ordering::Acquire).min(workers).saturating_add(apart);
        let of_pool = workers.saturating_add(apart);
        self.with(|scheduler, _| {
            if (scheduler.workers(), scheduler.of_pool()) != (part, of_pool) {
                scheduler.set_part(part, of_pool);
            }
        });
    }

    /// Workers that are at work for this node at backends that get nothing new.
    #[must_use]
    pub fn apart(&self) -> u32 {
        self.apart.load(Ordering::Acquire)
    }

    /// Workers that the pool has, for all nodes together.
    #[must_use]
    pub fn whole(&self) -> u32 {
        self.whole.load(Ordering::Acquire)
    }

    /// This node may use so many of them. What is served goes on.
    pub fn lease(&self, workers: u32) {
        self.leased.store(workers, Ordering::Release);
        self.refresh(self.whole(), self.apart());
    }

    /// How busy the pool is.
    #[must_use]
    pub fn load(&self) -> Load {
        self.lock().load()
    }

    pub(super) fn complete(&self, ticket: Ticket) {
        self.with(|scheduler, now| scheduler.complete(ticket, now));
    }

    pub(super) fn leave(&self, ticket: Ticket) {
        self.with(|scheduler, now| scheduler.leave(ticket, now));
    }

    /// Gives up a request that has waited for too long. `None` when it is served by now.
    pub(super) fn expire(&self, ticket: Ticket) -> Option<Refusal> {
        self.with(|scheduler, now| scheduler.expire(ticket, now))
    }

    /// Does something with the scheduler and tells those who wait what follows.
    fn with<R>(&self, act: impl FnOnce(&mut Scheduler<oneshot::Sender<Told>>, Duration) -> R) -> R {
        let mut scheduler = self.lock();
        let now = self.born.elapsed();
        let result = act(&mut scheduler, now);
        while let Some(event) = scheduler.next(now) {
            match event {
                Event::Start { ticket, waiter } => {
                    let heard = waiter.is_some_and(|waiter| waiter.send(Ok(())).is_ok());
                    if !heard {
                        scheduler.leave(ticket, now);
                    }
                }
                Event::Refuse { refusal, waiter } => {
                    // Whoever is not there any more needs no answer.
                    let _heard = waiter.map(|waiter| waiter.send(Err(refusal)));
                }
            }
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Scheduler<oneshot::Sender<Told>>> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
