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

/// The guard of a request that names its database itself.
///
/// # Errors
/// The tenant has no database that one could be held against.
pub(super) fn guard(context: &RequestContext, head: &RequestHeader) -> Result<Option<RpcGuard>, Rejection> {
    let Some(pool) = context.pool() else { return Ok(None) };
    let Some(route) = RpcRoute::of(pool.odoo_version, raw_path(head)) else { return Ok(None) };
    let policy = policy(context).ok_or(Rejection::Internal)?;
    let databases: Vec<&[u8]> =
        head.headers.get_all(DATABASE).iter().map(http::HeaderValue::as_bytes).collect();
    let facts = BodyFacts {
        content_type: only_line(&head.headers, CONTENT_TYPE),
        content_encoding: coding(&head.headers),
        databases: &databases,
    };
    Ok(Some(RpcGuard::new(route, policy, facts)))
}

fn policy(context: &RequestContext) -> Option<RpcPolicy> {
    let version = context.pool()?.odoo_version;
    let fleet = &context.snapshot.fleet;
    let settings = &fleetgate_core::guard::Guards::at(&fleet.guards, context.tenant()?.guards).rpc;
    let policy = settings.policy(version, &context.database()?, context.label());
    policy.inspect_err(|error| tracing::error!(%error, "a tenant's host makes no name of a database")).ok()
}

/// WSGI servers join several lines into one value, which no media type looks like.
fn only_line(headers: &HeaderMap, name: http::HeaderName) -> Option<&[u8]> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then(|| line.as_bytes())
}

/// The first coding that is one.
fn coding(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(CONTENT_ENCODING).iter().map(|line| line.as_bytes().trim_ascii());
    lines.find(|line| !line.is_empty() && !line.eq_ignore_ascii_case(b"identity"))
}
