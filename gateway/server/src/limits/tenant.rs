//! What one tenant uses of its limits.

use super::lease::{Gauge, PlaceFor};
use fleetgate_core::limit::{
    Exhausted, LimitCell, LimitName, LimitUnit, LimitUse, Limits, Moment, Rate, Remaining,
};
use fleetgate_core::traffic::TrafficClass;
use std::sync::OnceLock;

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
}

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

    /// Charges one request to its class and to the tenant, and tells what is left when it is little. `essential` requests may
    /// still come when others may not; `slowed` is the percent that is left of the rates of requests.
    ///
    /// # Errors
    /// The limit that was reached. Nothing is charged then.
    pub fn charge_request(
        &self,
        limits: &Limits,
        class: TrafficClass,
        now: Moment,
        essential: bool,
        slowed: Option<u8>,
    ) -> Result<Option<LimitUse>, Reached> {
        let slow = |rate: Rate| slowed.map_or(rate, |percent| rate.percent(percent));
        if let Some(rate) = limits.bytes {
            let debt_ns = self.bytes.peek(rate, now).full_in_ns;
            let allowed_ns = rate.burst_ns().saturating_mul(if essential { 2 } else { 1 });
            if let Some(wait_ns) = debt_ns.checked_sub(allowed_ns).filter(|wait_ns| *wait_ns > 0) {
                return Err(Reached::rate(LimitName::Bytes, rate, wait_ns));
            }
        }
        let of_class = limits.class(class).and_then(|class| class.requests).map(slow);
        let of_class = of_class.and_then(|rate| Some((rate, &self.class(class)?.requests)));
        if let Some((rate, cell)) = of_class {
            charge(cell, rate, now, LimitName::ClassRequests, essential)?;
        }
        let Some(rate) = limits.requests.map(slow) else { return Ok(None) };
        charge(&self.requests, rate, now, LimitName::Requests, essential).inspect_err(|_| {
            if let Some((rate, cell)) = of_class {
                cell.refund(rate, now, 1);
            }
        })
    }

    /// Charges bytes that have been sent.
    pub fn charge_bytes(&self, limits: &Limits, now: Moment, bytes: u64) {
        if let Some(rate) = limits.bytes {
            self.bytes.charge_debt(rate, now, bytes);
        }
    }

    /// How much of each rate of the tenant is left.
    #[must_use]
    pub fn left(&self, limits: &Limits, now: Moment) -> Vec<LimitUse> {
        let of = |rate: Option<Rate>, name, cell: &LimitCell| {
            rate.map(|rate| used(rate, name, cell.peek(rate, now)))
        };
        let requests = of(limits.requests, LimitName::Requests, &self.requests);
        requests.into_iter().chain(of(limits.bytes, LimitName::Bytes, &self.bytes)).collect()
    }
}

/// Charges one unit. What is left is told when it is little.
fn charge(
    cell: &LimitCell,
    rate: Rate,
    now: Moment,
    name: LimitName,
    essential: bool,
) -> Result<Option<LimitUse>, Reached> {
    let reserve = if essential { rate.burst() } else { 0 };
    match cell.charge(rate, now, 1, reserve) {
        Ok(remaining) => {
            let little = remaining.units < rate.burst() / NEAR_EXHAUSTION;
            Ok(little.then(|| used(rate, name, remaining)))
        }
        Err(Exhausted { wait_ns }) => Err(Reached::rate(name, rate, wait_ns)),
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
