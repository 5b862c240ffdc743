//! Routes of Odoo that the gateway treats on their own.

use super::OdooVersion;

/// Whether a route is served by the gevent port, and as which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusRoute {
    /// `/websocket*`, 16.0 and later.
    Websocket,
    /// `/longpolling/*`, 14.0 and 15.0.
    Longpolling,
}

/// Finds the routes that the official proxy rule sends to the gevent port.
/// Source: Odoo documentation, `content/administration/on_premise/deploy.rst`: `location /websocket` (16.0 and
/// later), `location /longpolling` (15.0 and before). Both are prefixes.
#[must_use]
pub fn bus_route(version: OdooVersion, path: &[u8]) -> Option<BusRoute> {
    match version.has_websocket() {
        true if path.starts_with(b"/websocket") => Some(BusRoute::Websocket),
        false if path.starts_with(b"/longpolling") => Some(BusRoute::Longpolling),
        _ => None,
    }
}

/// Calls by programs: XML-RPC, JSON-RPC, JSON-2.
/// Source: Odoo 14.0 to 19.0 `odoo/addons/base/controllers/rpc.py` (19.0: `addons/rpc`), 19.0
/// `addons/rpc/controllers/json2.py`.
#[must_use]
pub fn is_rpc(path: &[u8]) -> bool {
    path.starts_with(b"/xmlrpc/")
        || path == b"/jsonrpc"
        || path == b"/jsonrpc/"
        || path.starts_with(b"/json/1/")
        || path.starts_with(b"/json/2/")
}

/// Calls by other companies' systems: webhooks of automation rules (17.0 and later) and of payment providers.
/// Source: Odoo 17.0 `addons/base_automation/controllers/main.py`, `addons/payment_*/controllers/main.py`.
#[must_use]
pub fn is_integration(path: &[u8]) -> bool {
    let payment = path.starts_with(b"/payment/");
    path.starts_with(b"/web/hook/")
        || payment && (path.ends_with(b"/webhook") || path.ends_with(b"/notification"))
}

/// Long work on behalf of one click: printing, exports, imports.
/// Source: Odoo 14.0 to 19.0 `addons/web/controllers/report.py`, `export.py`, `pivot.py`, `addons/base_import`.
#[must_use]
pub fn is_report(path: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 5] =
        [b"/report/", b"/web/export/", b"/web/pivot/export_xlsx", b"/base_import/", b"/web/database/"];
    PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// Files that are the same for everybody: `/<module>/static/**` and compiled assets.
/// Source: Odoo 19.0 `odoo/http.py`, `Application.get_static_file`; `addons/web/controllers/binary.py`,
/// `content_assets`; 16.0 `addons/bus/controllers/main.py`, `get_websocket_worker_bundle`.
#[must_use]
pub fn is_static(path: &[u8]) -> bool {
    let inner = path.strip_prefix(b"/").unwrap_or_default();
    let module = inner.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let of_module = module > 0 && inner.get(module..).is_some_and(|rest| rest.starts_with(b"/static/"));
    of_module || path.starts_with(b"/web/assets/") || path.starts_with(b"/bus/websocket_worker_bundle")
}

/// Routes that need no session, where `X-Odoo-Database` may name the database (19.0 and later). Anywhere else
/// the header makes Odoo forget the session: login would not stick.
/// Source: Odoo 19.0 `odoo/http.py`, `Request._get_session_and_dbname`.
#[must_use]
pub fn is_stateless(version: OdooVersion, path: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 3] = [b"/json/1/", b"/json/2/", b"/web/hook/"];
    version.has_database_header()
        && (PREFIXES.iter().any(|prefix| path.starts_with(prefix)) || path == b"/web/version")
}

/// What Odoo's web client needs to find out that the server is there and to log in, and files. A tenant at its limit must
/// still be able to get in; `path` is without a language.
/// Source: Odoo 16.0 and later `web/static/src/core/errors/error_handlers.js` (polls `version_info`), `web/controllers/`.
#[must_use]
pub fn is_essential(path: &[u8]) -> bool {
    path == b"/web/webclient/version_info"
        || path == b"/web/login"
        || path.starts_with(b"/web/session/")
        || is_static(path)
}

