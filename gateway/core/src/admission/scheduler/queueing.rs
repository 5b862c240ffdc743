//! Who waits, who may be served, and who is served next.

use super::super::flow::{ReadyKey, corrected, virtual_us};
use super::super::share::Shares;
use super::super::work::WorkClass;
use super::Scheduler;
use super::tenants::Tenant;

/// Virtual time that a tenant may be behind after it held its share.
const CREDIT_US: u64 = 5_000_000;

impl<W> Scheduler<W> {
    /// Workers that a tenant may hold when it starts something that is long, or may be.
    pub(super) fn most_of(&self, tenant: &Tenant, long: bool) -> u32 {
        Shares::of(tenant.reach.min(self.workers)).of_tenant(long, self.is_quiet(long))
    }

    /// Whether no more than one tenant is there. To long work the others are for longer: they may well come again before
    /// it ends.
    pub(super) fn is_quiet(&self, long: bool) -> bool {
        self.tenants.len() <= 1 && !(long && self.shared_until.is_some())
    }

    fn long_work_is_full(&self) -> bool {
        self.long_in_service >= Shares::of(self.workers).of_long_work(self.is_quiet(true))
    }

    /// Whether a tenant may hold another worker.
    fn may_serve(&self, place: usize, long: bool) -> bool {
        self.tenants.get(place).is_some_and(|tenant| tenant.in_service < self.most_of(tenant, long))
    }

    /// Whether what a flow wants next is long, or may be because its tenant was never served on its
    /// route.
    pub(super) fn next_is_long(&self, place: usize, class: WorkClass) -> bool {
        let flow = self.tenants.get(place).and_then(|tenant| tenant.flow(class));
        let next = flow.and_then(|flow| flow.waiting.first()).and_then(|first| self.requests.get(first));
        class.is_long() || next.is_some_and(|next| next.unproven)
    }

    /// Whether a worker is free that nobody who waits may have.
    pub(super) fn may_start_at_once(&self, place: usize, class: WorkClass, unproven: bool) -> bool {
        let long_full = self.long_work_is_full();
        let nobody_before =
            self.queues().all(|(other, queue)| queue.ready.is_empty() || (other.is_long() && long_full));
        self.in_service < self.workers
            && nobody_before
            && !(class.is_long() && long_full)
            && self.tenants.get(place).and_then(|tenant| tenant.flow(class)).is_some_and(|f| f.queued == 0)
            && self.may_serve(place, class.is_long() || unproven)
    }

    pub(super) fn enqueue(&mut self, entry: usize) {
        let Some(request) = self.requests.get(entry) else { return };
        let (class, queued_us, Some(place)) = (request.class, request.queued_us, request.tenant) else {
            return;
        };
        let Some(tenant) = self.tenants.get_mut(place) else { return };
        tenant.queued = tenant.queued.saturating_add(1);
        let mut first = false;
        if let Some(flow) = tenant.flows.get_mut(class.position()) {
            first = flow.queued == 0;
            flow.waiting.push_back(&mut self.requests, entry);
            flow.queued = flow.queued.saturating_add(1);
            flow.queued_us = flow.queued_us.saturating_add(queued_us);
        }
        if let Some(queue) = self.queues.get_mut(class.position()) {
            queue.queued = queue.queued.saturating_add(1);
        }
        self.queued = self.queued.saturating_add(1);
        self.place(place, class, first);
    }

    /// Takes a request out of its queue; it is still known. The flow has to be looked at again.
    pub(super) fn unqueue(&mut self, entry: usize) {
        let Some(request) = self.requests.get(entry) else { return };
        let (class, queued_us, Some(place)) = (request.class, request.queued_us, request.tenant) else {
            return;
        };
        let Some(tenant) = self.tenants.get_mut(place) else { return };
        tenant.queued = tenant.queued.saturating_sub(1);
        if let Some(flow) = tenant.flows.get_mut(class.position()) {
            flow.waiting.remove(&mut self.requests, entry);
            flow.queued = flow.queued.saturating_sub(1);
            flow.queued_us = flow.queued_us.saturating_sub(queued_us);
        }
        if let Some(queue) = self.queues.get_mut(class.position()) {
            queue.queued = queue.queued.saturating_sub(1);
        }
        self.queued = self.queued.saturating_sub(1);
    }

    /// Forgets a request that waits; says whose it was.
    pub(super) fn take_out(&mut self, entry: usize) -> Option<usize> {
        self.unqueue(entry);
        let request = self.requests.remove(entry)?;
        let place = request.tenant?;
        self.ready(place, request.class);
        Some(place)
    }

