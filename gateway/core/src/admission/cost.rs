//! How long a request is expected to hold a worker.

use super::arrival::TenantKey;
use super::route::RouteGroup;

use super::work::{WorkClass, micros};
use core::time::Duration;

/// Weight of the newest time of a tenant's route: one part in so many.
const TENANT_PARTS: u32 = 4;
/// The same for a route of all tenants.
const ROUTE_PARTS: u32 = 16;
/// Routes of tenants that are remembered for each worker of the pool.
const REMEMBERED_PER_WORKER: usize = 256;
/// Routes of tenants that are remembered at most: 192 KiB.
const REMEMBERED_MAX: usize = 16_384;

/// Means of times, of one pool. The memory is set when it is made: where two routes meet in one place, the one that was
/// served last is remembered.
#[derive(Debug)]
pub(super) struct Costs {
    tenants: Vec<Remembered>,
    routes: Vec<Mean>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Remembered {
    /// What tells this route of a tenant from others with the same place; never 0 once used.
    tag: u32,
    mean: Mean,
}

/// A time that is expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Microseconds.
    pub(super) us: u64,
    /// From whom it is known.
    pub(super) known: Known,
}

/// From whom a time is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// From the tenant itself.
    Own,
    /// From other tenants.
    Others,
    /// Nobody was served on that route: it is a guess.
    Guess,
}

impl Expected {
    /// What a request that was asked for as a class counts as. A guess makes nothing slow, so that it is learnt.
    pub(super) fn class(self, asked: WorkClass) -> WorkClass {
        if self.known == Known::Guess { asked } else { asked.with_cost(self.us) }
    }
}

/// A mean that follows, and how far times are from it.
#[derive(Debug, Default, Clone, Copy)]
struct Mean {
    us: u32,
    deviation_us: u32,
}

impl Mean {
    fn first(us: u32) -> Self {
        Self { us: us.max(1), deviation_us: us.wrapping_div(2) }
    }

    fn add(&mut self, us: u32, parts: u32) {
        let deviation = us.abs_diff(self.us);
        self.us = step(self.us, us, parts).max(1);
        self.deviation_us = step(self.deviation_us, deviation, parts);
    }

    /// About the ninth of ten: pessimistic, as long as little is known.
    fn high(self) -> u64 {
        u64::from(self.us).saturating_add(u64::from(self.deviation_us).saturating_mul(2))
    }
}

fn step(from: u32, to: u32, parts: u32) -> u32 {
    let part = from.abs_diff(to).checked_div(parts).unwrap_or(0);
    if to >= from { from.saturating_add(part) } else { from.saturating_sub(part) }
}

impl Costs {
    /// Nothing is known yet.
    pub(super) fn new(workers: u32) -> Self {
        let workers = usize::try_from(workers).unwrap_or(usize::MAX).max(1);
        let remembered = workers.saturating_mul(REMEMBERED_PER_WORKER).min(REMEMBERED_MAX);
        Self {
            tenants: vec![Remembered::default(); remembered],
            routes: vec![Mean::default(); usize::from(RouteGroup::COUNT)],
        }
    }

    /// Expected time: the tenant's own, else a pessimistic one of all tenants, else of the class.
    pub(super) fn expect(&self, tenant: TenantKey, route: RouteGroup, class: WorkClass) -> Expected {
        let (place, tag) = self.place(tenant, route);
        if let Some(known) = self.tenants.get(place).filter(|known| known.tag == tag) {
            return Expected { us: u64::from(known.mean.us), known: Known::Own };
        }
        let of_all = self.routes.get(usize::from(route.position())).filter(|mean| mean.us > 0);
        match of_all {
            Some(mean) => Expected { us: mean.high(), known: Known::Others },
            None => Expected { us: micros(class.unknown_cost()), known: Known::Guess },
        }
    }

    /// Notes how long a worker was held.
    pub(super) fn learn(&mut self, tenant: TenantKey, route: RouteGroup, took: Duration) {
        let us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let (place, tag) = self.place(tenant, route);
        if let Some(known) = self.tenants.get_mut(place) {
            if known.tag == tag {
                known.mean.add(us, TENANT_PARTS);
            } else {
                *known = Remembered { tag, mean: Mean::first(us) };
            }
        }
        if let Some(mean) = self.routes.get_mut(usize::from(route.position())) {
            if mean.us == 0 {
                *mean = Mean::first(us);
            } else {
                mean.add(us, ROUTE_PARTS);
            }
        }
    }

