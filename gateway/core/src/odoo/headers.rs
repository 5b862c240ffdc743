//! Headers that Odoo, or a server below it, believes; a client must not be able to send them.

/// OCA `dbfilter_from_header`: a regular expression that the database name must match from its start.
/// Source: OCA/server-tools 19.0 `dbfilter_from_header/override.py`.
pub const DBFILTER: &str = "x-odoo-dbfilter";
/// Names the database of a stateless request, 19.0 and later. Source: Odoo 19.0 `odoo/http.py`.
pub const DATABASE: &str = "x-odoo-database";
/// Odoo's session cookie. Source: Odoo 14.0 to 19.0 `odoo/http.py`.
pub const SESSION_COOKIE: &str = "session_id";

/// Names that are the gateway's to set, or nobody's: who asks, for which host, path and method, and which file to send.
/// Beside Odoo's own, those that modules of Odoo, Werkzeug, CGI programs (`Proxy` is `HTTP_PROXY`) and proxies in
/// between believe.
const RESERVED: [&str; 21] = [
    "forwarded",
    "proxy",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "client-cert",
    "client-cert-chain",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-url-scheme",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-sendfile",
    "x-sendfile-type",
];
/// Names that begin with these are too. Source of `X-Odoo-*` and `X-Openerp-*`: Odoo 19.0 `odoo/http.py`; OCA/server-tools
/// `dbfilter_from_header`; Odoo 14.0 and 15.0 `odoo/http.py`, `explicit_session`.
const RESERVED_PREFIXES: [&str; 4] = ["x-odoo-", "x-openerp-", "x-forwarded-", "x-accel-"];

/// Whether a header sent by a client is removed before Odoo sees the request.
///
/// WSGI servers fold header names into variables: `X_Odoo_Dbfilter` arrives as `X-Odoo-Dbfilter` (Werkzeug before
/// 3.0, `serving.py`). So every name with `_` goes, and `.` is read as `-`.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    // No reserved name begins in another way.
    let suspicious = matches!(
        name.bytes().next(),
        Some(b'x' | b'X' | b'f' | b'F' | b'p' | b'P' | b't' | b'T' | b'c' | b'C')
    );
    name.contains('_')
        || suspicious
            && (RESERVED.iter().any(|reserved| folds_to(name, reserved))
                || RESERVED_PREFIXES
                    .iter()
                    .any(|prefix| name.get(..prefix.len()).is_some_and(|start| folds_to(start, prefix))))
}

/// Whether a header of an answer is meant for the server in front of Odoo and tells about its files: `X-Sendfile`,
/// `X-Accel-Redirect` and its like. Source: Odoo 16.0 to 19.0 `odoo/http.py`, `Stream.get_response`.
#[must_use]
pub fn is_internal_answer(name: &str) -> bool {
    name.eq_ignore_ascii_case("x-sendfile")
        || name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("x-accel-"))
}

fn folds_to(name: &str, reserved: &str) -> bool {
    let fold = |byte: u8| if byte == b'.' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == reserved.len() && name.bytes().map(fold).eq(reserved.bytes())
}

/// The value of [`DBFILTER`] that lets exactly one database pass: anchored at both ends, dots escaped. Database
/// names hold no other character that a regular expression reads as an operator.
#[must_use]
pub fn dbfilter_for(database: &str) -> String {
    let mut value = String::with_capacity(database.len() + 8);
    value.push('^');
    for character in database.chars() {
        if matches!(character, '.' | '-') {
            value.push('\\');
        }
        value.push(character);
    }
    value.push('$');
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_reserved_name_is_reserved() {
        for name in [
            "x-odoo-dbfilter",
            "X-Odoo-Dbfilter",
            "x_odoo_dbfilter",
            "x.odoo.dbfilter",
            "x-odoo.dbfilter",
            "x-odoo-database",
            "x-odoo-db",
            "forwarded",
            "x-forwarded-host",
            "x.forwarded.for",
            "x-accel-redirect",
            "x-real-ip",
            "proxy",
            "any_thing",
            "x-odoo-databases",
            "X.OpenERP-Session.Id",
            "True-Client-IP",
            "cf.connecting.ip",
            "Client-Cert",
            "client.cert-chain",
            "X-HTTP-Method-Override",
            "x-original.url",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "host",
            "cookie",
            "x-odoo",
            "x-odoofish",
            "x-forwarded",
            "proxy-authorization",
            "client-certificate",
            "origin",
            "x-http",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn the_filter_passes_one_database_only() {
        assert_eq!(dbfilter_for("acme"), "^acme$");
        assert_eq!(dbfilter_for("acme.v2-eu"), r"^acme\.v2\-eu$");
    }

    #[test]
    fn answers_for_the_server_in_front_are_known() {
        for name in ["X-Sendfile", "x-accel-redirect", "X-Accel-Buffering", "x-accel-"] {
            assert!(is_internal_answer(name), "{name}");
        }
        for name in ["x-sendfiles", "x-accel", "accept", "x-frame-options", "éééé-é"] {
            assert!(!is_internal_answer(name), "{name}");
        }
    }
}
