//! What one tenant uses of its limits.

use super::lease::{Gauge, PlaceFor};
use super::shares::RateShares;
use fleetgate_core::limit::{
    Exhausted, LimitCell, LimitName, LimitUnit, LimitUse, Limits, Moment, Rate, Remaining,
};
use fleetgate_core::traffic::TrafficClass;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Nanoseconds of a second.
const NS_PER_SECOND: u64 = 1_000_000_000;

/// What one tenant uses now.
#[derive(Debug, Default)]
pub struct TenantUse {
    requests: LimitCell,
    bytes: LimitCell,
    /// Requests at once, without websockets and polls.
    in_flight: Gauge,
    /// Websockets at once.
    websockets: Gauge,
    /// Made when a class has limits.
    classes: OnceLock<Box<[ClassUse; TrafficClass::ALL.len()]>>,
    /// This node's part of the tenant's rates; 0: the same as of all others.
    share: AtomicU32,
    /// The part that what is used was counted with; 0 before the first request.
    counted_with: AtomicU32,
    /// Requests that asked for a place in a rate since the last look.
    asked: AtomicU32,
    /// Whether the tenant is near a limit here: see [`CALM`].
    pressure: AtomicU8,
}

/// No limit was near since the last look.
const CALM: u8 = 0;
/// One was, and nobody has noted it.
const NEWLY_PRESSED: u8 = 1;
/// One was, and that is noted.
const PRESSED: u8 = 2;

/// What one traffic class of a tenant uses now.
#[derive(Debug, Default)]
struct ClassUse {
    requests: LimitCell,
    in_flight: Gauge,
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Which.
    pub name: LimitName,
    /// Seconds until there is room again, rounded up.
    pub wait_seconds: u32,
    /// For the client.
    pub told: LimitUse,
}

impl Reached {
    /// A limit whose next unit comes after a time.
    #[must_use]
    pub fn rate(name: LimitName, rate: Rate, wait_ns: u64) -> Self {
        let wait_seconds = u32::try_from(wait_ns.div_ceil(NS_PER_SECOND)).unwrap_or(u32::MAX).max(1);
        let told = LimitUse {
            reset_seconds: Some(u64::from(wait_seconds)),
            ..used(rate, name, Remaining { units: 0, full_in_ns: wait_ns })
        };
        Self { name, wait_seconds, told }
    }
}

impl TenantUse {
    /// The gauge of one kind of place.
    #[must_use]
    pub fn places(&self, of: PlaceFor) -> Option<&Gauge> {
        match of {
            PlaceFor::Hold => None,
            PlaceFor::Request => Some(&self.in_flight),
            PlaceFor::Websocket => Some(&self.websockets),
            PlaceFor::Class(class) => self.class(class).map(|class| &class.in_flight),
        }
    }

    fn class(&self, class: TrafficClass) -> Option<&ClassUse> {
        self.classes.get_or_init(Box::default).get(class.position())
    }

    /// The part of the tenant's rates that this node has.
    #[must_use]
    pub fn share(&self, shares: &RateShares) -> u32 {
        match self.share.load(Ordering::Relaxed) {
            0 => shares.equal(),
            own => own,
        }
    }

    /// Gives the tenant a part of its own here; 0: the same as all others have.
    pub fn set_share(&self, parts: u32) {
        self.share.store(parts, Ordering::Relaxed);
    }

    /// Whether a limit is near for the first time since the last look; says so once.
    #[must_use]
    pub fn is_newly_pressed(&self) -> bool {
        self.pressure.load(Ordering::Relaxed) == NEWLY_PRESSED
            && self.pressure.swap(PRESSED, Ordering::Relaxed) == NEWLY_PRESSED
    }

    /// Requests that asked since the last look, and whether a limit was near.
    #[must_use]
    pub fn take_demand(&self) -> (u32, bool) {
        (self.asked.swap(0, Ordering::Relaxed), self.pressure.swap(CALM, Ordering::Relaxed) != CALM)
    }

