//! The target of a request, in one form before anything looks at it.

use fleetgate_core::request::{Fault, Target};
use http::uri::PathAndQuery;
use pingora::http::RequestHeader;

/// Makes the target of a head a path and query in normal form: what is decided on is what a backend gets.
pub(super) fn settle(head: &mut RequestHeader) -> Result<(), Fault> {
    let raw = head.raw_path();
    let target = Target::parse(raw)?;
    if target.is_spelled(raw) {
        return Ok(());
    }
    let settled = PathAndQuery::try_from(target.to_bytes()).map_err(|_| Fault::TargetByte)?;
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = Some(settled);
    head.set_uri(http::Uri::from_parts(parts).map_err(|_| Fault::TargetForm)?);
    Ok(())
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

    #[test]
    fn a_head_keeps_its_settled_target() {
        for (raw, settled) in [
            ("/odoo?a=http://x/", "/odoo?a=http://x/"),
            ("//acme.test/x?y", "/acme.test/x?y"),
            ("HTTPS://acme.test:8443/%77ebsocket", "/websocket"),
            ("http://acme.test?a=b", "/?a=b"),
            ("/a|b?c|d", "/a%7Cb?c|d"),
        ] {
            let mut head = RequestHeader::build("GET", raw.as_bytes(), None).unwrap();
            settle(&mut head).unwrap();
            assert_eq!(String::from_utf8_lossy(head.raw_path()), settled, "{raw}");
        }
    }
}
