//! The peer of an attempt, and what its failures mean.

use super::connect::tls_problem;
use super::context::RequestContext;
use super::region;
use crate::snapshot::BackendLease;
use crate::upstream::Failure;
use fleetgate_core::pool::Timeouts;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::request::Fault;
use fleetgate_core::traffic::TrafficClass;
use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::{H1UpgradePolicy, HttpPeer, HttpUpstreamRequestPolicy};
use pingora::{Error, ErrorSource, ErrorType, Result};
use std::time::Duration;

/// Idle connections to a backend are closed before Odoo or a firewall does it.
pub(super) const BACKEND_IDLE: Duration = Duration::from_secs(30);
/// Bit of a group of connections that serve one request only. Connections of such a group are never kept.
const SINGLE_USE: u64 = 1;

/// Chooses the next backend and describes the connection to it.
///
/// # Errors
/// No backend is left to ask.
pub(super) fn next_peer(context: &mut RequestContext) -> Result<Box<HttpPeer>> {
    let timeouts = timeouts(context);
    let may_reuse = context.may_reuse_connection();
    let group = context.backend_tls().map_or(0, |tls| tls.group());
    let Some(lease) = context.next_backend() else {
        return Error::e_explain(ErrorType::ConnectError, "no backend is left to ask");
    };
    let mut peer = HttpPeer::new(lease.address(), false, String::new());
    // Connections are shared by who asks for the same in TLS, and never by others.
    let shared = group & !SINGLE_USE;
    peer.group_key = if may_reuse { shared } else { shared | SINGLE_USE };
    let options = &mut peer.options;
    if let Some(timeouts) = timeouts {
        options.connection_timeout = Some(timeouts.connect);
        options.total_connection_timeout = Some(timeouts.connect);
        options.read_timeout = Some(timeouts.read);
        options.write_timeout = Some(timeouts.write);
    }
    options.idle_timeout = Some(BACKEND_IDLE);
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 3,
        user_timeout: Duration::ZERO,
    });
    // Websockets have a way of their own; any other upgrade is sent on as a plain request.
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy {
        h1_upgrade: H1UpgradePolicy::Deny,
        ..HttpUpstreamRequestPolicy::default()
    };
    Ok(Box::new(peer))
}

fn timeouts(context: &RequestContext) -> Option<Timeouts> {
    let pool = context.pool()?;
    Some(match context.class()? {
        TrafficClass::Websocket | TrafficClass::Longpolling => pool.longpolling,
        TrafficClass::Page
        | TrafficClass::Rpc
        | TrafficClass::Static
        | TrafficClass::Report
        | TrafficClass::Integration => pool.http,
    })
}

/// Whether a connection to a peer serves one request only.
pub(super) fn is_single_use(peer: &HttpPeer) -> bool {
    peer.group_key & SINGLE_USE != 0
}

/// Remembers that the backend of the last attempt took no connection.
pub(super) fn note_connect_failure(context: &RequestContext, error: &Error) {
    let Some(lease) = &context.lease else { return };
    note_failing(context, lease, tls_problem(error));
}

/// Marks a backend, and says what is wrong in TLS: that does not mend itself.
pub(super) fn note_failing(context: &RequestContext, lease: &BackendLease, tls: Option<&rustls::Error>) {
    let news = lease.backend().note_connect_failure(lease.port());
    if let Some(problem) = tls.filter(|_| news) {
        let pool = context.pool().map_or("", |pool| &*pool.name);
        tracing::error!(
            pool, backend = %lease.address(), %problem,
            "there is no TLS with a backend; compare its certificate and authority with `tls` of the pool"
        );
    }
}

/// Decides whether a failed attempt is followed by another: the one place where the retry rule meets Pingora.
pub(super) fn settle(
    context: &mut RequestContext,
    error: &mut Error,
    failure: Failure,
    on_kept_connection: bool,
) {
    let timed_out = matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
    let from_backend = *error.esource() != ErrorSource::Downstream;
    // A silent backend may be at work on the request; a second one would do the work twice. One that is silent to everybody
    // is at work on nothing.
    let is_known = matches!(failure, Failure::Connect | Failure::Lost);
    let mut again = from_backend && (is_known || !timed_out) && context.retry.allows(failure);
    if again && on_kept_connection && !context.fresh_connection && failure != Failure::Lost {
        // A kept connection that went stale says nothing about the backend: it may be asked once more.
        context.fresh_connection = true;
        context.attempts = context.attempts.without_last();
    } else {
        again = again && (context.may_try_another() || region::serves_elsewhere(context));
    }
    error.set_retry(again);
}

/// What the client is told about a failure. `None` when the client itself is gone.
pub(super) fn rejection_for(error: &Error) -> Option<Rejection> {
    match (error.esource(), error.etype()) {
        (_, ErrorType::HTTPStatus(_)) => Some(Rejection::Internal),
        // Fields for the connection only are the last of a head to be looked at.
        (ErrorSource::Downstream, ErrorType::InvalidHTTPHeader) => Some(Fault::Connection.into()),
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(Fault::Body.into()),
        (ErrorSource::Downstream, _) if broke_framing(error) => Some(Fault::Chunks.into()),
        (ErrorSource::Downstream, _) => None,
        (_, ErrorType::TLSHandshakeFailure) => Some(Rejection::BackendUntrusted),
        (ErrorSource::Upstream, _) if tls_problem(error).is_some() => Some(Rejection::BackendUntrusted),
        (
            _,
            ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::SocketError
            | ErrorType::BindError,
        ) => Some(Rejection::BackendUnreachable),
        (_, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => Some(Rejection::BackendTimeout),
        (_, ErrorType::InvalidHTTPHeader) => Some(Rejection::BackendInvalid),
        (ErrorSource::Upstream, _) => Some(Rejection::BackendReset),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Rejection::Internal),
    }
}

/// Whether the client's connection refused to go on: the chunks of the body broke.
fn broke_framing(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::InvalidData)
}
