//! Calls by programs: which requests are held against the tenant's database, and with what.

use super::admit::raw_path;
use super::context::RequestContext;
use fleetgate_core::guard::Guards;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::rpc::{BodyFacts, RpcGuard, RpcPolicy, RpcRefusal, RpcRoute};
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
/// The tenant has no database that one could be held against, or the body has several media types: servers take any of
/// them, or all as one.
pub(super) fn guard(context: &RequestContext, head: &RequestHeader) -> Result<RpcGuard, Rejection> {
    let version = context.pool().ok_or(Rejection::Internal)?.odoo_version;
    let route = RpcRoute::of_any(version, raw_path(head));
    let policy = policy(context).ok_or(Rejection::Internal)?;
    let databases: Vec<&[u8]> =
        head.headers.get_all(DATABASE).iter().map(http::HeaderValue::as_bytes).collect();
    let mut types = head.headers.get_all(CONTENT_TYPE).iter().map(http::HeaderValue::as_bytes);
    let content_type = types.next();
    if types.next().is_some() {
        return Err(RpcRefusal::ContentType.into());
    }
    let facts = BodyFacts { content_type, content_encoding: coding(&head.headers), databases: &databases };
    Ok(RpcGuard::new(route, policy, facts))
}

fn policy(context: &RequestContext) -> Option<RpcPolicy> {
    let version = context.pool()?.odoo_version;
    let fleet = &context.snapshot.fleet;
    let guards = Guards::at(&fleet.guards, context.tenant()?.guards);
    let policy = guards.rpc.policy(version, &context.database()?, context.label());
    let policy = policy
        .inspect_err(|error| tracing::error!(%error, "a tenant's host makes no name of a database"))
        .ok()?;
    Some(RpcPolicy { database_names: guards.database_names, ..policy })
}

/// The first coding that is one.
fn coding(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(CONTENT_ENCODING).iter().map(|line| line.as_bytes().trim_ascii());
    lines.find(|line| !line.is_empty() && !line.eq_ignore_ascii_case(b"identity"))
}
