//! Cookies between browsers and Odoo.

use fleetgate_core::odoo::cookies;
use fleetgate_core::odoo::headers::SESSION_COOKIE;
use fleetgate_core::pool::SessionCookie;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::{ErrorType, OrErr, Result};

/// Joins the cookie fields of a request into one.
pub(super) fn join_cookies(fields: &mut HeaderMap) -> Result<()> {
    let values = fields.get_all(COOKIE);
    if values.iter().nth(1).is_none() {
        return Ok(());
    }
    let joined = cookies::join(values.iter().map(HeaderValue::as_bytes));
    let joined = HeaderValue::from_bytes(&joined).or_err(ErrorType::InvalidHTTPHeader, "joining cookies")?;
    fields.insert(COOKIE, joined);
    Ok(())
}

/// Adds `Secure` and `SameSite` to Odoo's session cookie where it says nothing itself (Odoo 14.0 to 19.0 send
/// `HttpOnly; Path=/` only). Other cookies are left alone.
pub(super) fn harden_session(head: &mut ResponseHeader, policy: SessionCookie) -> Result<()> {
    let is_session = |value: &HeaderValue| {
        let name = value.as_bytes().split(|&byte| byte == b'=').next().unwrap_or_default();
        name.trim_ascii() == SESSION_COOKIE.as_bytes()
    };
    if !head.headers.get_all(SET_COOKIE).iter().any(is_session) {
        return Ok(());
    }
    let values: Vec<HeaderValue> = head.headers.get_all(SET_COOKIE).iter().cloned().collect();
    head.remove_header(&SET_COOKIE);
    for value in values {
        let value = if is_session(&value) { hardened(&value, policy)? } else { value };
        head.append_header(SET_COOKIE, value)?;
    }
    Ok(())
}

fn hardened(value: &HeaderValue, policy: SessionCookie) -> Result<HeaderValue> {
    let has = |attribute: &[u8]| {
        let mut attributes = value.as_bytes().split(|&byte| byte == b';').skip(1);
        attributes.any(|text| {
            text.trim_ascii().get(..attribute.len()).is_some_and(|s| s.eq_ignore_ascii_case(attribute))
        })
    };
    let mut text = value.as_bytes().to_vec();
    if policy.secure && !has(b"secure") {
        text.extend_from_slice(b"; Secure");
    }
    if let Some(same_site) = policy.same_site.filter(|_| !has(b"samesite")) {
        text.extend_from_slice(b"; SameSite=");
        text.extend_from_slice(same_site.as_str().as_bytes());
    }
    HeaderValue::from_bytes(&text).or_err(ErrorType::InvalidHTTPHeader, "hardening the session cookie")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleetgate_core::pool::SameSite;

    fn set_cookies(values: &[&str], policy: SessionCookie) -> Vec<String> {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for value in values {
            head.append_header(SET_COOKIE, *value).unwrap();
        }
        harden_session(&mut head, policy).unwrap();
        head.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn only_the_session_cookie_is_hardened_and_only_where_it_is_silent() {
        let policy = SessionCookie { secure: true, same_site: Some(SameSite::Lax) };
        let cookies = [
            "session_id=abc; HttpOnly; Path=/",
            "frontend_lang=fr_FR",
            "session_id=x; secure; SameSite=None",
        ];
        let expected = [
            "session_id=abc; HttpOnly; Path=/; Secure; SameSite=Lax",
            "frontend_lang=fr_FR",
            "session_id=x; secure; SameSite=None",
        ];
        assert_eq!(set_cookies(&cookies, policy), expected);
        let off = SessionCookie { secure: false, same_site: None };
        assert_eq!(set_cookies(&cookies[..1], off), &cookies[..1]);
    }

    #[test]
    fn split_cookies_become_one_line() {
        let mut fields = HeaderMap::new();
        for value in ["a=1", "session_id=xyz", "c=3"] {
            fields.append(COOKIE, HeaderValue::from_static(value));
        }
        join_cookies(&mut fields).unwrap();
        let lines: Vec<_> = fields.get_all(COOKIE).iter().collect();
        assert_eq!(lines, ["a=1; session_id=xyz; c=3"]);
    }
}
