//! Routes whose database a client names itself.

use crate::guard::database_manager;
use crate::odoo::OdooVersion;

/// A route on which a client names the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcRoute<'p> {
    /// POST `/xmlrpc/<service>` and `/xmlrpc/2/<service>`: in the first parameter.
    Xml {
        /// Service of the path.
        service: Service,
        /// How faults are numbered there.
        faults: FaultCodes,
    },
    /// `/jsonrpc`: in `params.args[0]`.
    Json,
    /// `/web/session/authenticate`: in `params.db`. Odoo 14.0 and 15.0 hold it against nothing; later versions hold it
    /// against `dbfilter`.
    Authenticate,
    /// `/json/1/**` (18.0 and later) and `/json/2/**` (19.0 and later): in the header `X-Odoo-Database`.
    Json2 {
        /// Model of `/json/2/<model>/<method>`.
        model: Option<&'p [u8]>,
        /// Method of `/json/2/<model>/<method>`.
        method: Option<&'p [u8]>,
    },
    /// `/web/database/**`, for a client that may use it: whole databases come there, and all of their names.
    DatabaseManager,
    /// Any other path. Nothing is called there, unless somebody has given a route another path.
    Elsewhere,
}

/// A service of Odoo's RPC. Source: Odoo 14.0 to 19.0 `odoo/http.py`, `dispatch_rpc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Version and login.
    Common,
    /// Models.
    Object,
    /// Databases of the whole server.
    Db,
    /// None that Odoo has.
    Unknown,
}

impl Service {
    /// Reads a name as Odoo does: exactly.
    #[must_use]
    pub const fn of(name: &[u8]) -> Self {
        match name {
            b"common" => Self::Common,
            b"object" => Self::Object,
            b"db" => Self::Db,
            _ => Self::Unknown,
        }
    }
}

/// How XML-RPC faults are numbered. Source: Odoo 19.0 `addons/rpc/controllers/xmlrpc.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCodes {
    /// `/xmlrpc/2/`: numbers.
    Number,
    /// `/xmlrpc/`: texts, against the specification.
    Text,
}

impl<'p> RpcRoute<'p> {
    /// Finds the route of a path in normal form ([`crate::path::NormalPath`]): bytes that stand for themselves do, slashes
    /// stand alone, and it is whole.
    ///
    /// Any first segment is seen through as if it were a language: the administrator of a database chooses the URL
    /// codes of its languages freely, so that `/whatever/jsonrpc` is `/jsonrpc` for Odoo. Source: Odoo 19.0
    /// `addons/http_routing/models/ir_http.py`, `_match`; `odoo/addons/base/models/res_lang.py`, `url_code`.
    #[must_use]
    pub fn of(version: OdooVersion, path: &'p [u8]) -> Option<Self> {
        Self::exact(version, path).or_else(|| {
            let inner = path.strip_prefix(b"/")?;
            let end = inner.iter().position(|&byte| byte == b'/')?;
            Self::exact(version, inner.get(end..)?)
        })
    }

    /// Says of any path how a body there is read.
    #[must_use]
    pub fn of_any(version: OdooVersion, path: &'p [u8]) -> Self {
        let elsewhere =
            || if database_manager::is_below(path) { Self::DatabaseManager } else { Self::Elsewhere };
        Self::of(version, path).unwrap_or_else(elsewhere)
    }

