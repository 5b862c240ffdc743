//! The head of a request as Odoo gets it.

use super::certificate::Shown;
use super::context::RequestContext;
use super::cookies::{harden_session, join_cookies};
use super::hop;
use super::service::GatewayState;
use crate::telemetry::trace::trace_id;
use fleetgate_core::odoo::cookies;
use fleetgate_core::odoo::headers::{DATABASE, DBFILTER, is_internal_answer, is_reserved};
use fleetgate_core::outbound::Outbound;
use fleetgate_core::path::NormalPath;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, SERVER, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts as ReqParts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, OrErr, Result};

/// Request id, to Odoo and to the client.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// Trace of a request (W3C Trace Context).
pub(super) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What a request is told to a backend with. A name that is made anew has to be parsed anew.
static OWN: [HeaderName; 8] = [
    HOST,
    HeaderName::from_static(REQUEST_ID),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static(DBFILTER),
    HeaderName::from_static(DATABASE),
];
/// What an answer says about the backend's connection and not about the client's (RFC 9110, section 7.6.1). Clients of
/// HTTP/2 may refuse an answer that has one (RFC 9113, section 8.2.2). Pingora writes `Connection` itself.
static BACKEND_HOP: [HeaderName; 4] =
    [HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection"), TE, UPGRADE];

/// Drops Pingora's record of how the client spelled the names of fields: names have no case (RFC 9110, section 5.1),
/// and the record costs as much as the fields themselves whenever a head is copied, changed or written.
pub(super) fn forget_spelling(head: &mut RequestHeader) -> Result<()> {
    if head.has_case() { change_fields(head, |_, _| Ok(())) } else { Ok(()) }
}

/// Changes the fields of a head in place, seeing its target. Pingora lets nobody do so but by taking the head apart, and through its own
/// methods each change parses the name again.
fn change_fields(
    head: &mut RequestHeader,
    change: impl FnOnce(&Uri, &mut HeaderMap) -> Result<()>,
) -> Result<()> {
    let target = head.raw_path();
    let in_uri = head.uri.path_and_query().is_some_and(|path| path.as_str().as_bytes() == target);
    let target = (!in_uri).then(|| target.to_vec());
    let empty = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts = ReqParts::from(std::mem::replace(head, empty));
    let changed = change(&parts.uri, &mut parts.headers);
    *head = RequestHeader::from(parts);
    target.map_or(Ok(()), |target| head.set_raw_path(&target)).and(changed)
}

/// Rewrites a head for a backend: everything a client may not say goes, and each thing that Odoo believes is set
/// once, with one canonical value (`ProxyFix` of Werkzeug takes the last of several).
pub(super) fn rewrite(context: &RequestContext, head: &mut RequestHeader) -> Result<()> {
    change_fields(head, |target, fields| rewrite_fields(context, target, fields))
}

/// The same for a head that comes from the client as it is: what was for its connection goes too.
///
/// # Errors
/// The `Connection` field names what it must not.
pub(super) fn rewrite_whole(context: &RequestContext, head: &mut RequestHeader) -> Result<()> {
    change_fields(head, |target, fields| {
        hop::remove_client_hop(fields)?;
        rewrite_fields(context, target, fields)
    })
}

fn rewrite_fields(context: &RequestContext, target: &Uri, fields: &mut HeaderMap) -> Result<()> {
    let path = NormalPath::new(target.path().as_bytes());
    let path = path.or_err(ErrorType::InternalError, "a path was not settled")?;
    remove_reserved(fields);
    join_cookies(fields)?;
    set(fields, REQUEST_ID, context.request_id.as_str())?;
    let (Some(pool), Some(database), Some(authority)) =
        (context.pool(), context.database(), context.authority())
    else {
        let text = "a request without a tenant was forwarded";
        return Err(Error::explain(ErrorType::InternalError, text).into_in());
    };
    let far = context.goes_far();
    let shown = context.certificate.as_ref();
    let chain = shown.filter(|_| far).and_then(Shown::chain_field);
    let outbound = Outbound {
        pool,
        database: &database,
        authority: &authority,
        client: context.client.address,
        scheme: context.client.scheme,
        path: &path,
        has_session: cookies::name_session(fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes)),
        client_certificate: shown.and_then(|shown| shown.field(far)),
        client_certificate_chain: chain.as_deref(),
        far,
    };
    outbound.try_for_each(|name, value| set(fields, name, value))
}