/// Forms that take a password or a code; `path` is without a language.
/// Source: Odoo 14.0 to 19.0 `addons/web/controllers/home.py`, `addons/auth_totp/controllers/home.py`.
#[must_use]
pub fn is_login(path: &[u8]) -> bool {
    path == b"/web/login" || path == b"/web/login/totp"
}

/// Routes on which a stranger makes Odoo send mails to whomever the request names; `path` is without a language.
/// Source: Odoo 14.0 to 19.0 `addons/auth_signup`, `addons/website` (`/website/form`), `addons/website_mass_mailing`,
/// `addons/mass_mailing`.
#[must_use]
pub fn sends_mail(path: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 3] = [b"/website/form/", b"/website_mass_mailing/", b"/mailing/"];
    path == b"/web/reset_password"
        || path == b"/web/signup"
        || PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// Length from which a path segment of token characters counts as a secret.
const TOKEN_BYTES_MIN: usize = 32;

/// The path with its secrets masked; `None` when there are none. Whoever reads `/web/hook/<token>` can call it, and
/// invitations, surveys and signatures carry their access token as a segment.
/// Source: Odoo 17.0 `addons/base_automation`; 19.0 `addons/survey`, `addons/calendar`, `addons/sign` routes.
#[must_use]
pub fn redact(path: &str) -> Option<String> {
    let asset = is_static(path.as_bytes());
    let secret = |segment: &str| {
        let token =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=' | b'%' | b'.');
        segment.len() >= TOKEN_BYTES_MIN
            && segment.bytes().all(token)
            && segment.bytes().any(|byte| byte.is_ascii_digit())
    };
    let after_hook = path.find("/hook/").map(|at| at.saturating_add("/hook/".len()));
    if asset || (after_hook.is_none() && !path.split('/').any(secret)) {
        return None;
    }
    let mut seen = 0_usize;
    let masked = path.split('/').map(|segment| {
        let hook = after_hook.is_some_and(|after| seen >= after) && !segment.is_empty();
        seen = seen.saturating_add(segment.len()).saturating_add(1);
        if hook || secret(segment) { "***" } else { segment }
    });
    Some(masked.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_bus() {
        for version in OdooVersion::ALL {
            let old = matches!(version, OdooVersion::V14 | OdooVersion::V15);
            let (websocket, longpolling) =
                if old { (None, Some(BusRoute::Longpolling)) } else { (Some(BusRoute::Websocket), None) };
            assert_eq!(bus_route(version, b"/websocket"), websocket, "{version}");
            assert_eq!(bus_route(version, b"/websocket/peek_notifications"), websocket, "{version}");
            assert_eq!(bus_route(version, b"/longpolling/poll"), longpolling, "{version}");
            assert_eq!(bus_route(version, b"/web/websocket"), None, "{version}");
            assert_eq!(bus_route(version, b"/bus/websocket_worker_bundle"), None, "{version}");
        }
    }

    #[test]
    fn tokens_in_paths_are_masked() {
        for (path, expected) in [
            ("/web/hook/0c7cb2a4-1f7a-4c57", Some("/web/hook/***")),
            ("/survey/start/0c7cb2a4-1f7a-4c57-9a75-f6ee8a1d0b2c", Some("/survey/start/***")),
            ("/web/login", None),
            ("/web/assets/1/0c7cb2a4f7a4c579a75f6ee8a1d0b2c0/web.min.js", None),
            ("/web/dataset/call_kw/res.partner/search_read", None),
        ] {
            assert_eq!(redact(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn only_stateless_routes_of_19_take_the_database_header() {
        assert!(is_stateless(OdooVersion::V19, b"/json/2/res.partner/search_read"));
        assert!(is_stateless(OdooVersion::V19, b"/web/hook/0c7c"));
        assert!(is_stateless(OdooVersion::V19, b"/web/version"));
        assert!(!is_stateless(OdooVersion::V18, b"/json/1/x"));
        for path in ["/web/login", "/odoo", "/web/dataset/call_kw", "/web/versions", "/jsonrpc"] {
            assert!(!is_stateless(OdooVersion::V19, path.as_bytes()), "{path}");
        }
    }
}
