//! Cookies of a request, as Odoo's server reads them.

use super::headers::SESSION_COOKIE;

/// Joins the cookie fields of a request into one (RFC 9113, section 8.2.3: HTTP/2 may split it). Werkzeug joins several
/// lines with a comma and loses the session (Odoo 14.0 to 19.0).
#[must_use]
pub fn join<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut joined = Vec::new();
    for (place, field) in fields.enumerate() {
        if place > 0 {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(field);
    }
    joined
}

/// Whether one of the cookies is Odoo's session.
pub fn name_session<'a>(fields: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut names = fields.flat_map(|field| field.split(|&byte| byte == b';')).filter_map(name_of);
    names.any(|name| name == SESSION_COOKIE.as_bytes())
}

/// The name of one cookie, `name=value`.
fn name_of(cookie: &[u8]) -> Option<&[u8]> {
    cookie.split(|&byte| byte == b'=').next().map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields<'a>(fields: &'a [&'a str]) -> impl Iterator<Item = &'a [u8]> {
        fields.iter().map(|field| field.as_bytes())
    }

    #[test]
    fn split_cookies_become_one_line() {
        assert_eq!(join(fields(&["a=1", "session_id=xyz", "c=3"])), b"a=1; session_id=xyz; c=3");
        assert_eq!(join(fields(&["a=1; b=2"])), b"a=1; b=2");
        assert_eq!(join(fields(&[])), b"");
    }

    #[test]
    fn the_session_is_known_wherever_it_stands_and_by_its_whole_name() {
        for cookies in [&["session_id=x"][..], &["a=1; session_id=x"], &["a=1", " session_id =x"]] {
            assert!(name_session(fields(cookies)), "{cookies:?}");
        }
        for cookies in [&["xsession_id=x"][..], &["a=session_id=x"], &["session_id2=x"], &[]] {
            assert!(!name_session(fields(cookies)), "{cookies:?}");
        }
    }
}
