//! Answers in the protocol of the client, as Odoo writes them.

use super::outcome::Denial;
use super::route::FaultCodes;
use crate::odoo::OdooVersion;

/// An answer to a call, made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcAnswer {
    /// HTTP status: 200 for faults too, as in both protocols; 403 for JSON-2.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Box<[u8]>,
    /// Why the call was denied; `None` when it was answered.
    pub denial: Option<Denial>,
}

/// What a call of `db` yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(Box<str>),
    Flag(bool),
    /// A list of one name.
    Names(Box<str>),
}

const XML: &str = "text/xml; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";

/// What people are told when access is denied. Source: Odoo 14.0 to 19.0 `odoo/exceptions.py`, `AccessDenied`.
const DENIED: &str = "Access Denied";
/// What people are told about a call on the tenant's list.
const LISTED: &str = "This call is not open to programs here. Ask whoever runs this service.";

/// An error of Odoo's that stands for a denial: class in `odoo.exceptions`, number and text among XML-RPC faults,
/// message. Source: Odoo 19.0 `addons/rpc/controllers/xmlrpc.py`.
struct Fault<'m> {
    class: &'static str,
    number: u8,
    text: (&'static str, &'static str),
    message: &'m str,
}

impl Fault<'_> {
    const fn of(denial: Denial) -> Self {
        match denial {
            Denial::Database | Denial::Method => {
                Self { class: "AccessDenied", number: 3, text: ("AccessDenied", DENIED), message: DENIED }
            }
            // `AccessDenied` would have a program ask for another password.
            Denial::Listed => Self {
                class: "AccessError",
                number: 4,
                text: (
                    "warning -- AccessError\n\nThis call is not open to programs here. Ask whoever runs this service.",
                    "",
                ),
                message: LISTED,
            },
        }
    }
}

impl RpcAnswer {
    /// A fault of XML-RPC.
    pub(super) fn xml_fault(denial: Denial, codes: FaultCodes) -> Self {
        let fault = Fault::of(denial);
        let (code, text) = match codes {
            FaultCodes::Number => (format!("<int>{}</int>", fault.number), fault.message),
            FaultCodes::Text => (format!("<string>{}</string>", fault.text.0), fault.text.1),
        };
        Self { status: 200, content_type: XML, body: xml_fault(&code, text), denial: Some(denial) }
    }

    /// A fault of XML-RPC that people read: what Odoo makes of a `UserError`. `text` holds no markup.
    #[must_use]
    pub fn xml_warning(status: u16, text: &str, codes: FaultCodes) -> Self {
        let body = match codes {
            FaultCodes::Number => xml_fault("<int>2</int>", text),
            FaultCodes::Text => xml_fault(&format!("<string>warning -- UserError\n\n{text}</string>"), ""),
        };
        Self { status, content_type: XML, body, denial: None }
    }

    /// An error of JSON-RPC that people read: what Odoo makes of a `UserError`. `id` is JSON, `title` and `text` need no
    /// escaping in it.
    #[must_use]
    pub fn json_warning(status: u16, title: &str, text: &str, id: &str) -> Self {
        let fault = Fault { class: "UserError", number: 2, text: ("", ""), message: text };
        let data = serialized("odoo.exceptions.", &fault);
        let error = format!("{{\"code\": {status}, \"message\": \"{title}\", \"data\": {data}}}");
        Self { status, ..Self::json("error", &error, id.as_bytes()) }
    }

    /// A result of XML-RPC.
    pub(super) fn xml_value(value: &Value) -> Self {
        let text = |text: &str| format!("<value><string>{text}</string></value>");
        let value = match value {
            Value::Text(version) => text(version),
            Value::Flag(flag) => format!("<value><boolean>{}</boolean></value>", u8::from(*flag)),
            Value::Names(name) => format!("<value><array><data>\n{}\n</data></array></value>", text(name)),
        };
        let body = xml_response(&format!("<params>\n<param>\n{value}\n</param>\n</params>\n"));
        Self { status: 200, content_type: XML, body, denial: None }
    }

    /// An error of JSON-RPC. `id` is the client's own text.
    pub(super) fn json_error(denial: Denial, id: &[u8], version: OdooVersion) -> Self {
        let fault = Fault::of(denial);
        // Source: Odoo 18.0 and 19.0 `odoo/http.py`, `JsonRPCDispatcher.handle_error`.
        let code = if version >= OdooVersion::V19 { 0 } else { 200 };
        let error = format!(
            "{{\"code\": {code}, \"message\": \"Odoo Server Error\", \"data\": {}}}",
            serialized("odoo.exceptions.", &fault)
        );
        Self { denial: Some(denial), ..Self::json("error", &error, id) }
    }

    /// A result of JSON-RPC.
    pub(super) fn json_value(value: &Value, id: &[u8]) -> Self {
        let result = match value {
            Value::Text(text) => format!("\"{text}\""),
            Value::Flag(flag) => flag.to_string(),
            Value::Names(name) => format!("[\"{name}\"]"),
        };
        Self::json("result", &result, id)
    }

    fn json(member: &str, value: &str, id: &[u8]) -> Self {
        let mut body = b"{\"jsonrpc\": \"2.0\", \"id\": ".to_vec();
        body.extend_from_slice(id);
        body.extend_from_slice(format!(", \"{member}\": {value}}}").as_bytes());
        Self { status: 200, content_type: JSON, body: body.into(), denial: None }
    }

    /// An error of JSON-2. Source: Odoo 19.0 `odoo/http.py`, `Json2Dispatcher.handle_error`, `serialize_exception`;
    /// `AccessError` and `AccessDenied` have status 403.
    pub(super) fn json2_error(denial: Denial) -> Self {
        let body = serialized("odoo.exceptions.", &Fault::of(denial));
        Self { status: 403, content_type: JSON, body: body.into_bytes().into(), denial: Some(denial) }
    }
}

/// An exception as Odoo serializes it, without the traceback.
fn serialized(module: &str, fault: &Fault<'_>) -> String {
    let Fault { class, message, .. } = fault;
    format!(
        "{{\"name\": \"{module}{class}\", \"message\": \"{message}\", \"arguments\": [\"{message}\"], \
         \"context\": {{}}, \"debug\": \"\"}}"
    )
}

/// The document of a fault. `code` is a value, `text` is text.
fn xml_fault(code: &str, text: &str) -> Box<[u8]> {
    let member = |name: &str, value: &str| {
        format!("<member>\n<name>{name}</name>\n<value>{value}</value>\n</member>\n")
    };
    let (code, text) =
        (member("faultCode", code), member("faultString", &format!("<string>{text}</string>")));
    xml_response(&format!("<fault>\n<value><struct>\n{code}{text}</struct></value>\n</fault>\n"))
}

/// The document around a response. Source: Odoo 19.0 `addons/rpc/controllers/xmlrpc.py`, `dumps`.
fn xml_response(content: &str) -> Box<[u8]> {
    format!("<?xml version=\"1.0\"?>\n<methodResponse>\n{content}\n</methodResponse>\n").into_bytes().into()
}
