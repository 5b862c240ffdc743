//! The RPC guard: the cuts of a body do not matter, and what is forwarded names the own database.

use fleetgate_core::guard::DatabaseNames;
use fleetgate_core::odoo::OdooVersion;
use fleetgate_core::rpc::{
    BodyFacts, DeniedCalls, FaultCodes, RpcGuard, RpcOutcome, RpcPolicy, RpcRoute, Service,
};
use fleetgate_core::tenant::DatabaseName;
use serde_json::Value;
use std::sync::Arc;

/// Words of JSON-RPC.
pub const JSON_WORDS: [&str; 25] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\"params\":",
    "\"service\":\"object\"",
    "\"method\":\"execute\"",
    "\"args\":[",
    "\"zen\"",
    "\"acme\"",
    "\"acme-live\"",
    "\"db\":",
    "\"model\":\"res.users\"",
    "\"id\":1,",
    "NaN",
    "-Infinity",
    "null",
    "1e5",
    "\\u0061",
    "\\ud83d",
    "\u{feff}",
];

/// Words of XML-RPC.
pub const XML_WORDS: [&str; 26] = [
    "<",
    ">",
    "</",
    "/>",
    "&#122;",
    "&amp;",
    "<value>",
    "</value>",
    "<string>",
    "</string>",
    "<param>",
    "</param>",
    "<params>",
    "</params>",
    "<methodName>execute</methodName>",
    "<array><data>",
    "</data></array>",
    "<struct><member><name>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?",
    "?>",
    "zen",
    "<!DOCTYPE",
];

fn policy() -> RpcPolicy {
    let name = |text| DatabaseName::parse(text).unwrap_or_else(|error| panic!("{error}"));
    RpcPolicy {
        version: OdooVersion::V19,
        database: name("acme"),
        alias: Some(name("acme-live")),
        denied: Some(Arc::new(DeniedCalls {
            models: vec!["res.users".into()],
            methods: vec!["unlink".into()],
        })),
        database_names: DatabaseNames::Own,
    }
}

fn outcome(media: &str, route: RpcRoute<'_>, body: &[u8], piece: usize) -> RpcOutcome {
    let facts = BodyFacts { content_type: Some(media.as_bytes()), ..BodyFacts::default() };
    let mut guard = RpcGuard::new(route, policy(), facts);
    for piece in body.chunks(piece.max(1)) {
        let before = guard.may_forward();
        guard.feed(piece);
        assert!(before || !guard.may_forward(), "a decision was taken back");
    }
    guard.finish()
}

fn forwarded(route: RpcRoute<'_>, body: &[u8], piece: u8) -> Option<Vec<u8>> {
    forwarded_as("application/json", route, body, piece)
}

/// The outcome, the same for three ways to cut the body; what Odoo gets, if it gets something.
pub(crate) fn forwarded_as(media: &str, route: RpcRoute<'_>, body: &[u8], piece: u8) -> Option<Vec<u8>> {
    let whole = outcome(media, route, body, body.len());
    assert_eq!(outcome(media, route, body, 1), whole, "cut into bytes");
    assert_eq!(outcome(media, route, body, usize::from(piece)), whole, "cut into {piece} bytes each");
    match whole {
        RpcOutcome::Forward { replace: None } => Some(body.to_vec()),
        RpcOutcome::Forward { replace: Some(replace) } => {
            let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
            let start = body.get(..at(replace.range.start)).expect("the range begins inside of the body");
            let end = body.get(at(replace.range.end)..).expect("the range ends inside of the body");
            Some([start, &replace.bytes, end].concat())
        }
        RpcOutcome::Answer(_) | RpcOutcome::Refuse(_) | RpcOutcome::Guarded(_) => None,
    }
}

