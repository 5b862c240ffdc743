//! What Odoo says of itself.

use super::OdooVersion;
use serde::Deserialize;
use std::borrow::Cow;

/// Where the HTTP port says whether it is well. It answers without a database, also when PostgreSQL is gone or a standby.
/// Source: Odoo 15.0 to 19.0 `addons/web/controllers/home.py` (15.0: `main.py`), `health`.
#[must_use]
pub const fn http_path() -> &'static str {
    "/web/health"
}

/// Where the gevent port says whether it is well.
/// Source: Odoo 15.0 `addons/bus/controllers/main.py`, 16.0 to 19.0 `addons/bus/controllers/websocket.py`, `health`.
#[must_use]
pub const fn gevent_path(version: OdooVersion) -> &'static str {
    if version.has_websocket() { "/websocket/health" } else { "/longpolling/health" }
}

/// What an answer says of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// It is well.
    Well,
    /// It is not: the status says so.
    Ill,
    /// The status is a good one, and the body is not Odoo's: somebody else answers there.
    NotOdoo,
}

#[derive(Deserialize)]
struct Health<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
}

/// Reads an answer. 14.0 has no such route: any answer that is no failure is one of a living server. Later ones say
/// `{"status": "pass"}`.
#[must_use]
pub fn read(version: OdooVersion, status: u16, body: &[u8]) -> Answered {
    let good = match version {
        OdooVersion::V14 => return if status < 500 { Answered::Well } else { Answered::Ill },
        OdooVersion::V15 | OdooVersion::V16 | OdooVersion::V17 | OdooVersion::V18 | OdooVersion::V19 => {
            status == 200
        }
    };
    match serde_json::from_slice::<Health<'_>>(body) {
        _ if !good => Answered::Ill,
        Ok(health) if health.status == "pass" => Answered::Well,
        Ok(_) => Answered::Ill,
        Err(_) => Answered::NotOdoo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_a_failure_and_what_is_not_odoo_are_no_good_health() {
        const PASS: &[u8] = br#"{"status": "pass"}"#;
        for (version, status, body, says) in [
            (OdooVersion::V19, 200, PASS, Answered::Well),
            (OdooVersion::V15, 200, PASS, Answered::Well),
            (OdooVersion::V19, 302, PASS, Answered::Ill),
            (OdooVersion::V19, 404, b"", Answered::Ill),
            (OdooVersion::V19, 500, PASS, Answered::Ill),
            (OdooVersion::V19, 200, br#"{"status": "fail"}"#, Answered::Ill),
            (OdooVersion::V19, 200, b"<html>welcome</html>", Answered::NotOdoo),
            (OdooVersion::V19, 200, b"", Answered::NotOdoo),
            (OdooVersion::V19, 200, br#"{"db_server_status": true}"#, Answered::NotOdoo),
            (OdooVersion::V14, 404, b"", Answered::Well),
            (OdooVersion::V14, 503, b"", Answered::Ill),
        ] {
            assert_eq!(read(version, status, body), says, "{version} {status}");
        }
    }
}
