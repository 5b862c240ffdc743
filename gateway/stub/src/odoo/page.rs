//! Pages for browsers: home, login, web client, static files, the database selector.

use std::time::Duration;

use jiff::Timestamp;

use super::connection::http_date_at;
use super::head::form_value;
use super::reply::Reply;
use super::route::Exchange;

/// Seconds a session cookie lives. Source: Odoo 19.0 `odoo/http.py`, `SESSION_LIFETIME`.
const SESSION_SECONDS: u64 = 604_800;
/// Static files carry the same body in every database, as files of one code version do.
const STATIC_BODY: &str = "/* served by the stand-in Odoo */\nbody { font-family: sans-serif; }\n";
const STATIC_ETAG: &str = "\"1700000000.0-72-3141592653\"";

/// A `Set-Cookie` value in the form and order of Odoo 19 on Werkzeug: no `Secure`, no `SameSite`.
pub(crate) fn session_cookie(id: &str) -> String {
    let expires =
        Timestamp::now().saturating_add(Duration::from_secs(SESSION_SECONDS)).unwrap_or(Timestamp::MAX);
    let expires = http_date_at(expires);
    format!("session_id={id}; Expires={expires}; Max-Age={SESSION_SECONDS}; HttpOnly; Path=/")
}

/// A page as Werkzeug makes one for an error.
pub(crate) fn plain(title: &str, text: &str) -> String {
    format!("<!doctype html>\n<html lang=en>\n<title>{title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n")
}

pub(crate) fn not_found(text: &str) -> Reply {
    Reply::html(404, plain("404 Not Found", text))
}

/// What Odoo answers when no database is selected: the selector for its own pages, else 404.
/// Source: Odoo 19.0 `odoo/http.py`, `_serve_nodb`, and `addons/web/controllers/utils.py`, `ensure_db`.
pub(crate) fn no_database(exchange: &Exchange<'_>) -> Reply {
    let route = exchange.head.route();
    if matches!(route.as_str(), "/" | "/web" | "/web/login" | "/odoo") || route.starts_with("/odoo/") {
        return Reply::redirect(303, "/web/database/selector");
    }
    not_found(
        "No database is selected and the requested URL was not found in the server-wide controllers.\
         <!-- Alternatively, use the X-Odoo-Database header. -->",
    )
}

pub(crate) fn home(exchange: &Exchange<'_>) -> Reply {
    Reply::html(200, named_page(exchange, "Home", "<p><a href=\"/web/login\">Sign in</a></p>"))
}

pub(crate) fn login_form(exchange: &Exchange<'_>, status: u16, error: &str) -> Reply {
    let form = format!(
        "<p class=\"alert-danger\">{error}</p>\n<form class=\"oe_login_form\" action=\"/web/login\" method=\"post\">\n\
         <input type=\"hidden\" name=\"csrf_token\" value=\"stub\"/>\n<input name=\"login\"/>\n\
         <input name=\"password\" type=\"password\"/>\n<button>Log in</button>\n</form>"
    );
    let reply = Reply::html(status, named_page(exchange, "Login", &form))
        .with("X-Frame-Options", "SAMEORIGIN")
        .with("Content-Security-Policy", "frame-ancestors 'self'");
    let known = exchange.selection.session.is_some() || exchange.selection.stateless;
    match &exchange.selection.database {
        Some(database) if !known => {
            let session = exchange.state.options.sessions.open(database, None);
            reply.with("Set-Cookie", session_cookie(&session.id))
        }
        Some(_) | None => reply,
    }
}

/// Logs in anybody whose password is not `wrong`; failure is a 200 page, as in Odoo.
pub(crate) fn login(exchange: &Exchange<'_>) -> Reply {
    let form = exchange.body_text();
    let login = form_value(&form, "login").unwrap_or_default();
    if login.is_empty() || form_value(&form, "password").is_none_or(|password| password == "wrong") {
        return login_form(exchange, 200, "Wrong login/password");
    }
    let target = form_value(&form, "redirect").filter(|target| !target.is_empty());
    let reply = Reply::redirect(303, target.as_deref().unwrap_or("/odoo"));
    let database = exchange.selection.database.as_deref().unwrap_or_default();
    if exchange.selection.stateless {
        return reply;
    }
    if let Some(old) = &exchange.selection.session {
        exchange.state.options.sessions.end(&old.id);
    }
    let session = exchange.state.options.sessions.open(database, Some(&login));
    reply.with("Set-Cookie", session_cookie(&session.id))
}

pub(crate) fn logout(exchange: &Exchange<'_>) -> Reply {
    if let Some(session) = &exchange.selection.session {
        exchange.state.options.sessions.end(&session.id);
    }
    Reply::redirect(303, "/odoo")
}

pub(crate) fn web_client(exchange: &Exchange<'_>) -> Reply {
    if !exchange.has_user() {
        return Reply::redirect(303, "/web/login?redirect=%2Fodoo%3F");
    }
    let page = named_page(exchange, "Odoo", "<link rel=\"stylesheet\" href=\"/web/static/src/stub.css\"/>");
    Reply::html(200, page).with("Cache-Control", "no-store").with("X-Frame-Options", "SAMEORIGIN")
}

pub(crate) fn static_file(exchange: &Exchange<'_>, route: &str) -> Reply {
    let kind = match route.rsplit('.').next().unwrap_or_default() {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "png" => "image/png",
        _ => "application/octet-stream",
    };
    let fresh = exchange.head.joined("if-none-match").is_some_and(|tag| tag.contains(STATIC_ETAG));
    let (status, body) = if fresh { (304, "") } else { (200, STATIC_BODY) };
    Reply::new(status, kind, body).with("Cache-Control", "public, max-age=604800").with("ETag", STATIC_ETAG)
}

/// A bundle: immutable, and different in every database.
pub(crate) fn asset(exchange: &Exchange<'_>) -> Reply {
    let body = format!("/* bundle of {} */\n", exchange.selection.database.as_deref().unwrap_or_default());
    Reply::new(200, "text/css; charset=utf-8", body)
        .with("Cache-Control", "public, immutable, max-age=31536000")
        .with("ETag", STATIC_ETAG)
}

/// The selector and the manager: every database that the filter of this host lets through.
pub(crate) fn database_selector(exchange: &Exchange<'_>) -> Reply {
    let names = exchange.state.databases.visible(exchange.head);
    let links: String =
        names.iter().map(|name| format!("<a href=\"/odoo?db={name}\">{name}</a>\n")).collect();
    Reply::html(200, named_page(exchange, "Databases", &links))
}

fn named_page(exchange: &Exchange<'_>, title: &str, content: &str) -> String {
    let database = exchange.selection.database.as_deref().unwrap_or("(none)");
    let session = exchange.selection.session.as_ref();
    let id = session.map_or("(none)", |session| session.id.as_str());
    let login = session.and_then(|session| session.login.as_deref()).unwrap_or("(nobody)");
    let (server, port) = (exchange.server(), exchange.port.name());
    format!(
        "<!doctype html>\n<html lang=en>\n<title>{title} | {database}</title>\n<h1>{database}</h1>\n\
         <dl><dt>server</dt><dd>{server}</dd><dt>port</dt><dd>{port}</dd><dt>session</dt><dd>{id}</dd>\
         <dt>user</dt><dd>{login}</dd></dl>\n{content}\n</html>\n",
        login = escaped(login),
    )
}

/// Text that is safe inside a page: the login of a visitor is shown back.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
