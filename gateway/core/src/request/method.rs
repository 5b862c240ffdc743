//! Methods that Odoo serves.

/// What `Allow` says beside a 405.
pub const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Whether a method may pass. Methods have a case (RFC 9110, section 9.1), `TRACE` sends secrets back, and `CONNECT` is
/// for forward proxies.
#[must_use]
pub fn is_allowed(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"POST" | b"HEAD" | b"PUT" | b"PATCH" | b"DELETE" | b"OPTIONS")
}

/// Whether a request of a method usually has a body, and must say how long it is where chunks are unknown.
pub(super) fn carries_a_body(method: &[u8]) -> bool {
    matches!(method, b"POST" | b"PUT" | b"PATCH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_each_method_that_may_pass() {
        assert!(ALLOW.split(", ").all(|method| is_allowed(method.as_bytes())));
        for method in ["get", "Get", "TRACE", "CONNECT", "PRI", "PROPFIND", ""] {
            assert!(!is_allowed(method.as_bytes()), "{method}");
        }
    }
}
