//! The scheduler of one pool.

mod estimate;
mod queueing;
mod reclass;
mod tenants;

#[cfg(test)]
mod audit;

pub use estimate::REQUESTS_WAITING_MAX;

use super::arrival::{Arrival, Decision, Event, Load, Refusal, Shortage, TenantKey, Ticket};
use super::cost::{Costs, Known};
use super::flow::ClassQueue;
use super::route::RouteGroup;
use super::slab::{Link, Linked, List, Slab};
use super::work::{WorkClass, micros};
use core::time::Duration;
use estimate::told;
use rustc_hash::FxHashMap;
use tenants::Tenant;

/// Requests beside the queue at once.
const BESIDE_MAX: u32 = 32;

/// A request that waits or is served.
#[derive(Debug)]
struct Request<W> {
    serial: u64,
    /// `None` beside the queue.
    tenant: Option<usize>,
    /// What it was when it came, before its time counted.
    asked: WorkClass,
    class: WorkClass,
    route: RouteGroup,
    /// What it is charged with.
    cost_us: u64,
    /// Whether its tenant was never served on its route.
    unproven: bool,
    /// Place in the order of its queue.
    turn: u64,
    /// Its part of [`Flow::queued_us`].
    queued_us: u64,
    deadline: Duration,
    /// `None` while it waits.
    served_since: Option<Duration>,
    /// What was known of its tenant on its route, in microseconds, before this one was found slow.
    known_before_us: Option<u32>,
    waiter: Option<W>,
    link: Link,
}

impl<W> Linked for Request<W> {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}

/// Decides whom the workers of one pool serve. Times count from any moment, the same for all calls.
///
/// After each call that changes anything, [`Scheduler::next`] says what follows, until it says nothing.
#[derive(Debug)]
pub struct Scheduler<W> {
    workers: u32,
    /// Workers that the pool has, of which others may hold some now.
    of_pool: u32,
    in_service: u32,
    beside: u32,
    long_in_service: u32,
    /// Whether long work was held back a moment ago.
    long_was_full: bool,
    queued: u32,
    serial: u64,
    virtual_time: u64,
    queues: [ClassQueue; 4],
    tenants: Slab<Tenant>,
    by_key: FxHashMap<TenantKey, usize>,
    busy: List,
    /// Oldest first.
    idle: List,
    idle_tenants: usize,
    /// Until when long work counts the others as there. `None` when they are, or were not for long enough.
    shared_until: Option<Duration>,
    /// What is served and does not count as long, oldest first.
    short_in_service: List,
    requests: Slab<Request<W>>,
    costs: Costs,
}

impl<W> Scheduler<W> {
    /// A scheduler for so many workers.
    #[must_use]
    pub fn new(workers: u32) -> Self {
        Self {
            workers,
            of_pool: workers,
            in_service: 0,
            beside: 0,
            long_in_service: 0,
            long_was_full: false,
            queued: 0,
            serial: 0,
            virtual_time: 0,
            queues: Default::default(),
            tenants: Slab::default(),
            by_key: FxHashMap::default(),
            busy: List::default(),
            idle: List::default(),
            idle_tenants: 0,
            shared_until: None,
            short_in_service: List::default(),
            requests: Slab::default(),
            costs: Costs::new(workers),
        }
    }

    /// Workers that there are.
    #[must_use]
    pub const fn workers(&self) -> u32 {
        self.workers
    }

    /// Requests that wait.
    #[must_use]
    pub const fn waiting(&self) -> u32 {
        self.queued
    }

    /// How busy the pool is.
    #[must_use]
    pub fn load(&self) -> Load {
        let classes = WorkClass::ALL.map(|class| {
            let queue = self.queues.get(class.position());
            queue.map_or((0, 0), |queue| (queue.serving, queue.queued))
        });
        Load { workers: self.workers, in_service: self.in_service, beside: self.beside, classes }
    }

