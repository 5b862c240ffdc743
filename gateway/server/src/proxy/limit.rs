//! What a request is charged to, before a backend hears of it, and what its answer costs.

use super::admit::raw_path;
use super::context::RequestContext;
use super::websocket;
use crate::limits::{KeyedLimiters, PlaceFor, PlaceLease, Reached, moment};
use crate::snapshot::{OpenWebsocket, Snapshot, TenantAccount};
use crate::usage::{Charge, OverQuota, Usage};
use fleetgate_core::backend::stable_hash;
use fleetgate_core::limit::{LimitName, LimitUnit, LimitUse, Limits, Login, client_block};
use fleetgate_core::odoo::headers::SESSION_COOKIE;
use fleetgate_core::odoo::paths::{is_essential, sends_mail};
use fleetgate_core::path::NormalPath;
use fleetgate_core::quota::{Meter, Stage};
use fleetgate_core::rejection::Rejection;
use fleetgate_core::rpc::RpcRoute;
use fleetgate_core::traffic::TrafficClass;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// What clients are told to wait for a place, in seconds. Most requests of Odoo take less.
const PLACE_SECONDS: u32 = 1;
/// Longest wait that a client is told when a quota is used up, in seconds: it may be raised before its period ends.
const RETRY_AFTER_SECONDS_MAX: u32 = 3_600;
/// Bytes of a session id that tell sessions apart; the rest may change within one (Odoo 18.0 and later `odoo/http.py`,
/// `STORED_SESSION_BYTES`).
const SESSION_BYTES: usize = 42;

/// Charges an admitted request, and takes its places.
///
/// # Errors
/// The limit that is reached.
pub(super) fn charge(
    session: &Session,
    context: &mut RequestContext,
    usage: &Usage,
) -> Result<(), Rejection> {
    let snapshot = Arc::clone(&context.snapshot);
    let (Some(account), Some(tenant), Some(class)) =
        (context.account.clone(), context.tenant(), context.class())
    else {
        return Ok(());
    };
    let limits = Limits::at(&snapshot.fleet.limits, tenant.limits);
    let keyed = snapshot.keyed_limiters(tenant.limits);
    take_places(session, context, &account, limits, class)?;
    let head = session.req_header();
    let path = NormalPath::new(raw_path(head));
    let route = path.as_ref().map_or(&b"/"[..], NormalPath::without_language);
    if let Some(keyed) = keyed.filter(|keyed| !keyed.is_empty()) {
        let call = context.pool().and_then(|pool| RpcRoute::of(pool.odoo_version, raw_path(head)));
        let posts = head.method == http::Method::POST;
        context.login = Login::of(call, route, posts);
        charge_clients(context, &snapshot, keyed, head, posts && sends_mail(route))?;
    }
    let essential = is_essential(route);
    let quotas = limits.quotas.as_ref().map(|terms| (terms, account.usage(usage.store())));
    let slowed = quotas.filter(|(_, tenant)| tenant.stage() >= Stage::Slowed);
    let slowed = slowed.map(|(terms, _)| terms.slowed_percent);
    let shares = snapshot.accounts().shares();
    let now = moment(context.started);
    let charged = account.used().charge_request(shares, limits, class, now, essential, slowed);
    if account.used().is_newly_pressed() && shares.are_divided() {
        shares.press(account.id());
    }
    if let Some(told) = charged.map_err(|reached| refuse(context, reached))? {
        context.limit_report.push(told);
    }
    if let Some((terms, tenant)) = quotas {
        let class = Some(class).filter(|_| !essential);
        let charged = Charge::request(usage.store(), tenant, snapshot.generation, terms, class);
        context.charge = Some(charged.map_err(|over| over_quota(context, &over))?);
    }
    Ok(())
}

