//! What the tenants ask for when they mean no harm: pages, files, calls; and calls that name a database.

use super::dice::Dice;
use super::tenants::Words;

/// A request before it is twisted.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) content_type: Option<&'static str>,
    pub(super) body: String,
    /// Its body names the other tenant's database, for every reader or for some.
    pub(super) foreign: bool,
}

const PAGES: [&str; 16] = [
    "/",
    "/odoo",
    "/odoo/contacts?debug=1",
    "/web",
    "/web/login",
    "/web/health",
    "/web/static/src/a.css",
    "/web/database/selector",
    "/stub/echo",
    "/stub/bytes?n=70000",
    "/stub/drip?parts=2&every_ms=1",
    "/stub/slow?ms=3",
    "/stub/status?code=404",
    "/longpolling/poll?hold_ms=0",
    "/bus/websocket_worker_bundle?v=19.0-1",
    "/shop/page/2?search=caf%C3%A9",
];

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const XML: &str = "text/xml";

/// Method is POST; `{db}` is the database that the body names, and `{spelt}` that in another spelling.
const CALLS: [(&str, &str, &str); 15] = [
    (
        "/jsonrpc",
        JSON,
        r#"{"jsonrpc":"2.0","method":"call","id":1,"params":{"service":"object","method":"execute_kw","args":["{spelt}",2,"pw","res.partner","search",[[]]]}}"#,
    ),
    (
        "/jsonrpc",
        JSON,
        r#"{"params":{"args":["{spelt}","admin","pw",{}],"method":"authenticate","service":"common"},"method":"call","id":1,"jsonrpc":"2.0"}"#,
    ),
    (
        "/jsonrpc",
        JSON,
        r#"{"id":7,"params":{"method":"login","service":"common","args":["{db}","admin","pw"]}}"#,
    ),
    ("/jsonrpc", JSON, r#"{"id":7,"params":{"method":"db_exist","service":"db","args":["{db}"]}}"#),
    ("/jsonrpc", JSON, r#"{"id":7,"params":{"method":"drop","service":"db","args":["admin","{db}"]}}"#),
    (
        "/xmlrpc/2/object",
        XML,
        "<?xml version='1.0'?><methodCall><methodName>execute_kw</methodName><params><param><value><string>{spelt}</string></value></param><param><value><int>2</int></value></param><param><value><string>pw</string></value></param><param><value><string>res.partner</string></value></param><param><value><string>search</string></value></param></params></methodCall>",
    ),
    (
        "/xmlrpc/2/common",
        XML,
        "<methodCall><methodName>authenticate</methodName><params><param><value>{spelt}</value></param><param><value>admin</value></param><param><value>pw</value></param><param><value><struct/></value></param></params></methodCall>",
    ),
    (
        "/xmlrpc/common",
        XML,
        "<methodCall>\n<methodName>login</methodName>\n<params>\n<param>\n<value><string>{db}</string></value>\n</param>\n<param><value><string>admin</string></value></param><param><value><string>pw</string></value></param></params></methodCall>",
    ),
    (
        "/xmlrpc/db",
        XML,
        "<methodCall><methodName>db_exist</methodName><params><param><value><string>{db}</string></value></param></params></methodCall>",
    ),
    (
        "/web/session/authenticate",
        JSON,
        r#"{"jsonrpc":"2.0","method":"call","params":{"db":"{spelt}","login":"admin","password":"pw"}}"#,
    ),
    ("/web/login", FORM, "login=admin&password=pw&db={db}"),
    ("/web/login?db={db}", FORM, "csrf_token=stub&login=admin&password=wrong&redirect=%2Fodoo"),
    ("/json/2/res.partner/search", JSON, r#"{"domain":[],"db":"{db}","database":"{db}"}"#),
    ("/web/database/list", JSON, r#"{"jsonrpc":"2.0","params":{"db":"{db}"}}"#),
    ("/web/dataset/call_kw/res.partner/read", JSON, r#"{"params":{"model":"{db}"}}"#),
];

/// What each reader of a body may take for the database: the first or the last.
const TWO_NAMES: [(&str, &str, &str); 5] = [
    (
        "/jsonrpc",
        JSON,
        r#"{"params":{"service":"common","method":"login","args":["{other_db}","admin","pw"],"args":["{own_db}","admin","pw"]}}"#,
    ),
    (
        "/jsonrpc",
        JSON,
        r#"{"params":{"service":"common","method":"login","args":["{own_db}","admin","pw"],"args":["{other_db}","admin","pw"]}}"#,
    ),
    (
        "/jsonrpc",
        JSON,
        "{\"id\":1}\n{\"params\":{\"service\":\"common\",\"method\":\"login\",\"args\":[\"{other_db}\",\"a\",\"b\"]}}",
    ),
    (
        "/xmlrpc/2/common",
        XML,
        "<!DOCTYPE m [<!ENTITY d \"{other_db}\">]><methodCall><methodName>login</methodName><params><param><value>&d;</value></param><param><value>a</value></param><param><value>b</value></param></params></methodCall>",
    ),
    (
        "/xmlrpc/2/common",
        XML,
        "<methodCall><methodName>login</methodName><params><param><value><string>{own_db}</string><string>{other_db}</string></value></param><param><value>a</value></param><param><value>b</value></param></params></methodCall>",
    ),
];

impl Ask {
    pub(super) fn roll(dice: &mut Dice, words: &Words<'_>) -> Self {
        match dice.below(20) {
            0..=9 => Self::get(dice.pick(&PAGES)),
            10 | 11 => Self::upload(dice),
            12 => Self { method: "HEAD", ..Self::get(dice.pick(&PAGES)) },
            13 => {
                Self { method: dice.pick(&["OPTIONS", "PUT", "DELETE", "PATCH"]), ..Self::get("/stub/echo") }
            }
            14 => Self::post(&dice.pick(&TWO_NAMES), |text| words.fill(text), true),
            15 => Self {
                method: "POST",
                target: "/stub/echo".to_owned(),
                content_type: Some("text/plain"),
                body: words.hidden.clone(),
                foreign: false,
            },
            _ => Self::call(dice, words),
        }
    }

    /// What nobody refuses.
    pub(super) fn plain() -> Self {
        Self::get("/stub/echo")
    }

    fn get(target: &str) -> Self {
        Self {
            method: "GET",
            target: target.to_owned(),
            content_type: None,
            body: String::new(),
            foreign: false,
        }
    }

    fn upload(dice: &mut Dice) -> Self {
        let bytes = match dice.below(8) {
            0 => 90_000 + dice.below(60_000),
            1..=3 => dice.below(9_000),
            _ => dice.below(100),
        };
        Self {
            method: "POST",
            target: "/stub/upload".to_owned(),
            content_type: Some("application/octet-stream"),
            body: "u".repeat(bytes),
            foreign: false,
        }
    }

    fn call(dice: &mut Dice, words: &Words<'_>) -> Self {
        let call = dice.pick(&CALLS);
        let names_other = dice.once_in(2);
        let tenant = if names_other { words.tenant.other() } else { words.tenant };
        let (_, content_type, body) = call;
        let spelt = if content_type == XML {
            spelt_in_xml(dice, tenant.name())
        } else {
            spelt_in_json(dice, tenant.name())
        };
        let fill = |text: &str| text.replace("{db}", tenant.name()).replace("{spelt}", &spelt);
        let foreign = names_other && (body.contains("{db}") || body.contains("{spelt}"));
        Self::post(&call, fill, foreign)
    }

    fn post(call: &(&str, &'static str, &str), fill: impl Fn(&str) -> String, foreign: bool) -> Self {
        let (target, content_type, body) = call;
        Self {
            method: "POST",
            target: fill(target),
            content_type: Some(content_type),
            body: fill(body),
            foreign,
        }
    }
}

/// Some letters as `\u0061`.
fn spelt_in_json(dice: &mut Dice, name: &str) -> String {
    let every = dice.below(4);
    name.chars()
        .map(|letter| match every {
            0 => letter.to_string(),
            every if dice.below(every + 1) > 0 => letter.to_string(),
            _ => format!("\\u{:04x}", u32::from(letter)),
        })
        .collect()
}

/// Some letters as `&#97;` or `&#x61;`, or all of it in a CDATA section.
fn spelt_in_xml(dice: &mut Dice, name: &str) -> String {
    match dice.below(5) {
        0 => format!("<![CDATA[{name}]]>"),
        1 => name.chars().map(|letter| format!("&#{};", u32::from(letter))).collect(),
        2 => name.chars().map(|letter| format!("&#x{:X};", u32::from(letter))).collect(),
        _ => name.to_owned(),
    }
}