    /// A request arrives.
    pub fn arrive(&mut self, arrival: &Arrival, now: Duration) -> Decision {
        self.pass_time(now);
        let expected = self.costs.expect(arrival.tenant, arrival.route, arrival.class);
        let class = expected.class(arrival.class);
        let unproven = expected.known != Known::Own;
        let place = self.tenant(arrival);
        let mean_us = self.queues.get(class.position()).map_or(0, |queue| queue.mean_us);
        let request = Request {
            serial: self.serial,
            tenant: Some(place),
            asked: arrival.class,
            class,
            route: arrival.route,
            cost_us: expected.us,
            unproven,
            turn: self.serial,
            queued_us: if expected.known == Known::Own { expected.us } else { mean_us },
            deadline: now.saturating_add(arrival.wait_max),
            served_since: None,
            known_before_us: None,
            waiter: None,
            link: Link::default(),
        };
        if self.may_start_at_once(place, class, unproven) {
            self.charge_at_once(place, class, expected.us);
            let ticket = self.insert(request);
            self.begin(ticket.place, now);
            return Decision::Start(ticket);
        }
        if let Some(refusal) = self.refusal(place, &request, arrival.wait_max) {
            self.settle(place, now);
            return Decision::Refuse(refusal);
        }
        let ticket = self.insert(request);
        self.enqueue(ticket.place);
        Decision::Wait(ticket)
    }

    /// Says how a request that waits is told of its end.
    pub fn attach(&mut self, ticket: Ticket, waiter: W) {
        if let Some(request) = self.requests.get_mut(ticket.place)
            && request.serial == ticket.serial
        {
            request.waiter = Some(waiter);
        }
    }

    /// A request that Odoo itself needs to end another one is served beside the queue, unless too many are.
    pub fn arrive_beside(&mut self, route: RouteGroup, now: Duration) -> Option<Ticket> {
        if self.beside >= BESIDE_MAX {
            return None;
        }
        self.beside = self.beside.saturating_add(1);
        self.in_service = self.in_service.saturating_add(1);
        Some(self.insert(Request {
            serial: self.serial,
            tenant: None,
            asked: WorkClass::Interactive,
            class: WorkClass::Interactive,
            route,
            cost_us: 0,
            unproven: false,
            turn: self.serial,
            queued_us: 0,
            deadline: now,
            served_since: Some(now),
            known_before_us: None,
            waiter: None,
            link: Link::default(),
        }))
    }

    /// A worker has done what a request asked for, and is free.
    pub fn complete(&mut self, ticket: Ticket, now: Duration) {
        self.give_back(ticket, now, true);
    }

    /// A request is not wanted any more: it leaves the queue, or gives back a worker that it did not use. How long it had that
    /// one says nothing about the request.
    pub fn leave(&mut self, ticket: Ticket, now: Duration) {
        let waits = self.request(ticket).is_some_and(|request| request.served_since.is_none());
        if !waits {
            self.give_back(ticket, now, false);
            return;
        }
        self.pass_time(now);
        if let Some(place) = self.take_out(ticket.place) {
            self.settle(place, now);
        }
    }

    /// Gives up a request that has waited for as long as it may. `None` when it is served by now.
    pub fn expire(&mut self, ticket: Ticket, now: Duration) -> Option<Refusal> {
        self.pass_time(now);
        let mut refusal = Refusal { shortage: Shortage::Expired, retry_after: told(Duration::ZERO) };
        let Some(request) = self.request(ticket) else { return Some(refusal) };
        if request.served_since.is_some() {
            return None;
        }
        if let Some(tenant) = request.tenant.and_then(|place| self.tenants.get(place)) {
            refusal.retry_after = told(self.estimated_wait(tenant, request.class, request.queued_us));
        }
        if let Some(place) = self.take_out(ticket.place) {
            self.settle(place, now);
        }
        Some(refusal)
    }