    fn press(&self) {
        if self.pressure.load(Ordering::Relaxed) == CALM {
            self.pressure.store(NEWLY_PRESSED, Ordering::Relaxed);
        }
    }

    /// Counts with another part of the rates from now on. What this node could use at once stays what it was, or becomes
    /// the part's burst if that is less: nodes that pass parts to each other never make more of them.
    fn follow_share(&self, shares: &RateShares, limits: &Limits, share: u32, now: Moment) {
        let before = self.counted_with.load(Ordering::Relaxed);
        if before == share {
            return;
        }
        let won = self.counted_with.compare_exchange(before, share, Ordering::Relaxed, Ordering::Relaxed);
        // Whoever was not asked for yet has had the part that everybody has.
        let before = if before == 0 { shares.equal() } else { before };
        if won.is_err() || before == share {
            return;
        }
        let follow = |cell: &LimitCell, rate: Option<Rate>| {
            let Some(rate) = rate else { return };
            let (old, new) = (rate.share(before), rate.share(share));
            // Both at the faster rate: at a small part of it a debt would be longer than any that is remembered.
            match new.burst().checked_sub(old.burst()) {
                Some(more) => cell.charge_debt(new, now, more),
                None => cell.refund(old, now, old.burst().saturating_sub(new.burst())),
            }
        };
        follow(&self.requests, limits.requests);
        follow(&self.bytes, limits.bytes);
        for class in TrafficClass::ALL {
            let Some(rate) = limits.class(class).and_then(|class| class.requests) else { continue };
            if let Some(used) = self.class(class) {
                follow(&used.requests, Some(rate));
            }
        }
    }