    fn exact(version: OdooVersion, path: &'p [u8]) -> Option<Self> {
        // Nearly every path is done with after one byte.
        if !matches!(path, [b'/', b'x' | b'j' | b'w', ..]) {
            return None;
        }
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if let Some(rest) = under(path, b"/xmlrpc") {
            let (faults, service) = match under(rest, b"/2") {
                Some(service) => (FaultCodes::Number, service),
                None => (FaultCodes::Text, rest),
            };
            // What Odoo does not route is an unknown service, so that no reading of the path lets a body through.
            let service = Service::of(service.strip_prefix(b"/").unwrap_or_default());
            return Some(Self::Xml { service, faults });
        }
        if path == b"/jsonrpc" {
            return Some(Self::Json);
        }
        if path == b"/web/session/authenticate" {
            return Some(Self::Authenticate);
        }
        if under(path, b"/json/1").is_some() && version >= OdooVersion::V18 {
            return Some(Self::Json2 { model: None, method: None });
        }
        let rest = under(path, b"/json/2").filter(|_| version >= OdooVersion::V19)?;
        let mut segments = rest.split(|&byte| byte == b'/').skip(1);
        Some(Self::Json2 { model: segments.next(), method: segments.next() })
    }
}

/// What follows a prefix of whole segments.
fn under<'p>(path: &'p [u8], prefix: &[u8]) -> Option<&'p [u8]> {
    path.strip_prefix(prefix).filter(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<RpcRoute<'_>> {
        RpcRoute::of(OdooVersion::V19, path.as_bytes())
    }

    #[test]
    fn every_spelling_of_a_route_is_the_route() {
        let xml = |service, faults| Some(RpcRoute::Xml { service, faults });
        for prefix in ["", "/fr", "/fr_BE", "/whatever+they~chose"] {
            for suffix in ["", "/"] {
                let of = |path: &str| {
                    let path = format!("{prefix}{path}{suffix}");
                    let path: &'static str = path.leak();
                    RpcRoute::of(OdooVersion::V19, path.as_bytes())
                };
                assert_eq!(of("/xmlrpc/2/object"), xml(Service::Object, FaultCodes::Number));
                assert_eq!(of("/xmlrpc/common"), xml(Service::Common, FaultCodes::Text));
                assert_eq!(of("/xmlrpc/2/db"), xml(Service::Db, FaultCodes::Number));
                assert_eq!(of("/jsonrpc"), Some(RpcRoute::Json));
                let manager = format!("{prefix}/web/database/restore{suffix}");
                assert_eq!(RpcRoute::of_any(OdooVersion::V19, manager.as_bytes()), RpcRoute::DatabaseManager);
                assert_eq!(of("/web/session/authenticate"), Some(RpcRoute::Authenticate));
                assert_eq!(
                    of("/json/2/res.partner/read"),
                    Some(RpcRoute::Json2 { model: Some(b"res.partner"), method: Some(b"read") })
                );
                assert_eq!(of("/json/2"), Some(RpcRoute::Json2 { model: None, method: None }));
                assert_eq!(of("/json/1/crm"), Some(RpcRoute::Json2 { model: None, method: None }));
            }
        }
    }

    #[test]
    fn what_odoo_does_not_route_is_an_unknown_service() {
        let unknown = |faults| Some(RpcRoute::Xml { service: Service::Unknown, faults });
        for path in ["/xmlrpc", "/xmlrpc/", "/xmlrpc/3/object", "/xmlrpc/object/x", "/xmlrpc/OBJECT"] {
            assert_eq!(of(path), unknown(FaultCodes::Text), "{path}");
        }
        for path in
            ["/xmlrpc/2", "/xmlrpc/2/", "/xmlrpc/2/report", "/xmlrpc/2/2/object", "/xmlrpc/2/object/x"]
        {
            assert_eq!(of(path), unknown(FaultCodes::Number), "{path}");
        }
    }

    #[test]
    fn other_paths_and_older_versions_have_no_such_route() {
        for path in [
            "/",
            "/web/login",
            "/xmlrpcs/2/object",
            "/jsonrpc/x",
            "/a/b/jsonrpc",
            "/JSONRPC",
            "/json",
            "/json/3",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(RpcRoute::of(OdooVersion::V18, b"/json/2/a/b"), None);
        assert_eq!(RpcRoute::of(OdooVersion::V17, b"/json/1/a"), None);
        assert!(RpcRoute::of(OdooVersion::V18, b"/json/1/a").is_some());
    }
}
