//! How long a request would wait.

use super::super::arrival::{Refusal, Shortage};
use super::super::flow::WEIGHT_USUAL;
use super::super::work::WorkClass;
use super::tenants::Tenant;
use super::{Request, Scheduler};
use core::time::Duration;

/// Requests that wait in one pool at most.
pub const REQUESTS_WAITING_MAX: u32 = 16_384;
/// Requests that wait for each worker of a pool at most.
const WAITING_PER_WORKER_MAX: u32 = 128;
/// Requests of one tenant and class that may wait in any pool: a browser that opens a page with many pictures asks for
/// all of them at once.
const WAITING_PER_TENANT_MIN: u32 = 128;
/// Requests of one tenant and class that wait for each worker at most.
const WAITING_PER_TENANT_AND_WORKER_MAX: u32 = 4;
/// Shortest and longest time that anybody is told to wait.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Thousandths of a worker, so that shares are whole numbers.
const PARTS: u64 = 1_000;

impl<W> Scheduler<W> {
    /// Why a request may not wait, if so.
    pub(super) fn refusal(&self, place: usize, request: &Request<W>, wait_max: Duration) -> Option<Refusal> {
        let tenant = self.tenants.get(place)?;
        let wait = self.estimated_wait(tenant, request.class, request.queued_us);
        let of_tenant = tenant.reach.min(self.of_pool).saturating_mul(WAITING_PER_TENANT_AND_WORKER_MAX);
        let of_all = self.of_pool.saturating_mul(WAITING_PER_WORKER_MAX);
        let of_all = of_all.clamp(WAITING_PER_TENANT_MIN.saturating_mul(8), REQUESTS_WAITING_MAX);
        let shortage = if tenant.flow(request.class)?.queued >= of_tenant.max(WAITING_PER_TENANT_MIN) {
            Shortage::TenantQueue
        } else if self.queued >= of_all {
            Shortage::Queue
        } else if wait > wait_max {
            Shortage::Time
        } else {
            return None;
        };
        Some(Refusal { shortage, retry_after: told(wait) })
    }

    /// How long a request of a tenant would wait behind those of its own, if everybody who waits goes on to do so.
    ///
    /// That is the time to its end at the tenant's fair share of the workers, as an ideal fair server would take it
    /// (generalised processor sharing), less its own time.
    pub(super) fn estimated_wait(&self, tenant: &Tenant, class: WorkClass, cost_us: u64) -> Duration {
        let share = self.share_of(tenant, class);
        let queued_us = tenant.flow(class).map_or(0, |flow| flow.queued_us);
        let at_share = |us: u64| us.saturating_mul(PARTS).checked_div(share).unwrap_or(u64::MAX);
        let own = if share < PARTS { at_share(cost_us).saturating_sub(cost_us) } else { 0 };
        Duration::from_micros(at_share(queued_us).saturating_add(own))
    }

    /// The tenant's share, in thousandths of a worker.
    fn share_of(&self, tenant: &Tenant, class: WorkClass) -> u64 {
        let mut workers = u64::from(self.of_pool).saturating_mul(PARTS);
        let (mut asking, mut queue_weight) = (0_u64, 0_u64);
        for (other, queue) in self.queues() {
            if other == class || !queue.ready.is_empty() {
                asking = asking.saturating_add(u64::from(other.weight()));
            }
            if other == class {
                queue_weight = queue.ready_weight;
            }
        }
        workers = part(workers, u64::from(class.weight()), asking);
        let own = u64::from(tenant.weight);
        let is_ready = tenant.flow(class).is_some_and(|flow| flow.ready.is_some());
        let all = if is_ready { queue_weight } else { queue_weight.saturating_add(own) };
        let most = u64::from(self.most_of(tenant, class.is_long())).saturating_mul(PARTS);
        part(workers, own, all.max(u64::from(WEIGHT_USUAL.min(tenant.weight)))).min(most)
    }
}

/// A wait as clients are told it.
pub(super) fn told(wait: Duration) -> Duration {
    let (shortest, longest) = RETRY_AFTER;
    wait.clamp(shortest, longest)
}

fn part(of: u64, weight: u64, all: u64) -> u64 {
    of.saturating_mul(weight).checked_div(all.max(weight)).unwrap_or(of)
}