    /// Notes for how long a worker has been held by what goes on: it is known of the tenant at once, and of no other. What was
    /// known before, in microseconds and 0 for nothing, if that was less.
    pub(super) fn learn_at_least(
        &mut self,
        tenant: TenantKey,
        route: RouteGroup,
        took: Duration,
    ) -> Option<u32> {
        let us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let (place, tag) = self.place(tenant, route);
        let known = self.tenants.get_mut(place)?;
        if known.tag != tag {
            *known = Remembered { tag, mean: Mean::first(us) };
            return Some(0);
        }
        let before = known.mean.us;
        known.mean.us = before.max(us);
        (before < us).then_some(before)
    }

    /// Takes such a note back: the worker was held by nothing that the tenant asked for.
    pub(super) fn unlearn(&mut self, tenant: TenantKey, route: RouteGroup, before_us: u32) {
        let (place, tag) = self.place(tenant, route);
        let Some(known) = self.tenants.get_mut(place).filter(|known| known.tag == tag) else { return };
        if before_us == 0 {
            *known = Remembered::default();
        } else {
            // Of several such notes, the first knew the least.
            known.mean.us = known.mean.us.min(before_us);
        }
    }

    fn place(&self, tenant: TenantKey, route: RouteGroup) -> (usize, u32) {
        let hash = tenant.mixed_with(route.position());
        let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
        let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let place = usize::try_from(low).ok().and_then(|low| low.checked_rem(self.tenants.len()));
        (place.unwrap_or(0), high.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: RouteGroup = RouteGroup::numbered(3);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_new_tenant_is_expected_to_be_as_slow_as_the_slower_of_the_others() {
        let mut costs = Costs::new(2);
        let expect =
            |costs: &Costs, tenant: u64| costs.expect(TenantKey(tenant), PAGE, WorkClass::Interactive).us;
        assert_eq!(expect(&costs, 1), 1_000_000, "nobody has asked yet");
        for _ in 0..50 {
            costs.learn(TenantKey(1), PAGE, ms(80));
            costs.learn(TenantKey(1), PAGE, ms(120));
        }
        let own = expect(&costs, 1);
        assert!((90_000..=110_000).contains(&own), "{own}");
        let others = expect(&costs, 2);
        assert!((120_000..=200_000).contains(&others), "{others}");
    }

    #[test]
    fn notes_that_are_taken_back_in_any_order_leave_what_was_known_before() {
        let expect = |costs: &Costs| costs.expect(TenantKey(1), PAGE, WorkClass::Interactive).us;
        for known in [false, true] {
            for order in [[0, 1], [1, 0]] {
                let mut costs = Costs::new(2);
                if known {
                    costs.learn(TenantKey(1), PAGE, ms(5));
                }
                let before = expect(&costs);
                let notes = [ms(1_000), ms(1_010)].map(|took| costs.learn_at_least(TenantKey(1), PAGE, took));
                assert!(expect(&costs) >= 1_010_000);
                assert_eq!(costs.learn_at_least(TenantKey(1), PAGE, ms(3)), None);
                for note in order {
                    costs.unlearn(TenantKey(1), PAGE, notes[note].unwrap());
                }
                assert_eq!(expect(&costs), before);
            }
        }
    }

    #[test]
    fn the_memory_of_routes_does_not_grow() {
        let mut costs = Costs::new(1);
        let before = (costs.tenants.capacity(), costs.routes.capacity());
        for tenant in 0..10_000 {
            costs.learn(
                TenantKey(tenant),
                RouteGroup::numbered(u16::try_from(tenant % 448).unwrap()),
                ms(tenant),
            );
        }
        assert_eq!((costs.tenants.capacity(), costs.routes.capacity()), before);
    }

    #[test]
    fn times_beyond_all_bounds_are_long_and_nothing_else() {
        let mut costs = Costs::new(1);
        costs.learn(TenantKey(1), PAGE, Duration::MAX);
        costs.learn(TenantKey(1), PAGE, Duration::ZERO);
        assert!(costs.expect(TenantKey(1), PAGE, WorkClass::Interactive).us > 1_000_000);
    }
}
