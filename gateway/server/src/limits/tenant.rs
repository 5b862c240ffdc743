//! What one tenant uses of its limits.

use super::lease::Gauge;
use fleetgate_core::limit::{Exhausted, LimitCell, LimitUnit, LimitUse, Limits, Moment, Rate, Remaining};

/// Nanoseconds of a second.
const NS_PER_SECOND: u64 = 1_000_000_000;

/// What one tenant uses now.
#[derive(Debug, Default)]
pub struct TenantUse {
    /// Requests over time.
    pub requests: LimitCell,
    /// Requests at once, without websockets and polls.
    pub in_flight: Gauge,
    /// Websockets at once.
    pub websockets: Gauge,
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Seconds until there is room again, rounded up.
    pub wait_seconds: u32,
    /// For the client.
    pub told: LimitUse,
}

impl TenantUse {
    /// Charges one request. `essential` requests may still come when others may not.
    ///
    /// # Errors
    /// The limit that was reached. Nothing is charged then.
    pub fn charge_request(
        &self,
        limits: &Limits,
        now: Moment,
        essential: bool,
    ) -> Result<Option<LimitUse>, Reached> {
        let Some(rate) = limits.requests else { return Ok(None) };
        charge(&self.requests, rate, now, "requests", essential)
    }
}

/// Charges one unit. What is left is told when it is little.
fn charge(
    cell: &LimitCell,
    rate: Rate,
    now: Moment,
    name: &'static str,
    essential: bool,
) -> Result<Option<LimitUse>, Reached> {
    let reserve = if essential { rate.burst() } else { 0 };
    match cell.charge(rate, now, 1, reserve) {
        Ok(()) => {
            let remaining = cell.peek(rate, now);
            let little = remaining.units < rate.burst() / NEAR_EXHAUSTION;
            Ok(little.then(|| used(rate, name, remaining)))
        }
        Err(Exhausted { wait_ns }) => {
            let wait_seconds = u32::try_from(wait_ns.div_ceil(NS_PER_SECOND)).unwrap_or(u32::MAX).max(1);
            let told = LimitUse {
                reset_seconds: Some(u64::from(wait_seconds)),
                ..used(rate, name, Remaining { units: 0, full_in_ns: wait_ns })
            };
            Err(Reached { wait_seconds, told })
        }
    }
}

/// Clients are told what is left from this part of the burst on.
const NEAR_EXHAUSTION: u64 = 10;

fn used(rate: Rate, name: &'static str, remaining: Remaining) -> LimitUse {
    LimitUse {
        name,
        unit: LimitUnit::Requests,
        quota: rate.burst(),
        window_seconds: Some(rate.window_seconds()),
        remaining: remaining.units,
        reset_seconds: Some(remaining.full_in_ns.div_ceil(NS_PER_SECOND)),
    }
}