fn set(fields: &mut HeaderMap, name: &'static str, value: &str) -> Result<()> {
    let known = OWN.iter().find(|own| own.as_str() == name).cloned();
    let name = known.unwrap_or_else(|| HeaderName::from_static(name));
    // Clients mostly write the host as it is.
    if name == HOST && fields.get_all(&name).iter().map(HeaderValue::as_bytes).eq([value.as_bytes()]) {
        return Ok(());
    }
    let value = HeaderValue::from_str(value).or_err(ErrorType::InvalidHTTPHeader, "setting a header")?;
    fields.insert(name, value);
    Ok(())
}

/// Makes the head of a backend's answer fit for the client. `ends`: nothing follows it.
///
/// # Errors
/// The backend switches protocols unasked.
pub(super) fn adopt(
    session: &mut Session,
    context: &RequestContext,
    state: &GatewayState,
    head: &mut ResponseHeader,
    ends: bool,
) -> Result<()> {
    refuse_unasked_upgrade(head)?;
    let without_body =
        session.req_header().method == http::Method::HEAD || matches!(head.status.as_u16(), 204 | 304);
    let has_length =
        head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING);
    if !ends && !without_body && !has_length {
        // The end of the backend's connection ends the body; the client's goes on.
        head.insert_header(TRANSFER_ENCODING, "chunked")?;
    }
    answer_in_our_name(session, context, state, head)
}

/// Rewrites the head of an answer for the client, and says whether its connection goes on.
pub(super) fn answer_in_our_name(
    session: &mut Session,
    context: &RequestContext,
    state: &GatewayState,
    head: &mut ResponseHeader,
) -> Result<()> {
    let ends_by_closing = end_by_closing(session.req_header().version, head);
    if ends_by_closing || *state.draining.borrow() {
        session.set_keepalive(None);
    }
    adopt_answer(context, head)?;
    super::answer::tell_limits(context, head)?;
    context.pool().map_or(Ok(()), |pool| harden_session(head, pool.session_cookie))
}

/// Makes an answer one of ours: prefork Odoo answers in HTTP/1.0, and says what it runs on.
pub(super) fn adopt_answer(context: &RequestContext, head: &mut ResponseHeader) -> Result<()> {
    head.set_version(http::Version::HTTP_11);
    head.remove_header(&SERVER);
    let switches = head.status == http::StatusCode::SWITCHING_PROTOCOLS;
    if !switches && head.headers.keys().any(|name| BACKEND_HOP.contains(name)) {
        for name in &BACKEND_HOP {
            head.remove_header(name);
        }
    }
    remove_internal(head);
    head.insert_header(REQUEST_ID, context.request_id.as_str())
}

/// What Odoo tells the server in front of it names files on its disk.
fn remove_internal(head: &mut ResponseHeader) {
    let internal = |name: &&HeaderName| is_internal_answer(name.as_str());
    let names: Vec<HeaderName> = head.headers.keys().filter(internal).cloned().collect();
    for name in names {
        head.remove_header(&name);
    }
}

/// Takes away the chunks that Pingora gives to an answer without a length: HTTP/1.0 does not know them. The end of the
/// connection ends the body instead. True if the connection must be closed for it.
fn end_by_closing(client: http::Version, head: &mut ResponseHeader) -> bool {
    client == http::Version::HTTP_10 && head.remove_header(&TRANSFER_ENCODING).is_some()
}

/// Tells the backend to close a connection that serves one request only.
pub(super) fn set_connection(context: &RequestContext, head: &mut RequestHeader) -> Result<()> {
    if context.may_reuse_connection() { Ok(()) } else { head.insert_header(CONNECTION, "close") }
}

/// A backend that switches protocols without being asked would get the client's next request as raw bytes.
pub(super) fn refuse_unasked_upgrade(head: &ResponseHeader) -> Result<()> {
    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(
            Error::explain(ErrorType::InvalidHTTPHeader, "the backend switched protocols unasked").into_up()
        );
    }
    Ok(())
}

fn remove_reserved(fields: &mut HeaderMap) {
    let mut traces = fields.get_all(&TRACEPARENT).iter();
    let broken_trace = traces.next().is_some_and(|value| trace_id(value.as_bytes()).is_none());
    // Two of them are none (W3C Trace Context, section 3.2).
    if broken_trace || traces.next().is_some() {
        fields.remove(&TRACEPARENT);
        fields.remove("tracestate");
    }
    if fields.keys().any(|name| is_reserved(name.as_str())) {
        let reserved: Vec<HeaderName> =
            fields.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
        for name in reserved {
            fields.remove(name);
        }
    }
}