    /// Puts a flow where it belongs: among those that may be served, or not. `arrived` is for a flow that had nothing
    /// waiting.
    fn place(&mut self, place: usize, class: WorkClass, arrived: bool) {
        let may = self.may_serve(place, self.next_is_long(place, class));
        let Some(queue) = self.queues.get_mut(class.position()) else { return };
        let Some(tenant) = self.tenants.get_mut(place) else { return };
        let Some(flow) = tenant.flows.get_mut(class.position()) else { return };
        let was_ready = flow.ready.take();
        if let Some(key) = was_ready {
            queue.ready.remove(&key);
            queue.ready_weight = queue.ready_weight.saturating_sub(u64::from(tenant.weight));
        }
        let first = flow.waiting.first().and_then(|first| self.requests.get(first));
        let Some(first) = first.filter(|_| may) else { return };
        if was_ready.is_none() {
            // Who was idle has no credit. Who held its share and had more waiting has some: it may be behind only because
            // none of its requests had ended.
            let credit = if arrived { 0 } else { CREDIT_US };
            flow.start = flow.start.max(queue.virtual_time.saturating_sub(credit));
        }
        if queue.ready.is_empty() && was_ready.is_none() {
            queue.start = queue.start.max(self.virtual_time);
        }
        let key = (flow.start, first.serial, place);
        flow.ready = Some(key);
        queue.ready.insert(key);
        queue.ready_weight = queue.ready_weight.saturating_add(u64::from(tenant.weight));
    }

    /// Looks again whether a flow may be served.
    pub(super) fn ready(&mut self, place: usize, class: WorkClass) {
        self.place(place, class, false);
    }

    /// Looks again at what a tenant has waiting.
    pub(super) fn unpark(&mut self, place: usize) {
        for class in WorkClass::ALL {
            let flow = self.tenants.get(place).and_then(|tenant| tenant.flow(class));
            if flow.is_some_and(|flow| flow.queued > 0) {
                self.ready(place, class);
            }
        }
    }

    /// The flow that is served next, if there is a worker for it.
    pub(super) fn choose(&mut self) -> Option<(WorkClass, ReadyKey)> {
        if self.in_service >= self.workers {
            return None;
        }
        let long_full = self.long_work_is_full();
        if core::mem::replace(&mut self.long_was_full, long_full) && !long_full {
            let long = self.queues.iter_mut().zip(WorkClass::ALL).filter(|(_, class)| class.is_long());
            long.for_each(|(queue, _)| queue.start = queue.start.max(self.virtual_time));
        }
        loop {
            let served = self.queues().filter(|(class, _)| !(class.is_long() && long_full));
            let waiting =
                served.filter_map(|(class, queue)| Some((queue.start, class, queue.ready.first()?)));
            let (_, class, &key) = waiting.min_by_key(|(start, class, _)| (*start, class.position()))?;
            let (_, _, place) = key;
            if self.may_serve(place, self.next_is_long(place, class)) {
                return Some((class, key));
            }
            // Others came, and its share became smaller.
            self.ready(place, class);
        }
    }

    /// Counts and charges a request that begins without having waited: for the time before, nobody has credit.
    pub(super) fn charge_at_once(&mut self, place: usize, class: WorkClass, cost_us: u64) {
        if let Some(queue) = self.queues.get_mut(class.position()) {
            queue.start = queue.start.max(self.virtual_time);
            let flow = self.tenants.get_mut(place).and_then(|tenant| tenant.flows.get_mut(class.position()));
            if let Some(flow) = flow {
                flow.start = flow.start.max(queue.virtual_time);
            }
        }
        self.charge(place, class, cost_us);
    }

    /// Counts and charges a request that begins.
    pub(super) fn charge(&mut self, place: usize, class: WorkClass, cost_us: u64) {
        self.in_service = self.in_service.saturating_add(1);
        if class.is_long() {
            self.long_in_service = self.long_in_service.saturating_add(1);
        }
        let Some(queue) = self.queues.get_mut(class.position()) else { return };
        queue.serving = queue.serving.saturating_add(1);
        self.virtual_time = self.virtual_time.max(queue.start);
        queue.start = queue.start.saturating_add(virtual_us(cost_us, class.weight()));
        let Some(tenant) = self.tenants.get_mut(place) else { return };
        tenant.in_service = tenant.in_service.saturating_add(1);
        let weight = tenant.weight;
        if let Some(flow) = tenant.flows.get_mut(class.position()) {
            queue.charge(flow, cost_us, weight);
        }
    }

    /// Takes back what [`Self::charge`] counted; what the request took stays charged.
    pub(super) fn uncharge(&mut self, place: usize, class: WorkClass, charged_us: u64, took_us: u64) {
        self.in_service = self.in_service.saturating_sub(1);
        if class.is_long() {
            self.long_in_service = self.long_in_service.saturating_sub(1);
        }
        let Some(queue) = self.queues.get_mut(class.position()) else { return };
        queue.serving = queue.serving.saturating_sub(1);
        let [charged, took] = [charged_us, took_us].map(|us| virtual_us(us, class.weight()));
        queue.start = corrected(queue.start, charged, took);
        let Some(tenant) = self.tenants.get_mut(place) else { return };
        tenant.in_service = tenant.in_service.saturating_sub(1);
        let weight = tenant.weight;
        if let Some(flow) = tenant.flows.get_mut(class.position()) {
            queue.correct(flow, charged_us, took_us, weight);
        }
    }
}
