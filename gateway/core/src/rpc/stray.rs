//! Calls on paths that are no routes of calls.
//!
//! The administrator of a database with the website may give any route of Odoo another path (`website.rewrite`, "308
//! Redirect / Rewrite"; Odoo 19.0 `addons/website/models/ir_http.py`, `_generate_routing_rules`), `/jsonrpc` and
//! `/xmlrpc/2/<service>` too. A call there is a call to Odoo, and reaches every database. No honest program makes one,
//! so a body that Odoo could take for a call of a service is refused wherever it comes.

use super::json::StrayJson;
use super::outcome::RpcRefusal;

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
    Found(RpcRefusal),
}

impl StrayCall {
    /// Begins; `is_json` says whether Odoo takes the body for JSON.
    pub(super) const fn new(is_json: bool) -> Self {
        Self { is_json, state: State::Start }
    }

    pub(super) fn feed(&mut self, piece: &[u8]) {
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
            State::Json(json) => {
                json.feed(rest);
                match json.verdict() {
                    Some(Some(refusal)) => self.state = State::Found(refusal),
                    Some(None) => self.state = State::Clear,
                    None => {}
                }
            }
            State::Xml(method, entity) => {
                for &byte in rest {
                    *method = matched(METHOD, *method, byte);
                    *entity = matched(ENTITY, *entity, byte);
                    // After the first `<` a NUL means UTF-16; later nothing may stand for one.
                    if *method == METHOD.len() || *entity == ENTITY.len() || byte == 0 {
                        self.state = State::Found(RpcRefusal::Stray);
                        return;
                    }
                }
            }
            State::Start
            | State::Mark
            | State::Utf8Mark(_)
            | State::Wide
            | State::Clear
            | State::Found(_) => {}
        }
    }

    pub(super) const fn refusal(&self) -> Option<RpcRefusal> {
        if let State::Found(refusal) = self.state { Some(refusal) } else { None }
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
            (State::Wide, b'<') => State::Found(RpcRefusal::Stray),
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

    fn refusal(is_json: bool, body: &[u8]) -> Option<RpcRefusal> {
        let refusal_in = |size: usize| {
            let mut stray = StrayCall::new(is_json);
            body.chunks(size).for_each(|piece| stray.feed(piece));
            stray.refusal()
        };
        let whole = refusal_in(body.len().max(1));
        for size in [1, 2, 3, 5, 16] {
            assert_eq!(refusal_in(size), whole, "{size}: {}", String::from_utf8_lossy(body));
        }
        whole
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