fn take_places(
    session: &Session,
    context: &mut RequestContext,
    account: &Arc<TenantAccount>,
    limits: &Limits,
    class: TrafficClass,
) -> Result<(), Rejection> {
    if class == TrafficClass::Websocket && websocket::asks(session) {
        let max = limits.websockets.unwrap_or(u32::MAX);
        let open = OpenWebsocket::open(account, context.entry_account(), max);
        context.websocket = Some(open.ok_or_else(|| no_place(context, LimitName::Websockets, max))?);
        return Ok(());
    }
    if let Some(max) = limits.class(class).and_then(|class| class.concurrent_requests) {
        let place = PlaceLease::take(account, PlaceFor::Class(class), max);
        let place = place.ok_or_else(|| no_place(context, LimitName::ClassConcurrentRequests, max))?;
        context.class_place = Some(place);
    }
    if class != TrafficClass::Longpolling {
        let max = limits.concurrent_requests.unwrap_or(u32::MAX);
        let place = PlaceLease::take(account, PlaceFor::Request, max);
        context.place = Some(place.ok_or_else(|| no_place(context, LimitName::ConcurrentRequests, max))?);
    }
    Ok(())
}

/// Charges what counts for each client, session and key.
fn charge_clients(
    context: &mut RequestContext,
    snapshot: &Snapshot,
    keyed: &KeyedLimiters,
    head: &RequestHeader,
    sends_mail: bool,
) -> Result<(), Rejection> {
    let block = client_of(context, snapshot);
    charge_key(context, keyed, LimitName::Client, block)?;
    if sends_mail {
        charge_key(context, keyed, LimitName::Mails, block)?;
    }
    if let Some(login) = context.login {
        try_login(context, login)?;
    }
    charge_key(context, keyed, LimitName::Session, session_of(&head.headers))?;
    charge_key(context, keyed, LimitName::ApiKey, api_key_of(&head.headers))
}

/// What tells a client apart by its address. Printing makes Odoo's own host ask for pages and styles (wkhtmltopdf): it is
/// nobody's client.
fn client_of(context: &RequestContext, snapshot: &Snapshot) -> Option<IpAddr> {
    let address = context.client.address;
    let mut backends = snapshot.regions(context.target?.pool).iter().flatten();
    let own = backends.any(|backend| backend.http.address.ip() == address);
    (!own).then(|| client_block(address))
}

fn charge_key(
    context: &mut RequestContext,
    keyed: &KeyedLimiters,
    name: LimitName,
    client: Option<impl Hash>,
) -> Result<(), Rejection> {
    let (Some(limiter), Some(client), Some(account)) = (keyed.get(name), client, &context.account) else {
        return Ok(());
    };
    let charged = limiter.charge(limiter.key(account.id(), client));
    charged.map_err(|wait_ns| refuse(context, Reached::rate(name, limiter.rate(), wait_ns)))
}

/// Charges an attempt to log in, unless too many have failed.
///
/// # Errors
/// The limit that is reached.
pub(super) fn try_login(context: &mut RequestContext, login: Login) -> Result<(), Rejection> {
    let snapshot = Arc::clone(&context.snapshot);
    let Some(keyed) = context.tenant().and_then(|tenant| snapshot.keyed_limiters(tenant.limits)) else {
        return Ok(());
    };
    let Some(block) = client_of(context, &snapshot) else { return Ok(()) };
    if let (Some(limiter), Some(account)) = (keyed.get(LimitName::LoginFailures), &context.account) {
        let allowed = limiter.peek(limiter.key(account.id(), block), moment(context.started));
        allowed.map_err(|wait_ns| {
            refuse(context, Reached::rate(LimitName::LoginFailures, limiter.rate(), wait_ns))
        })?;
    }
    if login.is_attempt() {
        charge_key(context, keyed, LimitName::LoginAttempts, Some(block))?;
    }
    context.login = Some(login);
    Ok(())
}

