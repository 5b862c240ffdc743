//! The guard of one request.

use super::answer::RpcAnswer;
use super::json::{JsonCall, JsonShape};
use super::outcome::{Denial, RpcOutcome, RpcRefusal};
use super::policy::{Named, RpcPolicy};
use super::route::RpcRoute;
use super::stray::StrayCall;
use super::xml::XmlCall;
use crate::limit::Login;

/// What the head of a request says about its body and its database.
#[derive(Debug, Clone, Copy, Default)]
pub struct BodyFacts<'r> {
    /// Value of `Content-Type`.
    pub content_type: Option<&'r [u8]>,
    /// Value of `Content-Encoding`.
    pub content_encoding: Option<&'r [u8]>,
    /// Databases that the head names: values of `X-Odoo-Database`.
    pub databases: &'r [&'r [u8]],
}

/// Reads the body of one request on an [`RpcRoute`] and says what becomes of it. Takes the bytes in any pieces and any
/// number of them; what it says does not depend on how they are cut. Holds less than 32 KiB.
#[derive(Debug)]
pub struct RpcGuard {
    policy: RpcPolicy,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Json(Box<JsonCall>),
    Xml(Box<XmlCall>),
    /// On a path where no call belongs.
    Stray(Box<StrayCall>),
    /// The head was enough.
    Settled(RpcOutcome),
}

impl RpcGuard {
    /// Begins with the head of a request. The method does not matter: Odoo reads the body of any.
    #[must_use]
    pub fn new(route: RpcRoute<'_>, policy: RpcPolicy, facts: BodyFacts<'_>) -> Self {
        let reader = match route {
            RpcRoute::DatabaseManager => Reader::Settled(RpcOutcome::Forward { replace: None }),
            RpcRoute::Elsewhere => Reader::stray(&facts),
            _ if is_encoded(facts.content_encoding) => refuse(RpcRefusal::ContentEncoding),
            RpcRoute::Xml { service, faults } => Reader::Xml(Box::new(XmlCall::new(service, faults))),
            RpcRoute::Json | RpcRoute::Authenticate if !is_json(facts.content_type) => {
                refuse(RpcRefusal::ContentType)
            }
            RpcRoute::Json => Reader::Json(Box::new(JsonCall::new(JsonShape::Service))),
            RpcRoute::Authenticate => Reader::Json(Box::new(JsonCall::new(JsonShape::Login))),
            RpcRoute::Json2 { model, method } => match json2(&policy, &facts, model, method) {
                Some(denial) => Reader::Settled(RpcOutcome::Answer(RpcAnswer::json2_error(denial))),
                None => Reader::stray(&facts),
            },
        };
        Self { policy, reader }
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        match &mut self.reader {
            Reader::Json(call) => call.feed(piece, &self.policy),
            Reader::Xml(call) => call.feed(piece, &self.policy),
            Reader::Stray(stray) => stray.feed(piece, &self.policy),
            Reader::Settled(_) => {}
        }
    }

    /// Whether the call may still go to Odoo. Once it may not, nothing of the body needs to be kept; more bytes may be
    /// fed, and change nothing but the `id` of the answer.
    #[must_use]
    pub fn may_forward(&self) -> bool {
        match &self.reader {
            Reader::Json(call) => call.may_forward(),
            Reader::Xml(call) => call.may_forward(),
            Reader::Stray(stray) => stray.may_forward(),
            Reader::Settled(outcome) => matches!(outcome, RpcOutcome::Forward { .. }),
        }
    }

    /// The login that a call is, once its body was fed.
    #[must_use]
    pub fn login(&self) -> Option<Login> {
        match &self.reader {
            Reader::Json(call) => call.is_login().then_some(Login::JsonRpc),
            Reader::Xml(call) => call.is_login().then_some(Login::XmlRpc),
            Reader::Stray(_) | Reader::Settled(_) => None,
        }
    }

    /// Ends with the end of the body. A body that ended early is refused.
    #[must_use]
    pub fn finish(self) -> RpcOutcome {
        match self.reader {
            Reader::Json(call) => call.finish(&self.policy),
            Reader::Xml(call) => call.finish(&self.policy),
            Reader::Stray(stray) => stray.finish(&self.policy),
            Reader::Settled(outcome) => outcome,
        }
    }
}

impl Reader {
    /// For a body whose path may be one that a tenant gave to a route of calls: `/json/2/a/b` is as free as any other.
    fn stray(facts: &BodyFacts<'_>) -> Self {
        let media =
            media_type(facts.content_type, |byte| matches!(byte, b';' | b',') || byte.is_ascii_whitespace());
        Self::Stray(Box::new(StrayCall::new(is_json_type(media), media)))
    }
}

fn refuse(refusal: RpcRefusal) -> Reader {
    Reader::Settled(RpcOutcome::Refuse(refusal))
}

/// JSON-2 takes its database from the host, so a client that names one must name the tenant's own.
fn json2(
    policy: &RpcPolicy,
    facts: &BodyFacts<'_>,
    model: Option<&[u8]>,
    method: Option<&[u8]>,
) -> Option<Denial> {
    if facts.databases.iter().any(|name| policy.names(Some(name)) == Named::Other) {
        return Some(Denial::Database);
    }
    let listed = model.is_some() && method.is_some() && policy.denies(model, method);
    listed.then_some(Denial::Listed)
}

/// Odoo never decodes a body; `identity` says that there is nothing to decode (RFC 9110, section 8.4.1).
fn is_encoded(content_encoding: Option<&[u8]>) -> bool {
    content_encoding.is_some_and(|value| {
        let value = value.trim_ascii();
        !value.is_empty() && !value.eq_ignore_ascii_case(b"identity")
    })
}

/// What Odoo takes for JSON, parameters aside: it reads UTF-8 whatever `charset` says. Source: Odoo 14.0 to 19.0
/// `odoo/http.py` (`JsonRPCDispatcher.mimetypes`); Werkzeug 0.16 to 3.0 `Request.mimetype`.
#[must_use]
pub fn is_json(content_type: Option<&[u8]>) -> bool {
    is_json_type(media_type(content_type, |byte| byte == b';'))
}

fn is_json_type(media: &[u8]) -> bool {
    [&b"application/json"[..], b"application/json-rpc"].iter().any(|json| media.eq_ignore_ascii_case(json))
}

/// What stands before the parameters. Werkzeug before 2.3 ends it at a comma or white space as well (`http.py`,
/// `parse_options_header`).
fn media_type(content_type: Option<&[u8]>, ends: impl Fn(u8) -> bool) -> &[u8] {
    let value = content_type.unwrap_or_default().trim_ascii();
    value.split(|&byte| ends(byte)).next().unwrap_or_default().trim_ascii()
}
