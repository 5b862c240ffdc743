//! The head of a request whose bytes another parser has read: HTTP/2, where frames leave nothing to guess.

use super::method::is_allowed;
use super::{FIELDS_MAX, Fields, HEAD_BYTES_MAX, TARGET_BYTES_MAX, Version};
use crate::rejection::Rejection;

/// What each field costs beyond its bytes, as `name: value` and a line end.
const FIELD_BYTES: usize = 4;

/// Judges a parsed head by the rules for heads of HTTP/1.
///
/// Browsers split the cookies of HTTP/2 into fields of their own (RFC 9113, section 8.2.3): those count as one.
///
/// # Errors
/// The [`Rejection`] that the client gets.
pub fn judge_parsed<'a>(
    method: &[u8],
    target: &[u8],
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), Rejection> {
    if !is_allowed(method) {
        return Err(Rejection::MethodNotAllowed);
    }
    if target.len() > TARGET_BYTES_MAX {
        return Err(Rejection::TargetTooLong);
    }
    let mut seen = Fields::default();
    let (mut count, mut bytes) = (0_usize, target.len());
    for (name, value) in fields {
        count = count.saturating_add(usize::from(name != b"cookie"));
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len()).saturating_add(FIELD_BYTES);
        seen.take(name, value)?;
    }
    if count > FIELDS_MAX || bytes > HEAD_BYTES_MAX {
        return Err(Rejection::HeadTooLarge);
    }
    seen.judge(Version::Http2, method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Fault;

    fn judge(method: &str, target: &str, fields: &[(&str, &str)]) -> Result<(), Rejection> {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        judge_parsed(method.as_bytes(), target.as_bytes(), fields)
    }

    #[test]
    fn a_parsed_head_is_held_to_the_same_rules() {
        assert_eq!(judge("POST", "/", &[("content-length", "5"), ("x", "y")]), Ok(()));
        assert_eq!(judge("POST", "/", &[("cookie", "a=b"); 500]), Ok(()));
        assert_eq!(judge("TRACE", "/", &[]), Err(Rejection::MethodNotAllowed));
        assert_eq!(judge("GET", &"/".repeat(TARGET_BYTES_MAX + 1), &[]), Err(Rejection::TargetTooLong));
        assert_eq!(judge("GET", "/", &[("x", "y"); FIELDS_MAX + 1]), Err(Rejection::HeadTooLarge));
        let long = "x".repeat(HEAD_BYTES_MAX);
        assert_eq!(judge("GET", "/", &[("x", &long)]), Err(Rejection::HeadTooLarge));
        assert_eq!(judge("POST", "/", &[("content_length", "5")]), Err(Fault::FoldedName.into()));
        assert_eq!(judge("POST", "/", &[("content-length", "5"); 2]), Err(Fault::ContentLength.into()));
    }
}