/// `/jsonrpc` and the JSON login: the first byte chooses the route and the cuts, the rest is the body.
///
/// # Panics
/// A promise is broken.
pub fn json(input: &[u8]) {
    let Some((&choice, body)) = input.split_first() else { return };
    let route = match choice & 3 {
        0 | 2 => RpcRoute::Json,
        1 => RpcRoute::Authenticate,
        _ => RpcRoute::Elsewhere,
    };
    let Some(forwarded) = forwarded(route, body, choice >> 2) else { return };
    // Another reader, one that keeps the last of equal keys as Python does.
    let Ok(read) = serde_json::from_slice::<Value>(&forwarded) else { return };
    let params = &read["params"];
    if route == RpcRoute::Elsewhere {
        let call = ["service", "method", "args"].iter().all(|key| params.get(key).is_some());
        assert!(!call, "a call is forwarded: {read}");
        let named = |key: &str| params[key].as_str().is_none_or(|name| name.is_empty() || name == "acme");
        assert!(named("db") && named("dbname"), "another database is forwarded: {read}");
        assert!(params["model"] != "res.users", "a listed model is forwarded: {read}");
        return;
    }
    let database = if choice & 1 == 0 { &params["args"][0] } else { &params["db"] };
    let needs_none = params["service"] == "common"
        && matches!(params["method"].as_str(), Some("version" | "about"))
        && choice & 1 == 0;
    assert!(needs_none || database == "acme", "forwarded: {read}");
}

/// `/xmlrpc/2/<service>`: the first byte chooses the service and the cuts, the rest is the body.
///
/// # Panics
/// A promise is broken.
pub fn xml(input: &[u8]) {
    let Some((&choice, body)) = input.split_first() else { return };
    let service = match choice & 3 {
        0 | 1 => Service::Object,
        2 => Service::Common,
        _ => Service::Db,
    };
    let route = RpcRoute::Xml { service, faults: FaultCodes::Number };
    let Some(forwarded) = forwarded(route, body, choice >> 2) else { return };
    let Some((method, first)) = std::str::from_utf8(&forwarded).ok().and_then(read_as_python) else { return };
    let needs_none = service == Service::Common && matches!(method.as_str(), "version" | "about");
    assert_ne!(service, Service::Db, "a call of `db` is forwarded");
    assert!(needs_none || first.as_deref() == Some("acme"), "forwarded: {method} of {first:?}");
}

/// Another reader: the method and the first parameter, if it is a text, as `xmlrpc.client` finds them. It looks at the
/// types alone, wherever they stand (CPython 3.11 `Lib/xmlrpc/client.py`, `Unmarshaller`).
fn read_as_python(document: &str) -> Option<(String, Option<String>)> {
    let document = roxmltree::Document::parse(document).ok()?;
    let mut stack = Stack::default();
    stack.element(document.root_element());
    Some((stack.method, stack.values.into_iter().next().flatten()))
}

/// What `Unmarshaller` holds.
#[derive(Debug, Default)]
struct Stack {
    method: String,
    /// Texts, or other values.
    values: Vec<Option<String>>,
    data: String,
    value: bool,
}

impl Stack {
    fn element(&mut self, node: roxmltree::Node<'_, '_>) {
        let mark = self.values.len();
        self.data.clear();
        self.value = node.tag_name().name() == "value";
        for child in node.children() {
            if child.is_element() {
                self.element(child);
            } else if let (true, Some(text)) = (child.is_text(), child.text()) {
                self.data.push_str(text);
            }
        }
        match node.tag_name().name() {
            "string" | "name" => self.push(Some(self.data.clone())),
            "value" if self.value => self.push(Some(self.data.clone())),
            "array" | "struct" => {
                self.values.truncate(mark);
                self.push(None);
            }
            "methodName" => self.method.clone_from(&self.data),
            "value" | "params" | "param" | "member" | "data" | "methodCall" => {}
            _ => self.push(None),
        }
    }

    fn push(&mut self, value: Option<String>) {
        self.values.push(value);
        self.value = false;
    }
}