/// Looks at the beginning of an answer to a login, once, and counts a failure.
pub(super) fn watch_login(context: &mut RequestContext, status: u16, start: Option<&[u8]>) {
    let Some(login) = context.login else { return };
    if start.is_none() && !login.is_told_by_status() {
        return;
    }
    context.login = None;
    if !login.failed(status, start.unwrap_or_default()) {
        return;
    }
    let keyed = context.tenant().and_then(|tenant| context.snapshot.keyed_limiters(tenant.limits));
    let limiter = keyed.and_then(|keyed| keyed.get(LimitName::LoginFailures));
    let block = client_of(context, &context.snapshot);
    if let (Some(limiter), Some(account), Some(block)) = (limiter, &context.account, block) {
        let key = limiter.key(account.id(), block);
        limiter.charge_debt(key, moment(Instant::now()));
    }
}

/// Charges the body of an answer that has ended.
pub(super) fn charge_bytes(context: &RequestContext, bytes: u64) {
    let (Some(account), Some(tenant)) = (&context.account, context.tenant()) else { return };
    let limits = Limits::at(&context.snapshot.fleet.limits, tenant.limits);
    if limits.bytes.is_some() {
        account.used().charge_bytes(
            context.snapshot.accounts().shares(),
            limits,
            moment(Instant::now()),
            bytes,
        );
    }
}

fn refuse(context: &mut RequestContext, reached: Reached) -> Rejection {
    context.limit_report.push(reached.told);
    let retry_after_seconds = jittered(context, reached.wait_seconds);
    Rejection::RateLimited { limit: reached.name, retry_after_seconds }
}

fn over_quota(context: &mut RequestContext, over: &OverQuota) -> Rejection {
    let unit = match over.key.meter {
        Meter::Requests => Some(LimitUnit::Requests),
        Meter::Egress => Some(LimitUnit::ContentBytes),
        // The draft has no unit for them.
        Meter::WorkerTime | Meter::WebsocketTime => None,
    };
    if let Some(unit) = unit {
        context.limit_report.push(LimitUse {
            name: over.key.as_str(),
            unit,
            quota: over.limit,
            window_seconds: u64::try_from(over.key.span.nominal_seconds()).ok(),
            remaining: 0,
            reset_seconds: Some(u64::from(over.retry_after_seconds)),
        });
    }
    let retry_after_seconds = jittered(context, over.retry_after_seconds).min(RETRY_AFTER_SECONDS_MAX);
    Rejection::QuotaExhausted { quota: over.key, retry_after_seconds }
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

/// What tells the session of a browser apart.
fn session_of(fields: &HeaderMap) -> Option<&[u8]> {
    let cookies = fields.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
    let mut values = cookies
        .filter_map(|cookie| cookie.trim_ascii().strip_prefix(SESSION_COOKIE.as_bytes())?.strip_prefix(b"="));
    let value = values.next()?;
    Some(value.get(..SESSION_BYTES).unwrap_or(value))
}

/// The API key of JSON-2. Source: Odoo 19.0 `odoo/addons/base/models/ir_http.py`, `_auth_method_bearer`.
fn api_key_of(fields: &HeaderMap) -> Option<&[u8]> {
    let value = fields.get(AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_session_is_the_same_whatever_follows_its_first_42_bytes() {
        let of = |cookie: &str| {
            let mut fields = HeaderMap::new();
            fields.insert(COOKIE, HeaderValue::from_str(cookie).unwrap());
            session_of(&fields).map(<[u8]>::to_vec)
        };
        let id = "x".repeat(42);
        assert_eq!(of(&format!("a=b; session_id={id}YYY")), Some(id.clone().into_bytes()));
        assert_eq!(of(&format!("session_id={id}ZZZ; tz=UTC")), Some(id.into_bytes()));
        assert_eq!(of("session_ids=1; xsession_id=2"), None);
        assert_eq!(of("session_id=short"), Some(b"short".to_vec()));
    }

    #[test]
    fn a_key_is_what_follows_bearer_in_any_case() {
        let of = |value: &str| {
            let mut fields = HeaderMap::new();
            fields.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            api_key_of(&fields).map(<[u8]>::to_vec)
        };
        assert_eq!(of("Bearer abc"), Some(b"abc".to_vec()));
        assert_eq!(of("bEARER  abc "), Some(b"abc".to_vec()));
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("Bear"), None);
    }
}
