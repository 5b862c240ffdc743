//! What must hold after every step, counted again from the entries themselves.

use super::super::share::Shares;
use super::super::slab::List;
use super::super::work::WorkClass;
use super::{Scheduler, tenants::Tenant};

impl<W> Scheduler<W> {
    /// Panics when a count is wrong, or when a worker is idle that somebody who waits may have.
    pub(in super::super) fn audit(&mut self) {
        let (busy, idle) = (self.places(self.busy), self.places(self.idle));
        assert_eq!(busy.len() + idle.len(), self.tenants.len());
        assert_eq!((idle.len(), self.by_key.len()), (self.idle_tenants, self.tenants.len()));
        let (mut in_service, mut queued, mut long) = (self.beside, 0, 0);
        for queue in &self.queues {
            assert_eq!(
                u64::try_from(queue.ready.len()).unwrap() > 0,
                queue.ready_weight > 0,
                "weights of those that are ready"
            );
        }
        for (class, queue) in WorkClass::ALL.into_iter().zip(&self.queues) {
            long += if class.is_long() { queue.serving } else { 0 };
            let flows = busy.iter().map(|&place| self.tenants.get(place).unwrap());
            assert_eq!(queue.queued, flows.map(|tenant| tenant.flow(class).unwrap().queued).sum::<u32>());
        }
        assert_eq!(long, self.long_in_service);
        for place in idle {
            let tenant = self.tenants.get(place).unwrap();
            assert!(tenant.in_service == 0 && tenant.queued == 0 && tenant.idle_since.is_some());
        }
        for place in busy {
            let tenant = self.tenants.get(place).unwrap();
            assert!(tenant.in_service + tenant.queued > 0 && tenant.idle_since.is_none());
            in_service += tenant.in_service;
            queued += tenant.queued;
            for class in WorkClass::ALL {
                self.audit_flow(place, class);
            }
        }
        assert_eq!((in_service, queued), (self.in_service, self.queued));
        assert_eq!(self.requests.len(), usize::try_from(in_service + queued).unwrap());
    }

    pub(in super::super) fn tenants_known(&self) -> usize {
        self.tenants.len()
    }

    fn places(&mut self, list: List) -> Vec<usize> {
        let mut places = Vec::new();
        let mut next = list.first();
        while let Some(place) = next {
            places.push(place);
            next = List::after(&mut self.tenants, place);
        }
        places
    }

    fn audit_flow(&mut self, place: usize, class: WorkClass) {
        let waiting = self.tenants.get(place).unwrap().flow(class).unwrap().waiting;
        let (mut waiting_serials, mut turns) = (Vec::new(), Vec::new());
        let mut next = waiting.first();
        while let Some(entry) = next {
            let request = self.requests.get(entry).unwrap();
            waiting_serials.push(request.serial);
            turns.push(request.turn);
            next = List::after(&mut self.requests, entry);
        }
        assert!(turns.is_sorted(), "first in, first out");
        let tenant = self.tenants.get(place).unwrap();
        let flow = tenant.flow(class).unwrap();
        assert_eq!(usize::try_from(flow.queued).unwrap(), waiting_serials.len());
        assert_eq!(
            flow.ready.is_some(),
            self.queues[class.position()].ready.contains(&(
                flow.start,
                waiting_serials.first().copied().unwrap_or(u64::MAX),
                place
            ))
        );
        let idle_worker = self.in_service < self.workers;
        assert!(
            flow.queued == 0
                || !idle_worker
                || !self.is_allowed_another(tenant, class, self.next_is_long(place, class)),
            "a worker is idle while a request waits that may have it"
        );
    }

    fn is_allowed_another(&self, tenant: &Tenant, class: WorkClass, careful: bool) -> bool {
        let alone = self.tenants.len() == 1;
        let long_alone = alone && self.shared_until.is_none();
        let of_tenant = Shares::of(tenant.reach.min(self.workers))
            .of_tenant(careful, if careful { long_alone } else { alone });
        let of_long = Shares::of(self.workers).of_long_work(long_alone);
        tenant.in_service < of_tenant && !(class.is_long() && self.long_in_service >= of_long)
    }
}
