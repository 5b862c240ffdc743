//! Bodies on paths that are no routes of calls.
//!
//! A designer of a website may give any route of Odoo another path (`website.rewrite`, "308 Redirect / Rewrite"; Odoo
//! 19.0 `addons/website/models/ir_http.py`, `_generate_routing_rules`) or make it the home page (`homepage_url`;
//! `addons/website/controllers/main.py`, `index`): `/jsonrpc`, `/xmlrpc/2/<service>` and `/web/database/drop` too. A
//! call there is a call to Odoo, and reaches every database. No honest program makes one, so a body that Odoo could
//! take for a call of a service, for work of the database manager, or for another database is refused wherever it
//! comes.

use super::form::Form;
use super::json::StrayJson;
use super::outcome::{RpcOutcome, RpcRefusal};
use super::policy::RpcPolicy;
use crate::guard::Guard;

/// The element without which an XML document calls nothing: `xmlrpc.client` finds it wherever it stands, whatever its
/// prefix (CPython 3.7 to 3.13 `Lib/xmlrpc/client.py`, `Unmarshaller.end`).
const METHOD: &[u8] = b"methodName";
/// What could hide that element: an entity's text is markup once it is used.
const ENTITY: &[u8] = b"<!ENTITY";

/// Looks for a call in a body of any kind.
#[derive(Debug)]
pub(super) struct StrayCall {
    is_json: bool,
    state: State,
    /// Fields of a form, which may look like anything else.
    form: Option<Form>,
    guarded: Option<Guard>,
}

#[derive(Debug)]
enum State {
    /// Before the first byte that says something.
    Start,
    /// After the first byte of a byte order mark of UTF-16.
    Mark,
    /// So far into a byte order mark of UTF-8.
    Utf8Mark(u8),
    /// In UTF-16, as expat knows it by its mark or by a NUL among the first bytes, before anything but white space.
    Wide,
    Json(Box<StrayJson>),
    /// How much of each word has just been read.
    Xml(usize, usize),
    /// No call.
    Clear,
    /// A call, or what may be one.
    Found,
}

impl StrayCall {
    /// Begins. `is_json` says whether Odoo takes the body for JSON, `media` is its media type.
    pub(super) fn new(is_json: bool, media: &[u8]) -> Self {
        Self { is_json, state: State::Start, form: Form::of(media), guarded: None }
    }

    pub(super) fn may_forward(&self) -> bool {
        let call = match &self.state {
            State::Json(json) => !json.may_forward(),
            State::Found => true,
            State::Start | State::Mark | State::Utf8Mark(_) | State::Wide | State::Xml(..) | State::Clear => {
                false
            }
        };
        !call && self.guarded.is_none()
    }

    pub(super) fn finish(self, policy: &RpcPolicy) -> RpcOutcome {
        let guarded = self.guarded.or_else(|| self.form?.finish(policy));
        match (self.state, guarded) {
            (State::Json(json), _) => json.finish(policy),
            (State::Found, _) => RpcOutcome::Refuse(RpcRefusal::Stray),
            (_, Some(guard)) => RpcOutcome::Guarded(guard),
            (_, None) => RpcOutcome::Forward { replace: None },
        }
    }

    pub(super) fn feed(&mut self, piece: &[u8], policy: &RpcPolicy) {
        if let (Some(form), None) = (&mut self.form, self.guarded) {
            self.guarded = form.feed(piece, policy);
        }
        let mut rest = piece;
        while let State::Start | State::Mark | State::Utf8Mark(_) | State::Wide = self.state {
            let Some((&byte, tail)) = rest.split_first() else { return };
            self.state = self.begin(byte);
            // The byte that says what it is belongs to it.
            if !matches!(self.state, State::Json(_) | State::Xml(..)) {
                rest = tail;
            }
        }
        match &mut self.state {
            State::Json(json) => json.feed(rest, policy),
            State::Xml(method, entity) => {
                for &byte in rest {
                    *method = matched(METHOD, *method, byte);
                    *entity = matched(ENTITY, *entity, byte);
                    // After the first `<` a NUL means UTF-16; later nothing may stand for one.
                    if *method == METHOD.len() || *entity == ENTITY.len() || byte == 0 {
                        self.state = State::Found;
                        return;
                    }
                }
            }
            State::Start | State::Mark | State::Utf8Mark(_) | State::Wide | State::Clear | State::Found => {}
        }
    }

