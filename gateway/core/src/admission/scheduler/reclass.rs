//! What a request counts as, once more is known than when it came: at its start, and when it is served for long.

use super::super::cost::Known;
use super::super::work::{WorkClass, micros};
use super::Scheduler;
use core::time::Duration;

impl<W> Scheduler<W> {
    /// Estimates a request that waits once more. Whether it waits in another class now: at the end, as what came in between
    /// was asked for by the same tenant.
    pub(super) fn estimate_again(&mut self, entry: usize) -> bool {
        let Some(request) = self.requests.get_mut(entry) else { return false };
        let Some(place) = request.tenant else { return false };
        let Some(tenant) = self.tenants.get(place) else { return false };
        let expected = self.costs.expect(tenant.key, request.route, request.asked);
        let (before, class) = (request.class, expected.class(request.asked));
        request.cost_us = expected.us;
        request.unproven = expected.known != Known::Own;
        if class == before {
            return false;
        }
        self.unqueue(entry);
        self.ready(place, before);
        if let Some(request) = self.requests.get_mut(entry) {
            request.class = class;
            request.queued_us = expected.us;
            request.turn = self.serial;
            self.serial = self.serial.wrapping_add(1);
        }
        self.enqueue(entry);
        true
    }

    /// Notes that a request begins, which is counted by now.
    pub(super) fn begin(&mut self, entry: usize, now: Duration) {
        let Some(request) = self.requests.get_mut(entry) else { return };
        request.served_since = Some(now);
        if !request.class.is_long() {
            self.short_in_service.push_back(&mut self.requests, entry);
        }
    }

    /// Counts as slow what is served for as long as slow work is by now.
    pub(super) fn pass_time_in_service(&mut self, now: Duration) {
        while let Some(oldest) = self.short_in_service.first() {
            let since = self.requests.get(oldest).and_then(|request| request.served_since);
            let took = now.saturating_sub(since.unwrap_or(now));
            if took < WorkClass::SLOW_FROM {
                break;
            }
            self.turn_slow(oldest, took);
        }
    }

    fn turn_slow(&mut self, entry: usize, took: Duration) {
        self.short_in_service.remove(&mut self.requests, entry);
        let Some(request) = self.requests.get_mut(entry) else { return };
        let (class, charged_us, route) = (request.class, request.cost_us, request.route);
        let cost_us = charged_us.max(micros(took));
        (request.class, request.cost_us) = (WorkClass::Slow, cost_us);
        let Some(place) = request.tenant else { return };
        self.uncharge(place, class, charged_us, 0);
        self.charge_at_once(place, WorkClass::Slow, cost_us);
        let key = self.tenants.get(place).map(|tenant| tenant.key);
        let before_us = key.and_then(|key| self.costs.learn_at_least(key, route, took));
        if let Some(request) = self.requests.get_mut(entry) {
            request.known_before_us = before_us;
        }
        self.unpark(place);
    }
}
