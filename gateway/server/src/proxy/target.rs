//! The target of a request, in one form before anything looks at it.

use fleetgate_core::rejection::Rejection;
use pingora::http::RequestHeader;
use pingora::http::authority::{RawTargetAuthority, is_http_family_scheme, raw_target_authority};

/// Makes a target of HTTP/1 a path and query (origin-form; RFC 9112, section 3.2.1).
///
/// Of an absolute target only the path stays: Pingora has checked that its authority is the `Host`. Everything else
/// (`*`, `host:port`, `path` without a slash) names nothing that Odoo serves, and servers read it in different ways.
pub(super) fn read(head: &mut RequestHeader) -> Result<(), Rejection> {
    let raw = head.raw_path();
    if raw.first() == Some(&b'/') {
        return Ok(());
    }
    let path = match raw_target_authority(raw) {
        RawTargetAuthority::Absolute { scheme, path_and_query, .. } if is_http_family_scheme(scheme) => {
            let slash: &[u8] = if path_and_query.first() == Some(&b'/') { b"" } else { b"/" };
            [slash, path_and_query].concat()
        }
        RawTargetAuthority::Absolute { .. }
        | RawTargetAuthority::None
        | RawTargetAuthority::AmbiguousAuthority => return Err(Rejection::BadRequest),
    };
    head.set_raw_path(&path).map_err(|_| Rejection::BadRequest)
}

/// Takes the authority of HTTP/2 off a target on its way to a backend, which gets it as `Host`. Werkzeug takes the
/// host of an absolute target for `Host`.
pub(super) fn drop_authority(head: &mut RequestHeader) {
    if head.uri.authority().is_some() || head.uri.scheme().is_some() {
        let path = head.uri.path_and_query().cloned();
        let uri = path.map_or_else(http::Uri::default, http::Uri::from);
        head.set_uri(uri);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(raw: &str) -> Option<String> {
        let mut head = RequestHeader::build("GET", raw.as_bytes(), None).unwrap();
        read(&mut head).ok()?;
        Some(String::from_utf8_lossy(head.raw_path()).into_owned())
    }

    #[test]
    fn an_absolute_target_is_cut_to_its_path() {
        for (raw, path) in [
            ("/odoo?a=http://x/", "/odoo?a=http://x/"),
            ("//acme.test/x", "//acme.test/x"),
            ("http://acme.test/websocket?version=1", "/websocket?version=1"),
            ("HTTPS://acme.test:8443/%77ebsocket", "/%77ebsocket"),
            ("http://acme.test", "/"),
            ("http://acme.test?a=b", "/?a=b"),
        ] {
            assert_eq!(target(raw).as_deref(), Some(path), "{raw}");
        }
    }

    #[test]
    fn what_is_neither_a_path_nor_a_url_is_refused() {
        for raw in ["*", "acme.test:443", "odoo", "?a=b", "ftp://acme.test/x", "http:/acme.test/x", "://x/"] {
            assert_eq!(target(raw), None, "{raw}");
        }
    }
}
