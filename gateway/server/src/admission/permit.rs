//! A request's hold on a worker, and its wait for one.

use super::pool::{PoolAdmission, Told};
use fleetgate_core::admission::{Refusal, Ticket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// The right to one worker of a pool, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    pool: Arc<PoolAdmission>,
    ticket: Ticket,
    used: bool,
}

impl Permit {
    pub(super) fn new(pool: &Arc<PoolAdmission>, ticket: Ticket) -> Self {
        Self { pool: Arc::clone(pool), ticket, used: false }
    }

    /// Gives it up for a worker that answers nobody. That says nothing about how long such requests take, and their tenant
    /// loses none of its part for it.
    pub fn give_up(mut self) {
        self.used = false;
    }

    /// Notes that a worker has it: how long it is held counts from now on.
    pub const fn note_used(&mut self) {
        self.used = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.used {
            self.pool.complete(self.ticket);
        } else {
            self.pool.leave(self.ticket);
        }
    }
}

/// A place in the queue, given up when dropped.
#[derive(Debug)]
pub struct Waiting {
    pool: Arc<PoolAdmission>,
    ticket: Ticket,
    told: oneshot::Receiver<Told>,
    deadline: Instant,
    over: bool,
}

impl Waiting {
    pub(super) fn new(
        pool: &Arc<PoolAdmission>,
        ticket: Ticket,
        told: oneshot::Receiver<Told>,
        wait_max: Duration,
    ) -> Self {
        Self { pool: Arc::clone(pool), ticket, told, deadline: Instant::now() + wait_max, over: false }
    }

    /// Waits for a worker.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn permit(mut self) -> Result<Permit, Refusal> {
        let told = timeout_at(self.deadline, &mut self.told).await;
        self.over = true;
        let refusal = match told {
            Ok(Ok(told)) => told.err(),
            // It may have been served at that very moment.
            Ok(Err(_)) | Err(_) => self.pool.expire(self.ticket),
        };
        refusal.map_or_else(|| Ok(Permit::new(&self.pool, self.ticket)), Err)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.over {
            self.pool.leave(self.ticket);
        }
    }
}
