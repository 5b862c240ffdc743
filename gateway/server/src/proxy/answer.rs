//! The only place that writes an answer of our own.

use super::admit::raw_path;
use super::context::RequestContext;
use super::headers::REQUEST_ID;
use fleetgate_core::host::HostName;
use fleetgate_core::rejection::{AnswerShape, Asker, Rejection};
use fleetgate_core::request;
use fleetgate_core::rpc::{RpcAnswer, RpcRoute, is_json};
use fleetgate_core::tenant::TenantState;
use http::HeaderName;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, LOCATION, RETRY_AFTER,
};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

const PAGE: &str = include_str!("answer.html");
/// Header fields of draft-ietf-httpapi-ratelimit-headers-10.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// See [`RATE_LIMIT`].
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Longest body that is read for the `id` of a refused call, in bytes.
const CALL_BYTES_MAX: usize = 4096;
/// For such a body.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Shortest pause between two automatic reloads of a page, in seconds.
const REFRESH_SECONDS_MIN: u32 = 5;
/// For the rest of a request that is answered before its end.
const LINGER: Duration = Duration::from_secs(5);

/// Answers with a rejection, shaped for who asks.
///
/// # Errors
/// The client is gone.
pub(super) async fn reject(
    session: &mut Session,
    context: &mut RequestContext,
    rejection: Rejection,
) -> Result<()> {
    context.rejection = Some(rejection);
    settle_charge(context);
    let head = session.req_header();
    let shape = AnswerShape::of(rejection, &asker(context, head));
    let (media, body) = match shape {
        AnswerShape::Page => ("text/html; charset=utf-8", page(context, rejection).into_bytes()),
        AnswerShape::Text => ("text/plain; charset=utf-8", text(context, rejection).into_bytes()),
        AnswerShape::Problem => ("application/problem+json", problem(context, rejection).into_bytes()),
        AnswerShape::JsonRpc => {
            let id = call_id(session).await;
            let (title, told) = (rejection.title(), told(rejection));
            let answer = RpcAnswer::json_warning(rejection.status(), title, &told, &id);
            (answer.content_type, answer.body.into())
        }
        AnswerShape::XmlRpc(codes) => {
            let answer = RpcAnswer::xml_warning(rejection.status(), &told(rejection), codes);
            (answer.content_type, answer.body.into())
        }
    };
    let mut answer = ResponseHeader::build(rejection.status(), Some(8))?;
    answer.insert_header(CONTENT_TYPE, media)?;
    answer.insert_header(CONTENT_LENGTH, body.len().to_string())?;
    answer.insert_header(CACHE_CONTROL, "no-store")?;
    answer.insert_header(REQUEST_ID, context.request_id.as_str())?;
    if let Some(seconds) = rejection.retry_after_seconds() {
        answer.insert_header(RETRY_AFTER, seconds.to_string())?;
    }
    if rejection.is_for_the_moment() {
        tell_limits(context, &mut answer)?;
    }
    if rejection == Rejection::MethodNotAllowed {
        answer.insert_header(ALLOW, request::ALLOW)?;
    }
    let without_body = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(answer), without_body).await?;
    if !without_body {
        session.write_response_body(Some(body.into()), true).await?;
    }
    linger(session).await;
    Ok(())
}

/// Says how much of its limits a tenant has left.
pub(super) fn tell_limits(context: &RequestContext, answer: &mut ResponseHeader) -> Result<()> {
    let report = &context.limit_report;
    if report.is_empty() {
        return Ok(());
    }
    answer.insert_header(RATE_LIMIT_POLICY, report.policy_field())?;
    answer.insert_header(RATE_LIMIT, report.use_field())
}

fn asker<'h>(context: &RequestContext, head: &'h RequestHeader) -> Asker<'h> {
    let path = raw_path(head);
    let field = |name: &HeaderName| head.headers.get(name).map(http::HeaderValue::as_bytes);
    Asker {
        class: context.class(),
        route: context.pool().and_then(|pool| RpcRoute::of(pool.odoo_version, path)),
        path,
        accept: field(&ACCEPT),
        sends_json: is_json(field(&CONTENT_TYPE)),
    }
}

