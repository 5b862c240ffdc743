//! JSON routes of the web client, JSON-2, and the envelopes of JSON-RPC.
//! Source: Odoo 19.0 `odoo/http.py` (`JsonRPCDispatcher`), `addons/web/controllers/session.py`, `addons/rpc`.

use serde_json::{Value, json};

use super::service;
use crate::odoo::page;
use crate::odoo::reply::Reply;
use crate::odoo::route::Exchange;

pub(crate) fn is_json(exchange: &Exchange<'_>) -> bool {
    let kind = exchange.head.joined("content-type").unwrap_or_default();
    matches!(kind.split(';').next().unwrap_or_default().trim(), "application/json" | "application/json-rpc")
}

pub(crate) fn wrong_media_type() -> Reply {
    let text = "Request inferred type is compatible with 'http' but this route is type='jsonrpc'.";
    Reply::html(415, page::plain("415 Unsupported Media Type", text))
}

pub(crate) fn malformed() -> Reply {
    Reply::html(400, page::plain("400 Bad Request", "Invalid JSON data"))
}

/// The `params` of the body, `{}` if it has none; `None` if the body is no JSON object.
pub(crate) fn params(exchange: &Exchange<'_>) -> Option<Value> {
    let body: Value = serde_json::from_slice(&exchange.body.kept).ok()?;
    Some(body.as_object()?.get("params").cloned().unwrap_or_else(|| json!({})))
}

/// A result in its envelope.
pub(crate) fn result(exchange: &Exchange<'_>, value: &Value) -> Reply {
    Reply::json(200, &json!({"jsonrpc": "2.0", "id": id(exchange), "result": value}))
}

/// An error in its envelope: HTTP 200, as for most of Odoo's errors.
pub(crate) fn failure(exchange: &Exchange<'_>, code: i64, name: &str, message: &str) -> Reply {
    let title = if code == 100 { "Odoo Session Expired" } else { "Odoo Server Error" };
    let data = json!({"name": name, "message": message, "arguments": [message], "context": {}, "debug": ""});
    let error = json!({"code": code, "message": title, "data": data});
    Reply::json(200, &json!({"jsonrpc": "2.0", "id": id(exchange), "error": error}))
}

fn id(exchange: &Exchange<'_>) -> Value {
    let body: Value = serde_json::from_slice(&exchange.body.kept).unwrap_or_default();
    body.get("id").cloned().unwrap_or_default()
}

pub(crate) fn session_expired(exchange: &Exchange<'_>) -> Reply {
    failure(exchange, 100, "odoo.http.SessionExpiredException", "Session expired")
}

pub(crate) fn version_info(exchange: &Exchange<'_>) -> Reply {
    if is_json(exchange) { result(exchange, &service::version()) } else { wrong_media_type() }
}

pub(crate) fn database_list(exchange: &Exchange<'_>) -> Reply {
    let names = exchange.state.databases.visible(exchange.head);
    if is_json(exchange) { result(exchange, &json!(names)) } else { wrong_media_type() }
}

/// Who serves this call, and what it asked for.
pub(crate) fn echo(exchange: &Exchange<'_>) -> Reply {
    let Some(params) = params(exchange) else { return malformed() };
    let session = exchange.selection.session.as_ref();
    result(
        exchange,
        &json!({
            "database": exchange.selection.database,
            "server": exchange.server(),
            "port": exchange.port.name(),
            "login": session.and_then(|session| session.login.clone()),
            "route": exchange.head.route(),
            "params": params,
        }),
    )
}

/// POST `/web/session/authenticate`: the database of the body, if the filter of the host lets it through.
pub(crate) fn authenticate(exchange: &Exchange<'_>) -> Reply {
    let Some(params) = params(exchange) else { return malformed() };
    let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
    let database = text("db");
    if !exchange.state.databases.visible(exchange.head).contains(&database) {
        return failure(exchange, 0, "odoo.exceptions.AccessError", "Database not found.");
    }
    if text("login").is_empty() || matches!(text("password"), "" | "wrong") {
        return failure(exchange, 0, "odoo.exceptions.AccessDenied", "Access Denied").of(database);
    }
    let info = json!({"uid": 2, "db": database, "username": text("login"), "server": exchange.server()});
    let reply = result(exchange, &info).of(database);
    if exchange.selection.stateless {
        return reply;
    }
    let session = exchange.state.options.sessions.open(database, Some(text("login")));
    reply.with("Set-Cookie", page::session_cookie(&session.id))
}

/// POST `/json/2/<model>/<method>`: real statuses, a bearer key, the database of the request.
pub(crate) fn json_2(exchange: &Exchange<'_>, route: &str) -> Reply {
    let denied = |status: u16, name: &str, message: &str| {
        Reply::json(status, &json!({"name": name, "message": message, "arguments": [message], "context": {}}))
    };
    let key = exchange.head.joined("authorization").unwrap_or_default();
    match key.strip_prefix("bearer ").or_else(|| key.strip_prefix("Bearer ")) {
        None | Some("" | "wrong") => {
            return denied(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")
                .with("WWW-Authenticate", "bearer");
        }
        Some(_) => {}
    }
    let mut steps = route.split('/').skip(3);
    let (Some(model), Some(method)) = (steps.next(), steps.next()) else {
        return denied(404, "werkzeug.exceptions.NotFound", "the model or the method does not exist");
    };
    let Ok(body) = serde_json::from_slice::<Value>(&exchange.body.kept) else {
        return denied(400, "werkzeug.exceptions.BadRequest", "could not parse the body as json");
    };
    let database = &exchange.selection.database;
    let server = exchange.server();
    Reply::json(
        200,
        &json!({"database": database, "server": server, "model": model, "method": method, "body": body}),
    )
}
