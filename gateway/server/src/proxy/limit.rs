//! What a request is charged to, before a backend hears of it.

use super::admit::raw_path;
use super::context::RequestContext;
use super::websocket;
use crate::limits::{PlaceLease, moment};
use crate::snapshot::{OpenWebsocket, TenantAccount};
use fleetgate_core::backend::stable_hash;
use fleetgate_core::limit::{LimitName, LimitUnit, LimitUse, Limits};
use fleetgate_core::odoo::paths::is_essential;
use fleetgate_core::path::NormalPath;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::traffic::TrafficClass;
use pingora::proxy::Session;
use std::sync::Arc;

/// What clients are told to wait for a place, in seconds. Most requests of Odoo take less.
const PLACE_SECONDS: u32 = 1;

/// Charges an admitted request, and takes its places.
///
/// # Errors
/// The limit that is reached. The request costs nothing then.
pub(super) fn charge(session: &Session, context: &mut RequestContext) -> Result<(), Rejection> {
    let (Some(account), Some(tenant)) = (context.account.clone(), context.tenant()) else { return Ok(()) };
    let snapshot = Arc::clone(&context.snapshot);
    let limits = Limits::at(&snapshot.fleet.limits, tenant.limits);
    let class = context.class();
    if class == Some(TrafficClass::Websocket) && websocket::asks(session) {
        let max = limits.websockets.unwrap_or(u32::MAX);
        let open = OpenWebsocket::open(&account, context.entry_account(), max);
        context.websocket = Some(open.ok_or_else(|| no_place(context, LimitName::Websockets, max))?);
    } else if class != Some(TrafficClass::Longpolling) {
        let max = limits.concurrent_requests.unwrap_or(u32::MAX);
        let place = PlaceLease::take(&account, TenantAccount::in_flight, max);
        context.place = Some(place.ok_or_else(|| no_place(context, LimitName::ConcurrentRequests, max))?);
    }
    let path = NormalPath::new(raw_path(session.req_header()));
    let essential = path.is_ok_and(|path| is_essential(path.without_language()));
    match account.used().charge_request(limits, moment(context.started), essential) {
        Ok(told) => {
            if let Some(told) = told {
                context.limit_report.push(told);
            }
            Ok(())
        }
        Err(reached) => {
            context.limit_report.push(reached.told);
            let retry_after_seconds = jittered(context, reached.wait_seconds);
            Err(Rejection::RateLimited { limit: LimitName::Requests, retry_after_seconds })
        }
    }
}

fn no_place(context: &mut RequestContext, limit: LimitName, max: u32) -> Rejection {
    context.limit_report.push(LimitUse {
        name: limit.as_str(),
        unit: LimitUnit::ConcurrentRequests,
        quota: u64::from(max),
        window_seconds: None,
        remaining: 0,
        reset_seconds: None,
    });
    Rejection::ConcurrencyLimited { limit, retry_after_seconds: jittered(context, PLACE_SECONDS) }
}

/// A wait for `Retry-After`: never shorter, and up to a tenth and a second longer, so that those who were refused
/// together do not come back together.
pub(super) fn jittered(context: &RequestContext, seconds: u32) -> u32 {
    let spread = u64::from(seconds / 10).saturating_add(2);
    let extra = stable_hash(context.request_id.as_str().as_bytes()) % spread;
    seconds.saturating_add(u32::try_from(extra).unwrap_or(0))
}
