//! Limits of a tenant, for people.

use crate::limits::{RateShares, moment};
use crate::snapshot::TenantAccount;
use fleetgate_core::limit::{Limits, Rate};
use std::time::Instant;

/// What a tenant may use. `None`: as much as there is.
pub(super) fn allowed(limits: &Limits) -> Option<String> {
    let rate = |name: &str, rate: Option<Rate>| {
        rate.map(|rate| format!("{name} {}/s (burst {})", rate.per_second(), rate.burst()))
    };
    let number = |name: &str, number: Option<u32>| number.map(|number| format!("{name} {number}"));
    let parts = [
        rate("requests", limits.requests),
        rate("bytes", limits.bytes),
        number("concurrent_requests", limits.concurrent_requests),
        number("worker_weight", limits.worker_weight.map(|weight| weight.get().into())),
        number("websockets", limits.websockets),
        limits.classes.as_ref().map(|_| "classes".to_owned()),
        rate("client", limits.client),
        rate("session", limits.session),
        rate("api_key", limits.api_key),
        rate("login_attempts", limits.login_attempts),
        rate("login_failures", limits.login_failures),
        rate("mails", limits.mails),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// How much of it is in use now.
pub(super) fn used(shares: &RateShares, limits: &Limits, account: &TenantAccount) -> Option<String> {
    let left = account.used().left(shares, limits, moment(Instant::now()));
    let left = left.iter().map(|left| format!("{} {} of {} left", left.name, left.remaining, left.quota));
    let held =
        |name: &str, held: u32, max: Option<u32>| max.map(|max| format!("{name} {held} of {max} in use"));
    let places = [
        held("concurrent_requests", account.in_flight(), limits.concurrent_requests),
        held("websockets", account.websockets(), limits.websockets),
    ];
    let parts: Vec<String> = left.chain(places.into_iter().flatten()).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
