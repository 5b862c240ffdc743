//! Traffic classes: what a request is for, and which port of Odoo serves it.

use crate::odoo::OdooVersion;
use crate::odoo::paths::{self, BusRoute};
use crate::path::NormalPath;
use crate::rpc::RpcRoute;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrafficClass {
    /// Pages and the calls that a browser makes for them.
    Page,
    /// XML-RPC, JSON-RPC, JSON-2.
    Rpc,
    /// Files that are the same for everybody.
    Static,
    /// Printing, exports, imports: long work.
    Report,
    /// The bus, 16.0 and later.
    Websocket,
    /// The bus, 14.0 and 15.0.
    Longpolling,
    /// Webhooks of other companies' systems.
    Integration,
}

impl TrafficClass {
    /// Every class.
    pub const ALL: [Self; 7] = [
        Self::Page,
        Self::Rpc,
        Self::Static,
        Self::Report,
        Self::Websocket,
        Self::Longpolling,
        Self::Integration,
    ];

    /// Place among [`Self::ALL`].
    #[must_use]
    pub const fn position(self) -> usize {
        match self {
            Self::Page => 0,
            Self::Rpc => 1,
            Self::Static => 2,
            Self::Report => 3,
            Self::Websocket => 4,
            Self::Longpolling => 5,
            Self::Integration => 6,
        }
    }

    /// Decides the class of a path for a version of Odoo.
    #[must_use]
    pub fn of(version: OdooVersion, path: &NormalPath<'_>) -> Self {
        if RpcRoute::of(version, path.as_bytes()).is_some_and(|route| route != RpcRoute::Authenticate) {
            return Self::Rpc;
        }
        let route = path.without_language();
        match paths::bus_route(version, route) {
            Some(BusRoute::Websocket) => return Self::Websocket,
            Some(BusRoute::Longpolling) => return Self::Longpolling,
            None => {}
        }
        if paths::is_static(route) {
            Self::Static
        } else if paths::is_rpc(route) {
            Self::Rpc
        } else if paths::is_report(route) {
            Self::Report
        } else if paths::is_integration(route) {
            Self::Integration
        } else {
            Self::Page
        }
    }

    /// Which port of a backend serves the class.
    #[must_use]
    pub const fn port(self) -> BackendPort {
        match self {
            Self::Websocket | Self::Longpolling => BackendPort::Gevent,
            Self::Page | Self::Rpc | Self::Static | Self::Report | Self::Integration => BackendPort::Http,
        }
    }

    /// Name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Rpc => "rpc",
            Self::Static => "static",
            Self::Report => "report",
            Self::Websocket => "websocket",
            Self::Longpolling => "longpolling",
            Self::Integration => "integration",
        }
    }
}

/// One of the two ports of an Odoo server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendPort {
    /// `http_port`, 8069 by default: workers, one request each.
    Http,
    /// `gevent_port`, 8072 by default: one process that holds the open connections of the bus.
    Gevent,
}

impl BackendPort {
    /// Name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Gevent => "gevent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(version: OdooVersion, raw: &str) -> TrafficClass {
        TrafficClass::of(version, &NormalPath::new(raw.as_bytes()).unwrap())
    }

    #[test]
    fn every_spelling_of_the_bus_goes_to_the_gevent_port() {
        for raw in [
            "/websocket",
            "/websocket/",
            "//websocket",
            "/%77ebsocket",
            "/fr/websocket",
            "/fr_BE/websocket/health",
            "/%66%72/websocket",
            "/websocket/peek_notifications",
        ] {
            assert_eq!(class(OdooVersion::V19, raw), TrafficClass::Websocket, "{raw}");
            assert_eq!(class(OdooVersion::V19, raw).port(), BackendPort::Gevent);
            assert_eq!(class(OdooVersion::V15, raw).port(), BackendPort::Http, "{raw}");
        }
        assert_eq!(class(OdooVersion::V14, "/%6congpolling/poll"), TrafficClass::Longpolling);
        assert_eq!(class(OdooVersion::V17, "/longpolling/poll"), TrafficClass::Page);
    }

    #[test]
    fn what_only_looks_like_the_bus_stays_on_the_http_port() {
        for raw in ["/web/websocket", "/WebSocket", "/x/websocket", "/%2577ebsocket"] {
            assert_eq!(class(OdooVersion::V19, raw), TrafficClass::Page, "{raw}");
        }
        assert_eq!(class(OdooVersion::V19, "/bus/websocket_worker_bundle"), TrafficClass::Static);
    }

    #[test]
    fn a_class_knows_its_place() {
        for (place, class) in TrafficClass::ALL.into_iter().enumerate() {
            assert_eq!(class.position(), place);
        }
    }

    #[test]
    fn classes_follow_the_route() {
        for (raw, expected) in [
            ("/", TrafficClass::Page),
            ("/web/dataset/call_kw", TrafficClass::Page),
            ("/web/static/src/x.js", TrafficClass::Static),
            ("/fr/web/assets/1-abc/web.css", TrafficClass::Static),
            ("/xmlrpc/2/object", TrafficClass::Rpc),
            ("/jsonrpc", TrafficClass::Rpc),
            ("/any-language/jsonrpc", TrafficClass::Rpc),
            ("/websocket/jsonrpc", TrafficClass::Rpc),
            ("/web/session/authenticate", TrafficClass::Page),
            ("/json/2/res.partner/read", TrafficClass::Rpc),
            ("/report/pdf/x/1", TrafficClass::Report),
            ("/web/hook/1234", TrafficClass::Integration),
            ("/payment/stripe/webhook", TrafficClass::Integration),
            ("/payment/stripe/return", TrafficClass::Page),
        ] {
            assert_eq!(class(OdooVersion::V19, raw), expected, "{raw}");
        }
    }
}
