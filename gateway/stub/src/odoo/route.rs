//! Which answer a path gets, on which port, with which database.

use std::time::Duration;

use serde_json::json;

use super::body::Body;
use super::database::Selection;
use super::head::Head;
use super::page;
use super::received::Port;
use super::reply::Reply;
use super::rpc;
use super::server::State;
use super::workbench;

/// Odoo holds a poll for 50 s; the stub holds it this long unless `?hold_ms=` says otherwise.
const POLL_HOLD: Duration = Duration::from_millis(200);
const POLL_HOLD_MAX: Duration = Duration::from_secs(120);

/// One request with what was decided about it.
pub(crate) struct Exchange<'a> {
    pub(crate) state: &'a State,
    pub(crate) port: Port,
    pub(crate) head: &'a Head,
    pub(crate) body: &'a Body,
    pub(crate) selection: Selection,
}

impl Exchange<'_> {
    pub(crate) fn server(&self) -> &str {
        &self.state.options.name
    }

    pub(crate) fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body.kept).into_owned()
    }

    /// True if a user is logged in.
    pub(crate) fn has_user(&self) -> bool {
        self.selection.session.as_ref().is_some_and(|session| session.login.is_some())
    }
}

/// Whether the bus takes this request. Odoo routes `/websocket` whether or not the client asks to upgrade.
pub(crate) fn is_websocket(exchange: &Exchange<'_>) -> bool {
    exchange.head.route() == "/websocket"
}

/// Answers every request but a websocket.
pub(crate) async fn answer(exchange: &Exchange<'_>) -> Reply {
    if exchange.selection.conflict {
        let text = "Cannot use both the session_id cookie and the x-odoo-database header.";
        return Reply::html(403, page::plain("403 Forbidden", text));
    }
    let route = exchange.head.route();
    if let Some(tool) = route.strip_prefix("/stub/") {
        return workbench::answer(exchange, tool).await;
    }
    if let Some(reply) = without_database(exchange, &route) {
        return reply;
    }
    if exchange.selection.database.is_none() {
        return page::no_database(exchange);
    }
    if route == "/longpolling/poll" {
        return poll(exchange).await;
    }
    with_database(exchange, &route)
}

/// Routes that Odoo serves without a database.
fn without_database(exchange: &Exchange<'_>, route: &str) -> Option<Reply> {
    let reply = match route {
        "/jsonrpc" => rpc::service::json(exchange),
        "/web/health" => health(exchange),
        "/web/version" | "/json/version" => Reply::json(200, &rpc::service::version()),
        "/web/webclient/version_info" => rpc::web::version_info(exchange),
        "/web/session/authenticate" => rpc::web::authenticate(exchange),
        "/web/database/selector" | "/web/database/manager" => page::database_selector(exchange),
        "/web/database/list" => rpc::web::database_list(exchange),
        "/websocket/health" | "/longpolling/health" => {
            Reply::json(200, &json!({"status": "pass"})).with("Cache-Control", "no-store")
        }
        _ if route.contains("/static/") => page::static_file(exchange, route),
        _ => match route.strip_prefix("/xmlrpc/2/").or_else(|| route.strip_prefix("/xmlrpc/")) {
            Some(service) => rpc::service::xml(exchange, service),
            None => return None,
        },
    };
    Some(reply)
}

fn with_database(exchange: &Exchange<'_>, route: &str) -> Reply {
    match route {
        "/" => page::home(exchange),
        "/web/login" if exchange.head.method == "POST" => page::login(exchange),
        "/web/login" => page::login_form(exchange, 200, ""),
        "/web/session/logout" => page::logout(exchange),
        "/websocket/peek_notifications" | "/websocket/update_bus_presence" => rpc::web::echo(exchange),
        "/bus/websocket_worker_bundle" => Reply::new(200, "text/javascript", "// the worker of the bus\n")
            .with("Cache-Control", "public, max-age=604800"),
        "/web" | "/odoo" => page::web_client(exchange),
        _ if route.starts_with("/odoo/") => page::web_client(exchange),
        _ if route.starts_with("/web/assets/") => page::asset(exchange),
        _ if route.starts_with("/json/2/") => rpc::web::json_2(exchange, route),
        _ if is_call(route) && !exchange.has_user() => rpc::web::session_expired(exchange),
        _ if is_call(route) => rpc::web::echo(exchange),
        _ => page::not_found("The requested URL was not found on the server."),
    }
}

fn is_call(route: &str) -> bool {
    ["/web/dataset/", "/web/action/", "/web/session/get_session_info"]
        .iter()
        .any(|call| route.starts_with(call))
}

fn health(exchange: &Exchange<'_>) -> Reply {
    let status = match exchange.head.query("db_server_status") {
        Some(_) => json!({"status": "pass", "db_server_status": true}),
        None => json!({"status": "pass"}),
    };
    Reply::json(200, &status).with("Cache-Control", "no-store")
}

/// Odoo 14 and 15: the bus by longpolling. A prefork HTTP port cannot serve it.
async fn poll(exchange: &Exchange<'_>) -> Reply {
    if exchange.port == Port::Http && !exchange.state.options.keep_alive {
        return rpc::web::failure(exchange, 200, "builtins.Exception", "bus.Bus unavailable");
    }
    let hold = exchange.head.query_number("hold_ms").map_or(POLL_HOLD, Duration::from_millis);
    tokio::time::sleep(hold.min(POLL_HOLD_MAX)).await;
    rpc::web::echo(exchange)
}
