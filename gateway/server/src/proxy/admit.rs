//! From a request's head to a verdict.

use super::certificate::prove;
use super::context::{Client, RequestContext, Target};
use super::{far, region, target};
use crate::acme::Answers;
use crate::connection::{ClientStream, Origin};
use crate::upstream::RetryRule;
use fleetgate_core::forwarded::{Scheme, client_address, client_scheme};
use fleetgate_core::guard::BodyLength;
use fleetgate_core::host::{HostKey, HostName};
use fleetgate_core::region::GATEWAYS_HOST;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::request::{Target as RequestTarget, judge_parsed};
use fleetgate_core::tenant::TenantMatch;
use fleetgate_core::verdict::{RequestView, Route, Verdict, admit};
use http::HeaderName;
use http::header::{CONTENT_LENGTH, HOST};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use std::net::IpAddr;
use std::sync::Arc;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What happens to a request next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// It goes to a backend.
    Forward,
    /// The client is sent to another host.
    Redirect(HostName),
    /// A server of ACME gets what proves that a name is ours.
    Prove(Arc<str>),
    /// A gateway of another site is told what is seen here.
    Tell(Arc<str>),
    /// The client is sent to the same place through TLS.
    Secure,
    /// The gateway answers.
    Reject(Rejection),
}

/// Reads the head, fills the context, and decides.
pub(super) fn decide(
    context: &mut RequestContext,
    session: &mut Session,
    peer: IpAddr,
    answers: &Answers,
) -> Decision {
    let refusal = refusal(session);
    let origin = Origin::of(session.digest()).cloned().unwrap_or_default();
    let spoken = if origin.tls { Scheme::Https } else { Scheme::Http };
    context.client = client_of(context, session.req_header(), (peer, &origin), spoken);
    if let Some(rejection) = refusal {
        context.refused_unread = session.req_header().version != http::Version::HTTP_2;
        session.set_keepalive(None);
        return Decision::Reject(rejection);
    }
    let body_comes = !session.as_downstream_mut().is_body_empty();
    let head = session.req_header_mut();
    context.retry = RetryRule::of(&head.method);
    if let Err(fault) = target::settle(head) {
        return Decision::Reject(Rejection::from(fault));
    }
    let head = &*head;
    let asked = match RequestTarget::parse(head.raw_path()) {
        Ok(asked) => asked,
        Err(fault) => return Decision::Reject(Rejection::from(fault)),
    };
    let (host, port) = match HostKey::parse(authority(head)) {
        Ok(parsed) => parsed,
        Err(error) => return Decision::Reject(Rejection::from(error)),
    };
    (context.host, context.port) = (Some(host), port);
    if let Some(answer) = answers.token(asked.path.as_bytes()) {
        return Decision::Prove(answer);
    }
    if origin.gateway && host.as_str() == GATEWAYS_HOST {
        return far::word(context, asked.path.as_bytes());
    }
    let proof = prove(context, &origin, &host, head);
    let snapshot = Arc::clone(&context.snapshot);
    let view = RequestView {
        host: &host,
        path: &asked.path,
        query: asked.query.unwrap_or_default(),
        safe_method: crate::upstream::is_safe(&head.method),
        body: body_length(head, body_comes),
        client: context.client.address,
        server_name: origin.server_name.as_ref(),
        proof,
    };
    let verdict = admit(&snapshot.fleet, &view);
    context.account = verdict.found().and_then(|found| snapshot.account(found));
    match verdict {
        Verdict::Forward(Route { found, .. }) | Verdict::Redirect { found, .. }
            if origin.redirect_to_https =>
        {
            context.target = Some(target_of(found));
            Decision::Secure
        }
        Verdict::Forward(route) => {
            let Route { found, class, body_bytes_max, streamed, .. } = route;
            let target = Target { class: Some(class), body_bytes_max, streamed, ..target_of(found) };
            enter_region(context, target)
        }
        Verdict::Redirect { host, found } => {
            context.target = Some(target_of(found));
            Decision::Redirect(host.clone())
        }
        Verdict::Reject { rejection, found } => {
            context.target = found.map(target_of);
            Decision::Reject(rejection)
        }
    }
}

fn target_of(found: TenantMatch<'_, '_>) -> Target {
    Target {
        tenant: found.index,
        by_suffix: found.label.is_some(),
        pool: found.tenant.pool,
        region: 0,
        class: None,
        body_bytes_max: 0,
        streamed: false,
    }
}

/// Sends a request to the region that serves its pool.
fn enter_region(context: &mut RequestContext, target: Target) -> Decision {
    let region = region::expect(context, target);
    context.target = Some(Target { region: region.unwrap_or_default(), ..target });
    region.map_or_else(Decision::Reject, |_| Decision::Forward)
}

fn client_of(
    context: &RequestContext,
    head: &RequestHeader,
    (peer, origin): (IpAddr, &Origin),
    spoken: Scheme,
) -> Client {
    let trusted = &context.snapshot.fleet.trusted_proxies;
    let through_trusted_proxy = origin.peer_trust.covers(peer, trusted);
    let hops = head.headers.get_all(&X_FORWARDED_FOR).iter().map(http::HeaderValue::as_bytes);
    let address = client_address(peer, through_trusted_proxy, hops, trusted);
    let proto = head.headers.get_all(&X_FORWARDED_PROTO).iter().next_back().map(http::HeaderValue::as_bytes);
    let scheme = client_scheme(through_trusted_proxy, proto, spoken);
    Client { address, scheme, through_trusted_proxy, through_gateway: origin.gateway }
}

/// The one authority of a request: `:authority` of HTTP/2, else `Host`. Where both are there, they agree: the client's
/// bytes were checked for HTTP/1, and Pingora checks it for HTTP/2.
fn authority(head: &RequestHeader) -> &[u8] {
    let header = || head.headers.get(HOST).map(http::HeaderValue::as_bytes);
    let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    target.or_else(header).unwrap_or_default()
}

/// Why the head must be refused, as far as that does not depend on where it leads. Heads of HTTP/1 were judged byte by
/// byte when they came in.
fn refusal(session: &Session) -> Option<Rejection> {
    if let Some(stream) = session.as_downstream().stream() {
        return (**stream).as_any().downcast_ref::<ClientStream>()?.refused();
    }
    let head = session.req_header();
    let fields = head.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    judge_parsed(head.method.as_str().as_bytes(), head.raw_path(), fields).err()
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

/// The path as sent, without the query.
pub(super) fn raw_path(head: &RequestHeader) -> &[u8] {
    let target = head.raw_path();
    let end = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    target.get(..end).unwrap_or(target)
}
