//! Attempts to log in, and which of them failed.

use crate::odoo::paths;
use crate::rpc::RpcRoute;

/// A way to log in that a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// POST of a form: `/web/login`, `/web/login/totp`.
    Form,
    /// `/web/session/authenticate`.
    Json,
    /// `common.login` or `common.authenticate` by JSON-RPC.
    JsonRpc,
    /// The same by XML-RPC.
    XmlRpc,
    /// An API key, with each call of JSON-2.
    ApiKey,
}

impl Login {
    /// The way that a request takes, as far as its head tells. Calls tell in their body. `route` is the path without a
    /// language.
    #[must_use]
    pub fn of(call: Option<RpcRoute<'_>>, route: &[u8], posts: bool) -> Option<Self> {
        match call {
            Some(RpcRoute::Authenticate) => Some(Self::Json),
            Some(RpcRoute::Json2 { .. }) => Some(Self::ApiKey),
            _ if posts && paths::is_login(route) => Some(Self::Form),
            _ => None,
        }
    }

    /// Whether each request is an attempt. A program sends its API key with every call: those that Odoo takes are none.
    #[must_use]
    pub const fn is_attempt(self) -> bool {
        !matches!(self, Self::ApiKey)
    }

    /// Whether the status of the answer alone tells.
    #[must_use]
    pub const fn is_told_by_status(self) -> bool {
        matches!(self, Self::Form | Self::ApiKey)
    }

    /// Whether Odoo refused the login. `start` is the beginning of the answer's body.
    ///
    /// Odoo answers a wrong password with 200 and the form again, with an error of JSON-RPC, or with false; a right one
    /// with 303, or with who it is. Source: Odoo 14.0 to 19.0 `addons/web/controllers/home.py` and `session.py`,
    /// `odoo/service/common.py`; 19.0 `odoo/http.py`, `Json2Dispatcher`.
    #[must_use]
    pub fn failed(self, status: u16, start: &[u8]) -> bool {
        let has = |part: &[u8]| start.windows(part.len()).any(|window| window == part);
        match self {
            Self::Form => status == 200,
            Self::ApiKey => status == 401,
            Self::Json => has(b"\"error\""),
            Self::JsonRpc => has(b"\"error\"") || has(b"\"result\": false") || has(b"\"result\":false"),
            Self::XmlRpc => has(b"<fault>") || has(b"<boolean>0</boolean>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::odoo::OdooVersion;

    #[test]
    fn a_failed_login_is_known_by_its_answer() {
        assert!(Login::Form.failed(200, b"<form"));
        assert!(!Login::Form.failed(303, b""));
        assert!(Login::Json.failed(200, b"{\"jsonrpc\": \"2.0\", \"id\": 1, \"error\": {"));
        assert!(!Login::Json.failed(200, b"{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": {\"uid\": 2"));
        assert!(Login::JsonRpc.failed(200, b"{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": false}"));
        assert!(!Login::JsonRpc.failed(200, b"{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": 2}"));
        assert!(Login::XmlRpc.failed(200, b"<value><boolean>0</boolean></value>"));
        assert!(!Login::XmlRpc.failed(200, b"<value><int>2</int></value>"));
        assert!(
            Login::ApiKey.failed(401, b"")
                && !Login::ApiKey.failed(200, b"")
                && !Login::ApiKey.failed(404, b"")
        );
    }

    #[test]
    fn each_way_to_log_in_is_known_by_its_head() {
        let of = |path: &'static str, posts| {
            Login::of(RpcRoute::of(OdooVersion::V19, path.as_bytes()), path.as_bytes(), posts)
        };
        assert_eq!(of("/web/login", true), Some(Login::Form));
        assert_eq!(of("/web/login/totp", true), Some(Login::Form));
        assert_eq!(of("/web/login", false), None);
        assert_eq!(of("/web/session/authenticate", true), Some(Login::Json));
        assert_eq!(of("/json/2/res.partner/read", true), Some(Login::ApiKey));
        assert_eq!(of("/jsonrpc", true), None, "the body tells");
        assert_eq!(of("/odoo", true), None);
    }
}
