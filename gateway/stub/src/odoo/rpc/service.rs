//! The RPC services `common`, `object` and `db`: the body names the database, no header is asked.
//! Source: Odoo 19.0 `odoo/service/common.py`, `model.py`, `db.py`, `addons/rpc/controllers/`.

use std::sync::PoisonError;

use serde_json::{Map, Value, json};

use super::web;
use super::xml::{Answer, Call};
use crate::odoo::reply::Reply;
use crate::odoo::route::Exchange;

/// The user that every right password logs in.
const UID: i64 = 2;

enum Outcome {
    Value(Value),
    Denied,
    Unknown(String),
    /// An exception, by name and message.
    Raised(String, String),
}

/// What `common.version` says.
pub(crate) fn version() -> Value {
    json!({
        "server_version": "19.0",
        "server_version_info": [19, 0, 0, "final", 0, ""],
        "server_serie": "19.0",
        "protocol_version": 1,
    })
}

/// POST `/jsonrpc`.
pub(crate) fn json(exchange: &Exchange<'_>) -> Reply {
    if !web::is_json(exchange) {
        return web::wrong_media_type();
    }
    let Some(params) = web::params(exchange) else { return web::malformed() };
    let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
    let args: Vec<String> = match params.get("args") {
        Some(Value::Array(args)) => args.iter().map(plain).collect(),
        _ => Vec::new(),
    };
    let database = names_database(text("service"), text("method")).then(|| args.first().cloned()).flatten();
    let reply = match dispatch(exchange, text("service"), text("method"), &args) {
        Outcome::Value(value) => web::result(exchange, &value),
        Outcome::Denied => web::failure(exchange, 0, "odoo.exceptions.AccessDenied", "Access Denied"),
        Outcome::Unknown(text) => web::failure(exchange, 0, "builtins.Exception", &text),
        Outcome::Raised(name, text) => web::failure(exchange, 0, &name, &text),
    };
    reply_of(reply, exchange, database)
}

/// POST `/xmlrpc/2/<service>` and `/xmlrpc/<service>`.
pub(crate) fn xml(exchange: &Exchange<'_>, service: &str) -> Reply {
    let Some(call) = Call::parse(&exchange.body_text()) else {
        return Reply::new(200, "text/xml", Answer::Fault(1, "not an XML-RPC call".to_owned()).document());
    };
    let database = names_database(service, &call.method).then(|| call.params.first().cloned()).flatten();
    let answer = match dispatch(exchange, service, &call.method, &call.params) {
        Outcome::Value(value) => xml_value(&value),
        Outcome::Denied => Answer::Fault(3, "Access Denied".to_owned()),
        Outcome::Unknown(text) | Outcome::Raised(_, text) => Answer::Fault(1, text),
    };
    reply_of(Reply::new(200, "text/xml", answer.document()), exchange, database)
}

fn reply_of(reply: Reply, exchange: &Exchange<'_>, database: Option<String>) -> Reply {
    match database {
        Some(database) if exchange.state.databases.has(&database) => reply.of(database),
        Some(_) | None => reply,
    }
}

fn names_database(service: &str, method: &str) -> bool {
    service == "object" || (service == "common" && matches!(method, "login" | "authenticate"))
}

fn dispatch(exchange: &Exchange<'_>, service: &str, method: &str, args: &[String]) -> Outcome {
    let database = args.first().map(String::as_str).unwrap_or_default();
    let known = exchange.state.databases.has(database);
    let password = args.get(2).map(String::as_str).unwrap_or("wrong");
    match (service, method) {
        ("common", "version") => Outcome::Value(version()),
        ("common", "about") => Outcome::Value(json!("See http://openerp.com")),
        ("common", "login" | "authenticate") if known && password != "wrong" => Outcome::Value(json!(UID)),
        ("common", "login" | "authenticate") if known => Outcome::Value(json!(false)),
        ("object", "execute" | "execute_kw") if known && password != "wrong" => {
            on_model(exchange, database, args)
        }
        ("object", "execute" | "execute_kw") if known => Outcome::Denied,
        ("common", "login" | "authenticate") | ("object", "execute" | "execute_kw") => {
            Outcome::Unknown(format!("FATAL:  database \"{database}\" does not exist"))
        }
        ("db", "server_version") => Outcome::Value(json!("19.0")),
        // Not filtered by host: this is how one tenant finds the others.
        ("db", "list") => Outcome::Value(json!(exchange.state.options.databases)),
        ("db", "db_exist") => Outcome::Value(json!(known)),
        _ => Outcome::Unknown(format!("Method not found: {service}.{method}")),
    }
}

/// A call to a model: a user reads and writes itself as in Odoo, all else is told who was asked.
fn on_model(exchange: &Exchange<'_>, database: &str, args: &[String]) -> Outcome {
    let trouble = exchange.state.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((name, message)) = trouble {
        return Outcome::Raised(name, message);
    }
    let named = |place: usize| args.get(place).map(String::as_str).unwrap_or_default();
    match (named(3), named(4)) {
        ("res.users", "read") => Outcome::Value(json!([{ "id": UID, "login": "probe" }])),
        ("res.users", "write") => Outcome::Value(json!(true)),
        _ => Outcome::Value(json!({
            "database": database,
            "server": exchange.server(),
            "uid": args.get(1).cloned().unwrap_or_default(),
            "model": args.get(3).cloned().unwrap_or_default(),
            "method": args.get(4).cloned().unwrap_or_default(),
        })),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn xml_value(value: &Value) -> Answer {
    match value {
        Value::Object(members) => Answer::Struct(named(members)),
        Value::Array(values) => Answer::Texts(values.iter().map(plain).collect()),
        Value::Number(number) => Answer::Int(number.as_i64().unwrap_or_default()),
        Value::Bool(true) => Answer::Int(1),
        Value::Bool(false) | Value::Null => Answer::False,
        Value::String(text) => Answer::Text(text.clone()),
    }
}

fn named(members: &Map<String, Value>) -> Vec<(String, String)> {
    members.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
}