/// The `id` of a call of JSON-RPC as it stands in a short body, else `null`: a call that is refused before its body is
/// read need not be read whole for it.
async fn call_id(session: &mut Session) -> String {
    let nobody = || "null".to_owned();
    let done = session.is_body_done();
    let fields = &session.req_header().headers;
    let length = fields.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if done || fields.contains_key(EXPECT) || length.is_none_or(|length: usize| length > CALL_BYTES_MAX) {
        return nobody();
    }
    let mut body = Vec::new();
    let whole = timeout(CALL_TIMEOUT, async {
        while let Ok(Some(piece)) = session.read_request_body().await {
            body.extend_from_slice(&piece);
        }
    });
    if whole.await.is_err() {
        return nobody();
    }
    // Anything but a number or a short text is no id (JSON-RPC 2.0, section 4).
    match serde_json::from_slice::<CallId>(&body).map(|call| call.id) {
        Ok(id @ (Value::Number(_) | Value::String(_))) => id.to_string(),
        Ok(_) | Err(_) => nobody(),
    }
}

/// The part of a call that its answer repeats.
#[derive(Deserialize)]
struct CallId {
    #[serde(default)]
    id: Value,
}

/// Answers a call by a program in its protocol.
///
/// # Errors
/// The client is gone.
pub(super) async fn call(session: &mut Session, context: &mut RequestContext, call: RpcAnswer) -> Result<()> {
    context.rejection = call.denial.map(Rejection::RpcDenied);
    settle_charge(context);
    let mut answer = ResponseHeader::build(call.status, Some(4))?;
    answer.insert_header(CONTENT_TYPE, call.content_type)?;
    answer.insert_header(CONTENT_LENGTH, call.body.len().to_string())?;
    answer.insert_header(CACHE_CONTROL, "no-store")?;
    answer.insert_header(REQUEST_ID, context.request_id.as_str())?;
    let without_body = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(answer), without_body).await?;
    if !without_body {
        session.write_response_body(Some(call.body.into()), true).await?;
    }
    Ok(())
}

/// What no backend has heard of costs nothing; the rest is written down before the client hears of it.
fn settle_charge(context: &mut RequestContext) {
    if let Some(charge) = &mut context.charge {
        charge.refund_unless_reached();
        charge.leaves(0);
    }
}

/// Reads what the client is still sending, for a while. Closing a connection with unread bytes resets it, and a reset
/// takes the answer away from a client that is busy with its upload (RFC 9112, section 9.6).
async fn linger(session: &mut Session) {
    // A client that waits for `100 Continue` sends nothing more.
    if session.is_body_done() || session.req_header().headers.contains_key(EXPECT) {
        return;
    }
    session.set_total_drain_timeout(Some(LINGER));
    if session.drain_request_body().await.is_err() {
        tracing::debug!("the client left, or sends for too long");
    }
}

/// Answers a server of ACME (RFC 8555, section 8.3), or a gateway of another site.
///
/// # Errors
/// The client is gone.
pub(super) async fn tell(session: &mut Session, context: &RequestContext, text: &str) -> Result<()> {
    let mut answer = ResponseHeader::build(200, Some(4))?;
    answer.insert_header(CONTENT_TYPE, "application/octet-stream")?;
    answer.insert_header(CONTENT_LENGTH, text.len().to_string())?;
    answer.insert_header(CACHE_CONTROL, "no-store")?;
    answer.insert_header(REQUEST_ID, context.request_id.as_str())?;
    let without_body = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(answer), without_body).await?;
    if !without_body {
        session.write_response_body(Some(text.to_owned().into()), true).await?;
    }
    linger(session).await;
    Ok(())
}