    fn begin(&self, byte: u8) -> State {
        match (&self.state, byte) {
            (State::Start, b' ' | b'\t' | b'\r' | b'\n') => State::Start,
            (State::Start, b'<') => State::Xml(0, 0),
            (State::Start, b'{') if self.is_json => State::Json(Box::default()),
            (State::Start, 0) => State::Wide,
            (State::Start, 0xfe | 0xff) => State::Mark,
            (State::Start, 0xef) => State::Utf8Mark(1),
            (State::Utf8Mark(1), 0xbb) => State::Utf8Mark(2),
            (State::Utf8Mark(2), 0xbf) => State::Start,
            (State::Mark, 0xfe | 0xff) => State::Wide,
            (State::Wide, 0 | b' ' | b'\t' | b'\r' | b'\n') => State::Wide,
            // Nobody needs XML in UTF-16 here.
            (State::Wide, b'<') => State::Found,
            _ => State::Clear,
        }
    }
}

/// How much of a word is read after one more byte. No word here begins again inside of itself.
fn matched(word: &[u8], so_far: usize, byte: u8) -> usize {
    if word.get(so_far) == Some(&byte) {
        so_far.saturating_add(1)
    } else {
        usize::from(word.first() == Some(&byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::DatabaseNames;
    use crate::odoo::OdooVersion;
    use crate::rpc::outcome::Denial;
    use crate::rpc::policy::DeniedCalls;
    use crate::tenant::DatabaseName;
    use std::sync::Arc;

    fn policy() -> RpcPolicy {
        RpcPolicy {
            version: OdooVersion::V19,
            database: DatabaseName::parse("acme").unwrap(),
            alias: None,
            denied: Some(Arc::new(DeniedCalls {
                models: vec!["res.users".into()],
                methods: vec!["unlink".into()],
            })),
            database_names: DatabaseNames::Own,
        }
    }

    fn outcome(is_json: bool, media: &str, body: &[u8], policy: &RpcPolicy) -> RpcOutcome {
        let outcome_in = |size: usize| {
            let mut stray = StrayCall::new(is_json, media.as_bytes());
            body.chunks(size).for_each(|piece| stray.feed(piece, policy));
            let may_forward = stray.may_forward();
            let outcome = stray.finish(policy);
            let forwarded = matches!(outcome, RpcOutcome::Forward { .. });
            assert!(may_forward || !forwarded, "{}", String::from_utf8_lossy(body));
            outcome
        };
        let whole = outcome_in(body.len().max(1));
        for size in [1, 2, 3, 5, 16] {
            assert_eq!(outcome_in(size), whole, "{size}: {}", String::from_utf8_lossy(body));
        }
        whole
    }

    fn refusal(is_json: bool, body: &[u8]) -> Option<RpcRefusal> {
        match outcome(is_json, "", body, &policy()) {
            RpcOutcome::Refuse(refusal) => Some(refusal),
            RpcOutcome::Forward { replace: None } => None,
            other @ (RpcOutcome::Forward { .. } | RpcOutcome::Answer(_) | RpcOutcome::Guarded(_)) => {
                panic!("{other:?}: {}", String::from_utf8_lossy(body))
            }
        }
    }

    fn json(body: &str) -> RpcOutcome {
        outcome(true, "application/json", body.as_bytes(), &policy())
    }

    #[test]
    fn a_call_in_xml_is_found_however_it_is_dressed() {
        let call = "<methodCall><methodName>list</methodName></methodCall>";
        let utf16 = |to: fn(u16) -> [u8; 2]| call.encode_utf16().flat_map(to).collect::<Vec<u8>>();
        for body in [
            call.as_bytes().to_vec(),
            format!("<?xml version='1.0'?>{call}").into_bytes(),
            format!(" \n\u{feff}{call}").into_bytes(),
            format!("\u{feff}{call}").into_bytes(),
            b"<a><x:methodName>list</x:methodName></a>".to_vec(),
            b"<mmethodNamethodName/>".to_vec(),
            b"<!DOCTYPE a [<!ENTITY m '<&#109;ethodName>'>]><a>&m;</a>".to_vec(),
            b"<!ENTITY".to_vec(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
            [b"\xff\xfe", &*utf16(u16::to_le_bytes)].concat(),
            [b"\xfe\xff", &*utf16(u16::to_be_bytes)].concat(),
            [b"\xff\xfe \0\n\0", &*utf16(u16::to_le_bytes)].concat(),
            [b" \0 \0", &*utf16(u16::to_le_bytes)].concat(),
            [b"\0 \0 ", &*utf16(u16::to_be_bytes)].concat(),
        ] {
            assert_eq!(refusal(false, &body), Some(RpcRefusal::Stray), "{}", String::from_utf8_lossy(&body));
            assert_eq!(refusal(true, &body), Some(RpcRefusal::Stray), "{}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn a_call_in_json_is_found_however_it_is_dressed() {
        for body in [
            r#"{"params":{"service":"db","method":"list","args":[]}}"#,
            r#" {"id":1,"params":{"\u0061rgs":["zen"],"x":{},"method":"execute","s\u0065rvice":1}}"#,
            r#"{"params":{"service":1},"params":{"service":"db","method":"list","args":[]}}"#,
            r#"{"params":{"service":"db","service":"db","method":"list","args":[]},"params":{}}"#,
            r#"{"params":[["service","db"],["method","list"],["args",[]]]}"#,
            r#"{"params":[{"service":1,"db":2},["method","list"],["args",[]]]}"#,
        ] {
            assert_eq!(refusal(true, body.as_bytes()), Some(RpcRefusal::Stray), "{body}");
            assert_eq!(refusal(false, body.as_bytes()), None, "{body}");
        }
        let invalid = b"{\"a\":\"\xff\xc3\",\"params\":{\"service\":\"\xff\",\"method\":1,\"args\":1}}";
        assert_eq!(refusal(true, invalid), Some(RpcRefusal::Stray));
        let deep = format!(r#"{{"a":{}"#, "[".repeat(1000));
        assert_eq!(refusal(true, deep.as_bytes()), Some(RpcRefusal::Depth));
    }

    #[test]
    fn json_names_the_own_database_or_none() {
        for body in [
            r#"{"params":{"db":"acme","login":"x"}}"#,
            r#"{"params":{"db":"","dbname":null}}"#,
            r#"{"db":"zen","params":{"a":{"db":"zen"},"args":["db","zen"]}}"#,
        ] {
            assert_eq!(json(body), RpcOutcome::Forward { replace: None }, "{body}");
        }
        for body in [
            r#"{"params":{"db":"zen","login":"x"}}"#,
            r#"{"params":{"login":"x","d\u0062":"z\u0065n"}}"#,
            r#"{"params":{"dbname":" acme"}}"#,
            r#"{"params":{"db":"acme"},"params":{"db":"zen"}}"#,
            r#"{"params":{"db":"zen","db":"acme"}}"#,
            r#"{"params":[["db","zen"]]}"#,
            &format!(r#"{{"params":{{"db":"{}"}}}}"#, "acme".repeat(50)),
        ] {
            assert_eq!(json(body), RpcOutcome::Guarded(Guard::DatabaseNames), "{body}");
        }
        let any = RpcPolicy { database_names: DatabaseNames::Any, ..policy() };
        let said = outcome(true, "", br#"{"params":{"db":"zen"}}"#, &any);
        assert_eq!(said, RpcOutcome::Forward { replace: None });
    }

    #[test]
    fn the_web_client_calls_no_listed_model_or_method() {
        let denied = |body: &str| match json(body) {
            RpcOutcome::Answer(answer) => {
                assert_eq!(answer.denial, Some(Denial::Listed), "{body}");
                Some(serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap())
            }
            RpcOutcome::Forward { replace: None } => None,
            other @ (RpcOutcome::Forward { .. } | RpcOutcome::Refuse(_) | RpcOutcome::Guarded(_)) => {
                panic!("{other:?}: {body}")
            }
        };
        let call = |model: &str, method: &str| {
            format!(r#"{{"id":7,"params":{{"model":{model},"method":{method},"args":[[1]],"kwargs":{{}}}}}}"#)
        };
        for (model, method) in [
            (r#""res.users""#, r#""read""#),
            (r#""res.partner""#, r#""unlink""#),
            (r#""res.\u0075sers""#, "null"),
            (r#""res.partner","model":"res.users""#, r#""read""#),
            (&format!(r#""{}""#, "a".repeat(200)), r#""read""#),
        ] {
            let answer = denied(&call(model, method)).unwrap_or_else(|| panic!("{model} {method}"));
            assert_eq!(answer["id"], 7, "{model} {method}");
            assert_eq!(answer["error"]["data"]["name"], "odoo.exceptions.AccessError");
        }
        for body in [
            r#"{"params":{"method":"read","model":"res.users"},"id":"x"}"#,
            r#"{"params":{"domain":[],"model":"res.users"},"id":"x"}"#,
            r#"{"params":{"model":"res.users"},"params":{"model":"a"},"id":"x"}"#,
            r#"{"params":[["model","res.users"]],"id":"x"}"#,
        ] {
            assert_eq!(denied(body).unwrap()["id"], "x", "{body}");
        }
        for id in ["NaN", "[1]", r#"{"a":1}"#] {
            let body = format!(r#"{{"params":{{"model":"res.users"}},"id":{id}}}"#);
            assert_eq!(denied(&body).unwrap()["id"], serde_json::Value::Null, "{body}");
        }
        for body in [
            call(r#""res.partner""#, r#""read""#),
            call("null", r#""unlink""#),
            r#"{"params":{"method":"unlink"}}"#.into(),
            r#"{"params":{"args":["res.users"],"kwargs":{"model":"res.users","method":"unlink"}}}"#.into(),
        ] {
            assert_eq!(denied(&body), None, "{body}");
        }
        let none = RpcPolicy { denied: None, ..policy() };
        for body in [call(r#""res.users""#, r#""unlink""#), r#"{"params":[["model","a"]]}"#.into()] {
            let said = outcome(true, "", body.as_bytes(), &none);
            assert_eq!(said, RpcOutcome::Forward { replace: None }, "{body}");
        }
    }

    #[test]
    fn a_form_that_looks_like_something_else_is_one_all_the_same() {
        for media in ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded"] {
            for start in ["", "<", "<!", "{", " ", "\u{feff}", "\0"] {
                let body = format!("{start}&master_pwd=x");
                let said = outcome(false, media, body.as_bytes(), &policy());
                assert_eq!(said, RpcOutcome::Guarded(Guard::DatabaseManager), "{body:?}");
            }
        }
        let said = outcome(false, "text/plain", b"master_pwd=x&db=zen", &policy());
        assert_eq!(said, RpcOutcome::Forward { replace: None });
    }

    #[test]
    fn everything_else_is_left_alone() {
        for body in [
            r#"{"jsonrpc":"2.0","method":"call","params":{"model":"res.partner","method":"read","args":[[1]],"kwargs":{}}}"#,
            r#"{"params":{"service":"x","args":{}}}"#,
            r#"{"service":"db","method":"list","args":[]}"#,
            r#"{"a":{"params":{"service":"db","method":"list","args":[]}}}"#,
            r#"[{"params":{"service":"db","method":"list","args":[]}}]"#,
            r#"{"params":["service"]}"#,
            r#"{"params":{"a":{"service":1,"method":1,"args":1}}}"#,
            "{",
            "",
            " ",
            "<",
            "<!",
            "<!doctype html><p>methodname</p>",
            "<?xml version='1.0'?><!DOCTYPE cXML SYSTEM 'cXML.dtd'><cXML><Method/></cXML>",
            "a=1&b=<methodName>",
            "--boundary\r\n\r\n<methodName>",
        ] {
            assert_eq!(refusal(true, body.as_bytes()), None, "{body}");
        }
        for body in [
            &b"\xff\xd8\xff\xe0"[..],
            b"\x00\x01<",
            b"\0\0\0\x18ftyp<",
            b"\xff\xfeab",
            b"\xef\xbb\xbf{",
            b"PK<methodName>",
        ] {
            assert_eq!(refusal(false, body), None, "{body:?}");
        }
    }
}
