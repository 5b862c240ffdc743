//! The tenants that are there, and those that were a moment ago.

use super::super::arrival::{Arrival, TenantKey};
use super::super::flow::{Flow, WEIGHT_USUAL};
use super::super::slab::{Link, Linked};
use super::super::work::WorkClass;
use super::Scheduler;
use core::time::Duration;

/// For how long a tenant still counts as there when it has asked for nothing more.
const THERE_FOR: Duration = Duration::from_secs(2);
/// The same to long work.
const THERE_FOR_LONG: Duration = Duration::from_secs(10);
/// Tenants that are remembered though they ask for nothing.
const IDLE_TENANTS_MAX: usize = 1_024;

/// A tenant that asks, or asked a moment ago.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) key: TenantKey,
    pub(super) weight: u16,
    /// Workers that it can be served by.
    pub(super) reach: u32,
    pub(super) in_service: u32,
    pub(super) queued: u32,
    /// `None` while it has requests.
    pub(super) idle_since: Option<Duration>,
    link: Link,
    pub(super) flows: [Flow; 4],
}

impl Tenant {
    pub(super) fn flow(&self, class: WorkClass) -> Option<&Flow> {
        self.flows.get(class.position())
    }
}

impl Linked for Tenant {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}

impl<W> Scheduler<W> {
    /// The tenant of an arrival, which is there from now on.
    pub(super) fn tenant(&mut self, arrival: &Arrival) -> usize {
        let place = match self.by_key.get(&arrival.tenant) {
            Some(&place) => place,
            None => {
                let place = self.tenants.insert(Tenant {
                    key: arrival.tenant,
                    weight: WEIGHT_USUAL,
                    reach: 0,
                    in_service: 0,
                    queued: 0,
                    idle_since: None,
                    link: Link::default(),
                    flows: Default::default(),
                });
                self.by_key.insert(arrival.tenant, place);
                self.busy.push_back(&mut self.tenants, place);
                place
            }
        };
        if let Some(tenant) = self.tenants.get_mut(place) {
            if tenant.flows.iter().all(|flow| flow.ready.is_none()) {
                tenant.weight = arrival.weight.get();
            }
            tenant.reach = arrival.reach;
            if tenant.idle_since.take().is_some() {
                self.idle.remove(&mut self.tenants, place);
                self.idle_tenants = self.idle_tenants.saturating_sub(1);
                self.busy.push_back(&mut self.tenants, place);
            }
        }
        place
    }

    /// Notes that a tenant has nothing to ask for, if that is so.
    pub(super) fn settle(&mut self, place: usize, now: Duration) {
        let Some(tenant) = self.tenants.get_mut(place) else { return };
        if tenant.in_service > 0 || tenant.queued > 0 || tenant.idle_since.is_some() {
            return;
        }
        tenant.idle_since = Some(now);
        self.busy.remove(&mut self.tenants, place);
        self.idle.push_back(&mut self.tenants, place);
        self.idle_tenants = self.idle_tenants.saturating_add(1);
        if self.idle_tenants > IDLE_TENANTS_MAX {
            self.forget_oldest();
        }
    }

    /// Notes what follows from time alone: tenants are not there any more, and what is served takes long.
    pub(super) fn pass_time(&mut self, now: Duration) {
        self.pass_time_in_service(now);
        while let Some(tenant) = self.idle.first().and_then(|oldest| self.tenants.get(oldest)) {
            let gone = tenant.idle_since.is_none_or(|since| now >= since.saturating_add(THERE_FOR));
            if !gone {
                break;
            }
            self.forget_oldest();
        }
        if self.shared_until.is_some_and(|until| now >= until) {
            self.shared_until = None;
            self.unpark_last();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.idle.first() else { return };
        self.idle.remove(&mut self.tenants, oldest);
        self.idle_tenants = self.idle_tenants.saturating_sub(1);
        if let Some(tenant) = self.tenants.remove(oldest) {
            self.by_key.remove(&tenant.key);
            if self.tenants.len() > 0 {
                self.shared_until = tenant.idle_since.map(|since| since.saturating_add(THERE_FOR_LONG));
            }
        }
        self.unpark_last();
    }

    /// Whoever is left, if it is one, may hold more.
    fn unpark_last(&mut self) {
        if self.is_quiet(false)
            && let Some(last) = self.busy.first()
        {
            self.unpark(last);
        }
    }
}
