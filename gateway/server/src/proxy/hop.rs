//! Fields that are for one connection and not for the other.

use http::header::{
    CONNECTION, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName};
use pingora::{Error, ErrorType, Result};

/// Fields that `Connection` may name at most; no client names more than three.
const NAMED_MAX: usize = 10;

/// Fields about the client's connection (RFC 9110, section 7.6.1). `Expect` is answered by the gateway, which has the
/// body before a backend is asked.
static CLIENT_HOP: [HeaderName; 11] = [
    CONNECTION,
    EXPECT,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what was for the client's connection, and what `Connection` names.
///
/// # Errors
/// `Connection` names what is no field, or a field that every request needs.
pub(super) fn remove_client_hop(fields: &mut HeaderMap) -> Result<()> {
    let mut named: [Option<HeaderName>; NAMED_MAX] = Default::default();
    let tokens =
        fields.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    let mut slots = named.iter_mut();
    for token in tokens.map(<[u8]>::trim_ascii).filter(|token| !token.is_empty()) {
        let name = HeaderName::from_bytes(token).ok().filter(may_be_named);
        match (name, slots.next()) {
            (Some(name), Some(slot)) => *slot = Some(name),
            _ => {
                let text = "the Connection field names what cannot be left out";
                return Err(Error::explain(ErrorType::InvalidHTTPHeader, text).into_down());
            }
        }
    }
    for name in named.iter().flatten() {
        fields.remove(name);
    }
    if fields.keys().any(|name| CLIENT_HOP.contains(name)) {
        for name in &CLIENT_HOP {
            fields.remove(name);
        }
    }
    Ok(())
}

/// The gateway's own fields are set afterwards; a client that names them tries to have them removed.
fn may_be_named(name: &HeaderName) -> bool {
    *name != HOST && !name.as_str().starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn left(lines: &[(&'static str, &'static str)]) -> Option<Vec<String>> {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(*name, HeaderValue::from_static(value));
        }
        remove_client_hop(&mut fields).ok()?;
        Some(fields.keys().map(|name| name.as_str().to_owned()).collect())
    }

    #[test]
    fn what_is_for_one_connection_does_not_reach_the_other() {
        let lines = [
            ("host", "acme.test"),
            ("connection", "keep-alive, X-Mine"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
            ("x-mine", "1"),
            ("cookie", "a=1"),
        ];
        assert_eq!(left(&lines).unwrap(), ["host", "cookie"]);
    }

    #[test]
    fn nobody_can_have_a_field_removed_that_odoo_needs() {
        for named in ["host", "X-Forwarded-For", "close, x-forwarded-host", "a b", "\"x\"", ":authority"] {
            assert_eq!(left(&[("connection", named)]), None, "{named}");
        }
        assert_eq!(left(&[("connection", "a,b,c,d,e,f,g,h,i,j,k")]), None);
        assert!(left(&[("connection", "a,b,c,d,e,f,g,h,i,j")]).is_some());
    }
}
