//! What is written down about a request when it has ended.

use super::admit::raw_path;
use super::certificate::Shown;
use super::connect::tls_problem;
use super::context::RequestContext;
use super::headers::TRACEPARENT;
use crate::snapshot::BackendLease;
use crate::telemetry::access_log::{AccessEvent, AccessLog};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::trace_id;
use fleetgate_core::odoo::paths::redact;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::traffic::TrafficClass;
use pingora::http::RequestHeader;
use pingora::{Error, ImmutStr};
use std::borrow::Cow;
use std::io;
use std::time::Duration;

/// Longest path in a log line, in bytes.
const PATH_BYTES_MAX: usize = 512;

/// How a request ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome<'a> {
    /// Status of the answer; 0 when none began.
    pub(super) status: u16,
    /// Body bytes from the client.
    pub(super) bytes_in: u64,
    /// Body bytes to the client.
    pub(super) bytes_out: u64,
    /// Why a websocket ended.
    pub(super) websocket_end: Option<&'static str>,
    /// What went wrong.
    pub(super) error: Option<&'a str>,
}

/// The event of a request as far as it is known before the end.
pub(super) fn describe<'a>(context: &'a RequestContext, head: &'a RequestHeader) -> AccessEvent<'a> {
    // Masked before it is cut: a part of a token is not known for one.
    let path = String::from_utf8_lossy(raw_path(head));
    let mut path = redact(&path).map_or(path, Cow::Owned);
    if path.len() > PATH_BYTES_MAX {
        let end = path.floor_char_boundary(PATH_BYTES_MAX);
        path.to_mut().truncate(end);
    }
    let (method, path) =
        if context.refused_unread { ("", Cow::Borrowed("")) } else { (head.method.as_str(), path) };
    let trace = head.headers.get(&TRACEPARENT).and_then(|value| trace_id(value.as_bytes()));
    AccessEvent {
        time: jiff::Timestamp::UNIX_EPOCH,
        event: "request",
        request_id: Cow::Borrowed(context.request_id.as_str()),
        trace_id: trace.map(Cow::Borrowed),
        client: context.client.address,
        certificate: context.certificate.as_ref().map(Shown::event),
        scheme: context.client.scheme.as_str(),
        protocol: protocol(head.version),
        method: Cow::Borrowed(method),
        host: Cow::Borrowed(context.host.as_ref().map_or("", |host| host.as_str())),
        path,
        tenant: context.tenant_id(),
        database: context.database(),
        pool: context.pool().map(|pool| Cow::Borrowed(&*pool.name)),
        class: context.class().map(TrafficClass::as_str),
        backend: context.lease.as_ref().map(BackendLease::address),
        attempts: u8::try_from(context.attempts.count()).unwrap_or(u8::MAX),
        status: 0,
        rejection: context.rejection.map(Rejection::code),
        reason: context.rejection.and_then(Rejection::reason),
        bytes_in: 0,
        bytes_out: 0,
        duration: Duration::ZERO,
        queued: context.queued,
        held: context.held,
        first_byte: context.first_byte,
        websocket_end: None,
        error: None,
        generation: context.snapshot.generation,
    }
}

/// Completes the event and writes it.
pub(super) fn conclude<'a>(
    mut event: AccessEvent<'a>,
    outcome: &Outcome<'a>,
    duration: Duration,
    log: &AccessLog,
) {
    event.time = jiff::Timestamp::now();
    event.status = outcome.status;
    event.bytes_in = outcome.bytes_in;
    event.bytes_out = outcome.bytes_out;
    event.duration = duration;
    event.websocket_end = outcome.websocket_end;
    event.error = outcome.error.map(Cow::Borrowed);
    log.write(&event);
}

/// Counts an answered request.
pub(super) fn count(context: &RequestContext, status: u16, duration: Duration, metrics: &Metrics) {
    for account in context.account.iter().chain(context.entry_account()) {
        account.count_request(context.rejection.is_some());
    }
    if let (Some(account), Some(host), None) = (&context.account, &context.host, context.rejection) {
        account.note_host(host.as_str());
    }
    if let (Some(pool), Some(class)) = (context.pool(), context.class()) {
        metrics.count_request(&pool.name, class, status, duration);
    }
    if let Some(rejection) = context.rejection {
        metrics.count_rejection(rejection);
    }
}

/// What went wrong, in fixed words and those of TLS and the system: other texts of Pingora quote bytes of heads and bodies.
pub(super) fn cause_of(error: &Error) -> String {
    let system = error.root_cause().downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    let system = system.map(io::Error::from_raw_os_error);
    let mut text = format!("{} {}", error.source_str(), error.root_etype().as_str());
    if let Some(ImmutStr::Static(context)) = &error.context {
        text.push_str(": ");
        text.push_str(context);
    }
    if let Some(problem) = tls_problem(error) {
        text.push_str(": ");
        text.push_str(&problem.to_string());
    }
    if let Some(system) = system {
        text.push_str(": ");
        text.push_str(&system.to_string());
    }
    text
}

fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_2 => "HTTP/2.0",
        http::Version::HTTP_11 => "HTTP/1.1",
        http::Version::HTTP_10 => "HTTP/1.0",
        _ => "other",
    }
}
