//! Calls by programs: which requests are held against the tenant's database, and with what.

use super::admit::raw_path;
use super::context::RequestContext;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::rpc::{BodyFacts, RpcGuard, RpcPolicy, RpcRoute};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use pingora::http::RequestHeader;

/// The header by which a client of JSON-2 names a database.
const DATABASE: &str = fleetgate_core::odoo::headers::DATABASE;

/// Whether a request names its database in its body. The class does not tell: behind a language of any name the path
/// looks like a page, or like the bus.
pub(super) fn is_call(context: &RequestContext, head: &RequestHeader) -> bool {
    context.pool().is_some_and(|pool| RpcRoute::of(pool.odoo_version, raw_path(head)).is_some())
}

/// The guard of a body: of a call, or of any other request, for no call may hide in it.
///
/// # Errors
/// The tenant has no database that one could be held against.
pub(super) fn guard(context: &RequestContext, head: &RequestHeader) -> Result<RpcGuard, Rejection> {
    let version = context.pool().ok_or(Rejection::Internal)?.odoo_version;
    let route = RpcRoute::of(version, raw_path(head)).unwrap_or(RpcRoute::Elsewhere);
    let policy = policy(context).ok_or(Rejection::Internal)?;
    let databases: Vec<&[u8]> =
        head.headers.get_all(DATABASE).iter().map(http::HeaderValue::as_bytes).collect();
    let facts = BodyFacts {
        content_type: content_type(&head.headers, route == RpcRoute::Elsewhere),
        content_encoding: coding(&head.headers),
        databases: &databases,
    };
    Ok(RpcGuard::new(route, policy, facts))
}

fn policy(context: &RequestContext) -> Option<RpcPolicy> {
    let version = context.pool()?.odoo_version;
    let fleet = &context.snapshot.fleet;
    let settings = &fleetgate_core::guard::Guards::at(&fleet.guards, context.tenant()?.guards).rpc;
    let policy = settings.policy(version, &context.database()?, context.label());
    policy.inspect_err(|error| tracing::error!(%error, "a tenant's host makes no name of a database")).ok()
}

/// WSGI servers join several lines into one value, which no media type looks like, or take one of them. So several
/// lines are no type where one is demanded, and JSON where a body could be taken for it.
fn content_type(headers: &HeaderMap, any: bool) -> Option<&[u8]> {
    let mut lines = headers.get_all(CONTENT_TYPE).iter().map(http::HeaderValue::as_bytes);
    let line = lines.next()?;
    match lines.next() {
        None => Some(line),
        Some(_) if any => Some(b"application/json"),
        Some(_) => None,
    }
}

/// The first coding that is one.
fn coding(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(CONTENT_ENCODING).iter().map(|line| line.as_bytes().trim_ascii());
    lines.find(|line| !line.is_empty() && !line.eq_ignore_ascii_case(b"identity"))
}