/// Sends the client to the tenant's canonical host, path and query kept.
///
/// # Errors
/// The client is gone.
pub(super) async fn redirect(session: &mut Session, context: &RequestContext, host: &HostName) -> Result<()> {
    let scheme = context.client.scheme;
    let mut location = format!("{}://{host}", scheme.as_str()).into_bytes();
    if let Some(port) = context.port.filter(|port| *port != scheme.default_port()) {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    location.extend_from_slice(session.req_header().raw_path());
    let mut answer = ResponseHeader::build(301, Some(4))?;
    answer.insert_header(LOCATION, location)?;
    answer.insert_header(CONTENT_LENGTH, "0")?;
    answer.insert_header(REQUEST_ID, context.request_id.as_str())?;
    session.write_response_header(Box::new(answer), true).await
}

/// Sends the client to the same place through TLS, on its usual port. What is no GET comes again as it was (308).
///
/// # Errors
/// The client is gone.
pub(super) async fn secure(session: &mut Session, context: &RequestContext) -> Result<()> {
    let host = context.host.as_ref().map_or("", |host| host.as_str());
    let mut location = format!("https://{host}").into_bytes();
    location.extend_from_slice(session.req_header().raw_path());
    let status = if crate::upstream::is_safe(&session.req_header().method) { 301 } else { 308 };
    let mut answer = ResponseHeader::build(status, Some(4))?;
    answer.insert_header(LOCATION, location)?;
    answer.insert_header(CONTENT_LENGTH, "0")?;
    answer.insert_header(REQUEST_ID, context.request_id.as_str())?;
    // A body that nobody reads would be taken for the next request.
    session.set_keepalive(None);
    session.write_response_header(Box::new(answer), true).await?;
    linger(session).await;
    Ok(())
}

fn message(context: &RequestContext) -> Option<&str> {
    match &context.tenant()?.state {
        TenantState::Maintenance(maintenance) => maintenance.message.as_deref(),
        TenantState::Active | TenantState::Suspended => None,
    }
}

fn page(context: &RequestContext, rejection: Rejection) -> String {
    let message = message(context).filter(|_| matches!(rejection, Rejection::TenantMaintenance { .. }));
    let message = message.map(|text| format!("<p>{}</p>\n", escape(text))).unwrap_or_default();
    let refresh = rejection.retry_after_seconds().map(|seconds| seconds.max(REFRESH_SECONDS_MIN));
    let again = refresh.map(|seconds| format!("<p>This page tries again by itself in {seconds} s.</p>\n"));
    let refresh = refresh.map(|seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">\n"));
    PAGE.replace("{refresh}", &refresh.unwrap_or_default())
        .replace("{again}", &again.unwrap_or_default())
        .replace("{title}", rejection.title())
        .replace("{advice}", rejection.advice())
        .replace("{status}", &rejection.status().to_string())
        .replace("{code}", rejection.code())
        .replace("{request_id}", context.request_id.as_str())
        .replace("{message}", &message)
}

fn text(context: &RequestContext, rejection: Rejection) -> String {
    let (title, advice) = (rejection.title(), rejection.advice());
    format!("{title}. {advice} [{} {}]\n", rejection.code(), context.request_id.as_str())
}

/// What a program shows to its user. Holds nothing that JSON or XML would have to escape.
fn told(rejection: Rejection) -> String {
    let wait = rejection.retry_after_seconds();
    let wait = wait.map(|seconds| format!(" Please try again in {seconds} s.")).unwrap_or_default();
    format!("{}{wait}", rejection.advice())
}

fn problem(context: &RequestContext, rejection: Rejection) -> String {
    let violated: Vec<&str> = rejection.limit().iter().map(|limit| limit.as_str()).collect();
    let mut problem = serde_json::json!({
        "type": problem_type(rejection),
        "title": rejection.title(),
        "status": rejection.status(),
        "detail": rejection.advice(),
        "code": rejection.code(),
        "request_id": context.request_id.as_str(),
    });
    if let (false, Some(members)) = (violated.is_empty(), problem.as_object_mut()) {
        members.insert("violated-policies".to_owned(), violated.into());
    }
    problem.to_string()
}

/// Types of draft-ietf-httpapi-ratelimit-headers-10, section 6, where one fits.
const fn problem_type(rejection: Rejection) -> &'static str {
    if rejection.is_for_the_moment() {
        match rejection.status() {
            429 => "https://iana.org/assignments/http-problem-types#quota-exceeded",
            _ => "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
        }
    } else {
        "about:blank"
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_message_stays_text() {
        assert_eq!(escape("<b>\"&\"</b>"), "&lt;b&gt;&quot;&amp;&quot;&lt;/b&gt;");
    }
}
