//! From a request's head to a verdict.

use super::context::{Client, RequestContext, Target};
use super::target;
use crate::upstream::RetryRule;
use fleetgate_core::forwarded::{Scheme, client_address, client_scheme, is_trusted};
use fleetgate_core::guard::BodyLength;
use fleetgate_core::host::{HostKey, HostName};
use fleetgate_core::rejection::Rejection;
use fleetgate_core::tenant::TenantMatch;
use fleetgate_core::verdict::{RequestView, Verdict, admit};
use http::header::{CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING};
use pingora::http::RequestHeader;
use std::net::IpAddr;

/// What happens to a request next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// It goes to a backend.
    Forward,
    /// The client is sent to another host.
    Redirect(HostName),
    /// The gateway answers.
    Reject(Rejection),
}

/// Reads the head, fills the context, and decides.
pub(super) fn decide(
    context: &mut RequestContext,
    head: &mut RequestHeader,
    body_comes: bool,
    peer: IpAddr,
) -> Decision {
    context.client = client_of(context, head, peer);
    context.retry = RetryRule::of(&head.method);
    if let Err(rejection) = target::read(head).and_then(|()| clear_framing(head)) {
        return Decision::Reject(rejection);
    }
    let head = &*head;
    let (host, port) =
        match authority(head).and_then(|authority| HostKey::parse(authority).map_err(Rejection::from)) {
            Ok(parsed) => parsed,
            Err(rejection) => return Decision::Reject(rejection),
        };
    context.port = port;
    let snapshot = std::sync::Arc::clone(&context.snapshot);
    let view = RequestView {
        host: &host,
        path: raw_path(head),
        query: raw_query(head),
        safe_method: crate::upstream::is_safe(&head.method),
        body: body_length(head, body_comes),
        client: context.client.address,
    };
    let verdict = admit(&snapshot.fleet, &view);
    let target = |found: TenantMatch<'_, '_>, class, body_bytes_max| Target {
        tenant: found.index,
        by_suffix: found.label.is_some(),
        pool: found.tenant.pool,
        class,
        body_bytes_max,
    };
    let decision = match verdict {
        Verdict::Forward(route) => {
            context.target = Some(target(route.found, Some(route.class), route.body_bytes_max));
            Decision::Forward
        }
        Verdict::Redirect { host, found } => {
            context.target = Some(target(found, None, 0));
            Decision::Redirect(host.clone())
        }
        Verdict::Reject { rejection, found } => {
            context.target = found.map(|found| target(found, None, 0));
            Decision::Reject(rejection)
        }
    };
    context.host = Some(host);
    decision
}

fn client_of(context: &RequestContext, head: &RequestHeader, peer: IpAddr) -> Client {
    let trusted = &context.snapshot.fleet.trusted_proxies;
    let through_trusted_proxy = is_trusted(peer, trusted);
    let hops = head.headers.get_all("x-forwarded-for").iter().map(http::HeaderValue::as_bytes);
    let address = client_address(peer, hops, trusted);
    let proto = head.headers.get_all("x-forwarded-proto").iter().next_back().map(http::HeaderValue::as_bytes);
    Client {
        address,
        scheme: client_scheme(through_trusted_proxy, proto, Scheme::Http),
        through_trusted_proxy,
    }
}

/// The one authority of a request: `:authority` of HTTP/2, else `Host`. Both may be there if they agree.
fn authority(head: &RequestHeader) -> Result<&[u8], Rejection> {
    let mut hosts = head.headers.get_all(HOST).iter().map(http::HeaderValue::as_bytes);
    let (header, second) = (hosts.next(), hosts.next());
    let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (target, header, second) {
        (_, _, Some(_)) => Err(Rejection::BadRequest),
        (Some(target), Some(header), None) if target != header => Err(Rejection::BadRequest),
        (Some(one), _, None) | (None, Some(one), None) => Ok(one),
        (None, None, None) => Ok(b""),
    }
}

/// A body has one length, written once, or comes in chunks and nothing else. Pingora lets equal lengths pass and sends
/// them on, and WSGI servers join them; of `gzip, chunked` it forwards the compressed bytes and forgets to say so.
fn clear_framing(head: &RequestHeader) -> Result<(), Rejection> {
    let one = |name: HeaderName, fine: fn(&[u8]) -> bool| {
        let mut lines = head.headers.get_all(name).iter();
        lines.next().is_none_or(|line| fine(line.as_bytes())) && lines.next().is_none()
    };
    let length = one(CONTENT_LENGTH, |length| length.iter().all(u8::is_ascii_digit));
    let coding = one(TRANSFER_ENCODING, |coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"));
    if length && coding { Ok(()) } else { Err(Rejection::BadRequest) }
}

/// What a head whose framing is clear says about its body. HTTP/2 need not announce one.
fn body_length(head: &RequestHeader, comes: bool) -> BodyLength {
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    match length.map(str::parse) {
        Some(Ok(length)) => BodyLength::Known(length),
        // No number is that long: so is the body.
        Some(Err(_)) => BodyLength::Known(u64::MAX),
        None if comes => BodyLength::Unknown,
        None => BodyLength::None,
    }
}

/// The query as sent, without the question mark.
fn raw_query(head: &RequestHeader) -> &[u8] {
    let target = head.raw_path();
    let start = target.iter().position(|&byte| byte == b'?');
    start.and_then(|at| target.get(at.saturating_add(1)..)).unwrap_or_default()
}

/// The path as sent, without the query.
pub(super) fn raw_path(head: &RequestHeader) -> &[u8] {
    let target = head.raw_path();
    let end = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    target.get(..end).unwrap_or(target)
}
