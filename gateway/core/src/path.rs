//! The path of a request, in the one spelling that decisions are made on and that Odoo gets.
//!
//! Odoo's server decodes percent-encoding once and reads `//x` as `/x` (Werkzeug 2 and 3 `serving.py`,
//! `make_environ`), and routes ignore one trailing slash (`strict_slashes=False`, Odoo `odoo/http.py`). What servers
//! read in different ways (dot segments, encoded slashes, backslashes) is refused.

use crate::percent::{decode_once, encode};
use crate::request::Fault;
use std::borrow::Cow;

/// A path that begins with a slash, in normal form: each byte that may stand for itself does, every other one is
/// percent-encoded in upper case, and slashes stand alone. One trailing slash stays.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NormalPath<'a>(Cow<'a, [u8]>);

impl<'a> NormalPath<'a> {
    /// Normalises a raw path without its query. Borrows, without an allocation for nearly every path that a browser
    /// sends, if the path is normal already.
    ///
    /// # Errors
    /// The [`Fault`] for which the request must be refused.
    pub fn new(raw: &'a [u8]) -> Result<Self, Fault> {
        if is_plain(raw) {
            return Ok(Self(Cow::Borrowed(raw)));
        }
        let path = normalise(raw)?;
        Ok(Self(if path == raw { Cow::Borrowed(raw) } else { Cow::Owned(path) }))
    }

    /// The bytes of the path, exactly as they are forwarded.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the raw path was normal.
    #[must_use]
    pub const fn is_borrowed(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }

    /// The path without a leading language segment, as Odoo's website routing reads `/fr/websocket`.
    /// Source: Odoo 19.0 `addons/http_routing/models/ir_http.py`, `_match`.
    #[must_use]
    pub fn without_language(&self) -> &[u8] {
        let whole = self.as_bytes();
        let inner = whole.strip_prefix(b"/").unwrap_or_default();
        let end = inner.iter().position(|&byte| byte == b'/').unwrap_or(inner.len());
        match inner.split_at_checked(end) {
            Some((segment, rest)) if is_language(segment) => rest,
            _ => whole,
        }
    }
}

/// Whether a byte stands for itself in a path: `/` and `pchar` of RFC 3986, section 3.3, without the encoded ones.
#[rustfmt::skip]
const fn is_literal(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\''
            | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
    )
}

/// Whether a byte may stand in a path as a client writes it: visible ASCII but those that every client encodes (WHATWG
/// URL, path percent-encode set), without `"`, `{` and `}`, which some forget. Pingora refuses the same.
pub(crate) const fn may_stand(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'`')
}

/// Whether a path is normal at first sight: no escapes, and no segment that begins with a dot.
fn is_plain(raw: &[u8]) -> bool {
    let mut previous = 0;
    raw.first() == Some(&b'/')
        && raw.iter().all(|&byte| {
            let fine = is_literal(byte) && !(previous == b'/' && matches!(byte, b'/' | b'.'));
            previous = byte;
            fine
        })
}

fn normalise(raw: &[u8]) -> Result<Vec<u8>, Fault> {
    if raw.first() != Some(&b'/') {
        return Err(Fault::TargetForm);
    }
    let mut path = Vec::with_capacity(raw.len());
    let mut segment = 0;
    let mut rest = raw;
    while let Some((&first, tail)) = rest.split_first() {
        let encoded = first == b'%';
        let (byte, tail) = if encoded { decode_once(tail).ok_or(Fault::Escape)? } else { (first, tail) };
        rest = tail;
        match (byte, encoded) {
            (b'/', true) => return Err(Fault::EncodedSlash),
            (b'/', false) if path.last() == Some(&b'/') => {}
            (b'/', false) => {
                refuse_dots(path.get(segment..).unwrap_or_default())?;
                path.push(b'/');
                segment = path.len();
            }
            (b'\\', _) => return Err(Fault::Backslash),
            (0..=0x1f | 0x7f, true) => return Err(Fault::Control),
            _ if is_literal(byte) => path.push(byte),
            (_, false) if !may_stand(byte) => return Err(Fault::TargetByte),
            _ => encode(byte, &mut path),
        }
    }
    refuse_dots(path.get(segment..).unwrap_or_default())?;
    Ok(path)
}

fn refuse_dots(segment: &[u8]) -> Result<(), Fault> {
    if matches!(segment, b"." | b"..") { Err(Fault::DotSegment) } else { Ok(()) }
}

