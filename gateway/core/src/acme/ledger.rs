//! What was ordered lately, against a budget.

use super::moment::Moment;
use core::time::Duration;
use std::collections::VecDeque;

const HOUR: Duration = Duration::from_secs(3_600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Most orders that are remembered. When more were made in a week, the budget per hour alone counts.
const ORDERS_MAX: usize = 50_000;

/// How much may be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Orders in an hour, renewals among them.
    pub orders_per_hour: u16,
    /// Orders in a week for names of one registered domain, without renewals.
    pub orders_per_domain_per_week: u16,
}

/// An order that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// When.
    pub at: Moment,
    /// [Registered domain](super::registered_domain) of its name.
    pub domain: Box<str>,
    /// Whether it was to replace a certificate.
    pub renewal: bool,
}

/// The orders of the last week, oldest first.
#[derive(Debug, Default)]
pub struct Ledger(VecDeque<Ordered>);

impl Ledger {
    /// Takes up what was noted before.
    #[must_use]
    pub fn new(mut orders: Vec<Ordered>) -> Self {
        orders.sort_by_key(|order| order.at);
        Self(orders.into())
    }

    /// When an order may begin: `now`, or a later moment.
    #[must_use]
    pub fn may_order_at(&self, domain: &str, renewal: bool, budget: Budget, now: Moment) -> Moment {
        let any = self.free_at(budget.orders_per_hour, HOUR, now, |_| true);
        let of_domain = |order: &Ordered| !order.renewal && *order.domain == *domain;
        if renewal {
            return any;
        }
        any.max(self.free_at(budget.orders_per_domain_per_week, WEEK, now, of_domain))
    }

    /// When fewer than `max` of some orders lie in the span before.
    fn free_at(&self, max: u16, span: Duration, now: Moment, counts: impl Fn(&Ordered) -> bool) -> Moment {
        let recent = self.0.iter().rev().take_while(|order| now.since(order.at) < span);
        let oldest_that_counts = recent.filter(|order| counts(order)).nth(usize::from(max.max(1)) - 1);
        oldest_that_counts.map_or(now, |order| order.at.after(span).max(now))
    }

    /// Notes an order, and forgets those that no longer count.
    pub fn note(&mut self, order: Ordered) {
        let now = order.at;
        self.0.push_back(order);
        while self.0.len() > ORDERS_MAX || self.0.front().is_some_and(|order| now.since(order.at) >= WEEK) {
            self.0.pop_front();
        }
    }

    /// The orders, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Ordered> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { orders_per_hour: 3, orders_per_domain_per_week: 2 };

    fn order(at: i64, domain: &str, renewal: bool) -> Ordered {
        Ordered { at: Moment(at), domain: domain.into(), renewal }
    }

    fn ledger(orders: &[(i64, &str, bool)]) -> Ledger {
        Ledger::new(orders.iter().map(|(at, domain, renewal)| order(*at, domain, *renewal)).collect())
    }

    #[test]
    fn a_used_up_hour_waits_for_its_oldest_order_to_pass() {
        let used = ledger(&[(100, "a.test", true), (200, "b.test", true), (300, "c.test", true)]);
        assert_eq!(used.may_order_at("d.test", false, BUDGET, Moment(400)), Moment(3_700));
        assert_eq!(used.may_order_at("d.test", true, BUDGET, Moment(400)), Moment(3_700));
        assert_eq!(used.may_order_at("d.test", false, BUDGET, Moment(3_700)), Moment(3_700));
    }

    #[test]
    fn one_domain_cannot_use_up_the_week_of_another_and_renewals_pass() {
        let used = ledger(&[(0, "a.test", false), (4_000, "a.test", false), (8_000, "b.test", true)]);
        let now = Moment(20_000);
        assert_eq!(used.may_order_at("a.test", false, BUDGET, now), Moment(604_800));
        assert_eq!(used.may_order_at("a.test", true, BUDGET, now), now);
        assert_eq!(used.may_order_at("b.test", false, BUDGET, now), now);
    }

    #[test]
    fn what_no_longer_counts_is_forgotten() {
        let mut ledger = Ledger::default();
        ledger.note(order(0, "a.test", false));
        ledger.note(order(604_799, "b.test", false));
        assert_eq!(ledger.iter().count(), 2);
        ledger.note(order(604_800, "c.test", false));
        assert_eq!(ledger.iter().count(), 2);
        for at in 0..60_000 {
            ledger.note(order(604_800, &at.to_string(), false));
        }
        assert_eq!(ledger.iter().count(), ORDERS_MAX);
    }
}