    /// Workers that the pool has.
    #[must_use]
    pub const fn of_pool(&self) -> u32 {
        self.of_pool
    }

    /// The number of workers is another. What is served goes on.
    pub fn set_workers(&mut self, workers: u32) {
        self.set_part(workers, workers);
    }

    /// There are so many workers of those that the pool has; more may come, so waits are judged by what the pool has. What is
    /// served goes on.
    pub fn set_part(&mut self, workers: u32, of_pool: u32) {
        self.workers = workers;
        self.of_pool = of_pool;
        let mut next = self.busy.first();
        while let Some(place) = next {
            next = List::after(&mut self.tenants, place);
            self.unpark(place);
        }
    }

    /// What follows from what has happened; to be asked until there is nothing, and from time to time while requests
    /// wait.
    pub fn next(&mut self, now: Duration) -> Option<Event<W>> {
        self.pass_time(now);
        let (class, place, first) = loop {
            let (class, (_, _, place)) = self.choose()?;
            let first = self.tenants.get(place)?.flow(class)?.waiting.first()?;
            let request = self.requests.get_mut(first)?;
            if request.deadline <= now {
                let (waiter, serial) = (request.waiter.take(), request.serial);
                let refusal = self.expire(Ticket { place: first, serial }, now)?;
                return Some(Event::Refuse { refusal, waiter });
            }
            // What is known by now may put it elsewhere, once: nothing is learnt meanwhile.
            if !self.estimate_again(first) {
                break (class, place, first);
            }
        };
        let cost_us = self.requests.get(first)?.cost_us;
        self.unqueue(first);
        self.charge(place, class, cost_us);
        self.ready(place, class);
        self.begin(first, now);
        let request = self.requests.get_mut(first)?;
        let ticket = Ticket { place: first, serial: request.serial };
        Some(Event::Start { ticket, waiter: request.waiter.take() })
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = (WorkClass, &ClassQueue)> {
        WorkClass::ALL.into_iter().zip(&self.queues)
    }

    fn request(&self, ticket: Ticket) -> Option<&Request<W>> {
        self.requests.get(ticket.place).filter(|request| request.serial == ticket.serial)
    }

    fn insert(&mut self, request: Request<W>) -> Ticket {
        let serial = request.serial;
        self.serial = self.serial.wrapping_add(1);
        Ticket { place: self.requests.insert(request), serial }
    }

    fn give_back(&mut self, ticket: Ticket, now: Duration, served: bool) {
        self.pass_time(now);
        let Some(since) = self.request(ticket).and_then(|request| request.served_since) else { return };
        if self.request(ticket).is_some_and(|request| request.tenant.is_some() && !request.class.is_long()) {
            self.short_in_service.remove(&mut self.requests, ticket.place);
        }
        let Some(request) = self.requests.remove(ticket.place) else { return };
        let Some(place) = request.tenant else {
            self.in_service = self.in_service.saturating_sub(1);
            self.beside = self.beside.saturating_sub(1);
            return;
        };
        let took = if served { now.saturating_sub(since) } else { Duration::ZERO };
        self.uncharge(place, request.class, request.cost_us, micros(took));
        if served {
            if let Some(queue) = self.queues.get_mut(request.class.position()) {
                queue.note_served(micros(took));
            }
            if let Some(tenant) = self.tenants.get(place) {
                self.costs.learn(tenant.key, request.route, took);
            }
        } else if let (Some(tenant), Some(before_us)) = (self.tenants.get(place), request.known_before_us) {
            self.costs.unlearn(tenant.key, request.route, before_us);
        }
        self.unpark(place);
        self.settle(place, now);
        if self.in_service == 0 && self.queued == 0 {
            let latest = self.queues.iter().map(|queue| queue.start).max().unwrap_or(0);
            self.virtual_time = self.virtual_time.max(latest);
            self.queues.iter_mut().for_each(ClassQueue::forgive);
        }
    }
}