/// `fr`, `fr_BE`, `fr-be`, `sr@latin`, `zh_HANS`, but not `web`, `bus` and `pos`, which are applications.
fn is_language(segment: &[u8]) -> bool {
    let letters = segment.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    let territory = segment.get(letters..).unwrap_or_default();
    let territory_fine = match territory {
        [] => true,
        [b'_' | b'-' | b'@', rest @ ..] => {
            !rest.is_empty()
                && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'@' | b'_' | b'-'))
        }
        _ => false,
    };
    matches!(letters, 2 | 3) && territory_fine && !matches!(segment, b"web" | b"bus" | b"pos")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(raw: &str) -> Result<String, Fault> {
        NormalPath::new(raw.as_bytes()).map(|path| String::from_utf8(path.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn one_spelling_for_each_path() {
        for (raw, path) in [
            ("/", "/"),
            ("/odoo/", "/odoo/"),
            ("/%77ebsocket", "/websocket"),
            ("//websocket///x//", "/websocket/x/"),
            ("/%2577ebsocket", "/%2577ebsocket"),
            ("/a%20b%c3%A9", "/a%20b%C3%A9"),
            ("/a|b[c]{d}^\"", "/a%7Cb%5Bc%5D%7Bd%7D%5E%22"),
            ("/%3c%3E%60", "/%3C%3E%60"),
            ("/%3B%3a%40%2b%3F%23", "/;:@+%3F%23"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/..;/x", "/..;/x"),
        ] {
            assert_eq!(normal(raw).as_deref(), Ok(path), "{raw}");
        }
    }

    #[test]
    fn what_servers_read_in_two_ways_is_refused() {
        for (raw, fault) in [
            ("", Fault::TargetForm),
            ("odoo", Fault::TargetForm),
            ("*", Fault::TargetForm),
            ("%2fodoo", Fault::TargetForm),
            ("/..", Fault::DotSegment),
            ("/.", Fault::DotSegment),
            ("/a/../b", Fault::DotSegment),
            ("/a/./b", Fault::DotSegment),
            ("/a/%2e./b", Fault::DotSegment),
            ("/a//.%2E", Fault::DotSegment),
            ("/%2fweb", Fault::EncodedSlash),
            ("/web%2Fdatabase", Fault::EncodedSlash),
            ("/web\\database", Fault::Backslash),
            ("/web%5cdatabase", Fault::Backslash),
            ("/%00", Fault::Control),
            ("/%0d%0aX:%20y", Fault::Control),
            ("/%7f", Fault::Control),
            ("/%", Fault::Escape),
            ("/%4", Fault::Escape),
            ("/%zz", Fault::Escape),
            ("/%+1", Fault::Escape),
            ("/a b", Fault::TargetByte),
            ("/a\tb", Fault::TargetByte),
            ("/a\0b", Fault::TargetByte),
            ("/\u{e9}", Fault::TargetByte),
            ("/a#b", Fault::TargetByte),
            ("/<a>", Fault::TargetByte),
            ("/a`b", Fault::TargetByte),
        ] {
            assert_eq!(normal(raw), Err(fault), "{raw}");
        }
    }

    #[test]
    fn a_normal_path_is_borrowed() {
        for raw in ["/", "/web/login", "/a%20b", "/.well-known/x", "/%C3%A9/"] {
            assert!(NormalPath::new(raw.as_bytes()).unwrap().is_borrowed(), "{raw}");
        }
        for raw in ["//", "/%c3%a9", "/%41", "/a|b"] {
            assert!(!NormalPath::new(raw.as_bytes()).unwrap().is_borrowed(), "{raw}");
        }
    }

    #[test]
    fn a_language_segment_is_seen_through() {
        let seen = |raw: &str| {
            let path = NormalPath::new(raw.as_bytes()).unwrap();
            String::from_utf8_lossy(path.without_language()).into_owned()
        };
        for raw in ["/fr/websocket", "/fr_BE/websocket", "/sr@latin/websocket", "/%66r//websocket"] {
            assert_eq!(seen(raw), "/websocket", "{raw}");
        }
        for raw in ["/web/websocket", "/bus/websocket", "/french/websocket", "/f/websocket", "/FR/websocket"]
        {
            assert_eq!(seen(raw), raw);
        }
    }

    /// Werkzeug's reading: escapes decoded once, runs of slashes at the start taken for one.
    fn decoded(path: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = path;
        while let Some((&first, tail)) = rest.split_first() {
            let (byte, tail) = match first {
                b'%' => decode_once(tail).unwrap_or((first, tail)),
                _ => (first, tail),
            };
            rest = tail;
            if byte != b'/' || bytes.last() != Some(&b'/') {
                bytes.push(byte);
            }
        }
        bytes
    }

    fn spelled() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("/".to_owned()),
            Just("//".to_owned()),
            Just(".".to_owned()),
            "%[0-9a-fA-F]{2}",
            "[a-z|\\[\"@;:%#\\\\ \u{0}\u{e9}]",
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes())
    }

    proptest! {
        #[test]
        fn a_normal_path_is_its_own_normal_form_and_means_the_same(raw in spelled()) {
            if let Ok(path) = NormalPath::new(&raw) {
                let again = NormalPath::new(path.as_bytes()).unwrap();
                prop_assert!(again.is_borrowed());
                prop_assert_eq!(&again, &path);
                prop_assert_eq!(decoded(path.as_bytes()), decoded(&raw));
                prop_assert!(path.as_bytes().iter().all(|&byte| is_literal(byte) || byte == b'%'));
                prop_assert!(!path.as_bytes().windows(2).any(|pair| pair == b"//"));
                prop_assert!(!decoded(&raw).split(|&byte| byte == b'/').any(|part| part == b"." || part == b".."));
            }
        }

        #[test]
        fn any_bytes_are_normal_or_refused(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(path) = NormalPath::new(&raw) {
                prop_assert_eq!(path.as_bytes().first(), Some(&b'/'));
            }
        }

        #[test]
        fn paths_that_mean_the_same_have_one_spelling(raw in "/[a-z0-9/._~;:@-]{0,40}", mask in any::<u64>()) {
            let mut spelled = Vec::new();
            for (at, byte) in raw.bytes().enumerate() {
                if byte != b'/' && mask >> (at % 64) & 1 == 1 {
                    encode(byte, &mut spelled);
                } else {
                    spelled.push(byte);
                }
            }
            prop_assert_eq!(NormalPath::new(&spelled), NormalPath::new(raw.as_bytes()));
        }
    }
}