    /// Charges one request to its class and to the tenant, and tells what is left when it is little. `essential` requests may
    /// still come when others may not; `slowed` is the percent that is left of the rates of requests.
    ///
    /// # Errors
    /// The limit that was reached. Nothing is charged then.
    pub fn charge_request(
        &self,
        shares: &RateShares,
        limits: &Limits,
        class: TrafficClass,
        now: Moment,
        essential: bool,
        slowed: Option<u8>,
    ) -> Result<Option<LimitUse>, Reached> {
        let share = self.share(shares);
        self.follow_share(shares, limits, share, now);
        if shares.are_divided() {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(rate) = limits.bytes.map(|rate| rate.share(share)) {
            let debt_ns = self.bytes.peek(rate, now).full_in_ns;
            if debt_ns > rate.burst_ns() / 2 {
                self.press();
            }
            let allowed_ns = rate.burst_ns().saturating_mul(if essential { 2 } else { 1 });
            if let Some(wait_ns) = debt_ns.checked_sub(allowed_ns).filter(|wait_ns| *wait_ns > 0) {
                return Err(Reached::rate(LimitName::Bytes, rate, wait_ns));
            }
        }
        let part = |rate: Rate| slowed.map_or(rate, |percent| rate.percent(percent)).share(share);
        let of_class = limits.class(class).and_then(|class| class.requests).map(part);
        let of_class = of_class.and_then(|rate| Some((rate, &self.class(class)?.requests)));
        if let Some((rate, cell)) = of_class {
            self.charge(cell, rate, now, LimitName::ClassRequests, essential)?;
        }
        let Some(rate) = limits.requests.map(part) else { return Ok(None) };
        self.charge(&self.requests, rate, now, LimitName::Requests, essential).inspect_err(|_| {
            if let Some((rate, cell)) = of_class {
                cell.refund(rate, now, 1);
            }
        })
    }

    /// Charges one unit. What is left is told when it is little.
    fn charge(
        &self,
        cell: &LimitCell,
        rate: Rate,
        now: Moment,
        name: LimitName,
        essential: bool,
    ) -> Result<Option<LimitUse>, Reached> {
        let reserve = if essential { rate.burst() } else { 0 };
        match cell.charge(rate, now, 1, reserve) {
            Ok(remaining) => {
                if remaining.units < rate.burst() / 2 {
                    self.press();
                }
                let little = remaining.units < rate.burst() / NEAR_EXHAUSTION;
                Ok(little.then(|| used(rate, name, remaining)))
            }
            Err(Exhausted { wait_ns }) => {
                self.press();
                Err(Reached::rate(name, rate, wait_ns))
            }
        }
    }

    /// Charges bytes that have been sent.
    pub fn charge_bytes(&self, shares: &RateShares, limits: &Limits, now: Moment, bytes: u64) {
        if let Some(rate) = limits.bytes {
            self.bytes.charge_debt(rate.share(self.share(shares)), now, bytes);
        }
    }

    /// How much of each rate of the tenant is left on this node.
    #[must_use]
    pub fn left(&self, shares: &RateShares, limits: &Limits, now: Moment) -> Vec<LimitUse> {
        let share = self.share(shares);
        let of = |rate: Option<Rate>, name, cell: &LimitCell| {
            let rate = rate.map(|rate| rate.share(share));
            rate.map(|rate| used(rate, name, cell.peek(rate, now)))
        };
        let requests = of(limits.requests, LimitName::Requests, &self.requests);
        requests.into_iter().chain(of(limits.bytes, LimitName::Bytes, &self.bytes)).collect()
    }
}

/// Clients are told what is left from this part of the burst on.
const NEAR_EXHAUSTION: u64 = 10;

fn used(rate: Rate, name: LimitName, remaining: Remaining) -> LimitUse {
    LimitUse {
        name: name.as_str(),
        unit: if name == LimitName::Bytes { LimitUnit::ContentBytes } else { LimitUnit::Requests },
        quota: rate.burst(),
        window_seconds: Some(rate.window_seconds()),
        remaining: remaining.units,
        reset_seconds: Some(remaining.full_in_ns.div_ceil(NS_PER_SECOND)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WHOLE_SHARE;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_that_move_between_nodes_bring_no_burst(
            moves in prop::collection::vec((0..=WHOLE_SHARE, 0..2 * NS_PER_SECOND, 0_u32..150, 0_u32..150), 1..60),
        ) {
            let limits = Limits { requests: Rate::new(50, 1, 200), ..Limits::default() };
            let shares = RateShares::default();
            shares.set_equal(WHOLE_SHARE / 2);
            let nodes = [TenantUse::default(), TenantUse::default()];
            let (start, mut now, mut served) = (NS_PER_SECOND, NS_PER_SECOND, 0_u64);
            for (part, wait, of_one, of_other) in moves {
                now += wait;
                for (node, part) in nodes.iter().zip([part, WHOLE_SHARE - part]) {
                    node.set_share(part.max(1));
                }
                for (node, requests) in nodes.iter().zip([of_one, of_other]) {
                    for _ in 0..requests {
                        let charged = node.charge_request(&shares, &limits, TrafficClass::Page, now, false, None);
                        served += u64::from(charged.is_ok());
                    }
                }
                // A node never has less than a burst of one.
                let most = 200 + (now - start) * 50 / NS_PER_SECOND + 3;
                prop_assert!(served <= most, "{served} of {most}");
            }
        }
    }

    #[test]
    fn a_tenant_alone_has_all_of_its_rate_and_is_noted_when_half_of_it_is_used() {
        let limits = Limits { requests: Rate::new(1, 1, 100), ..Limits::default() };
        let (shares, tenant) = (RateShares::default(), TenantUse::default());
        let charge =
            || tenant.charge_request(&shares, &limits, TrafficClass::Page, NS_PER_SECOND, false, None);
        for _ in 0..50 {
            assert!(charge().is_ok());
        }
        assert!(!tenant.is_newly_pressed());
        assert!(charge().is_ok());
        assert!(tenant.is_newly_pressed() && !tenant.is_newly_pressed(), "once");
        assert_eq!(tenant.take_demand(), (0, true), "requests are counted where rates are divided");
        assert_eq!((0..100).filter(|_| charge().is_ok()).count(), 49);
    }
}
