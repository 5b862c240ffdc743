//! What Odoo says of itself.

use super::OdooVersion;

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

/// Whether an answer says that the port is well. 14.0 has no such route: any answer that is no failure is one of a
/// living server.
#[must_use]
pub const fn is_well(version: OdooVersion, status: u16) -> bool {
    match version {
        OdooVersion::V14 => status < 500,
        OdooVersion::V15 | OdooVersion::V16 | OdooVersion::V17 | OdooVersion::V18 | OdooVersion::V19 => {
            status == 200
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_or_a_failure_is_no_good_health() {
        for (version, status, well) in [
            (OdooVersion::V19, 200, true),
            (OdooVersion::V19, 302, false),
            (OdooVersion::V19, 404, false),
            (OdooVersion::V19, 500, false),
            (OdooVersion::V14, 404, true),
            (OdooVersion::V14, 503, false),
        ] {
            assert_eq!(is_well(version, status), well, "{version} {status}");
        }
    }
}
