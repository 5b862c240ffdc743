//! The path of a request, as Odoo will read it.
//!
//! A decision about a path is made on its decoded form; the raw form is forwarded. Odoo's server decodes
//! percent-encoding once and reads `//x` as `/x` (Werkzeug 2 and 3 `serving.py`, `make_environ`), and routes
//! ignore one trailing slash (`strict_slashes=False`, Odoo `odoo/http.py`).

/// Decoded bytes that decisions look at. No route that matters to the gateway is longer.
pub const DECODED_BYTES_MAX: usize = 256;

/// The start of a path, percent-decoded once, runs of slashes collapsed, on the stack.
#[derive(Clone)]
pub struct DecodedPath {
    bytes: [u8; DECODED_BYTES_MAX],
    len: usize,
    whole: bool,
}

impl DecodedPath {
    /// Decodes a raw path without its query.
    #[must_use]
    pub fn new(raw: &[u8]) -> Self {
        let mut path = Self { bytes: [0; DECODED_BYTES_MAX], len: 0, whole: true };
        if let Some(bytes) = path.bytes.get_mut(..raw.len())
            && is_decoded(raw)
        {
            bytes.copy_from_slice(raw);
            path.len = raw.len();
            return path;
        }
        let mut rest = raw;
        while let Some((&first, tail)) = rest.split_first() {
            let (byte, tail) = match (first, tail) {
                (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => (high << 4 | low, tail),
                    _ => (first, tail_after_percent(rest)),
                },
                _ => (first, tail),
            };
            rest = tail;
            if byte == b'/' && path.as_bytes().last() == Some(&b'/') {
                continue;
            }
            let Some(slot) = path.bytes.get_mut(path.len) else {
                path.whole = false;
                break;
            };
            *slot = byte;
            path.len = path.len.saturating_add(1);
        }
        path
    }

    /// The decoded bytes, at most [`DECODED_BYTES_MAX`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Whether the path ends where the decoded bytes end.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
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

/// Whether decoding would change nothing, as for nearly every path that a browser sends.
fn is_decoded(raw: &[u8]) -> bool {
    let mut previous = 0;
    raw.iter().all(|&byte| {
        let changes = byte == b'%' || (byte == b'/' && previous == b'/');
        previous = byte;
        !changes
    })
}

fn tail_after_percent(rest: &[u8]) -> &[u8] {
    rest.get(1..).unwrap_or_default()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
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

    fn decoded(raw: &str) -> String {
        String::from_utf8_lossy(DecodedPath::new(raw.as_bytes()).as_bytes()).into_owned()
    }

    #[test]
    fn one_pass_of_decoding_and_one_slash() {
        assert_eq!(decoded("/%77ebsocket"), "/websocket");
        assert_eq!(decoded("//websocket///x"), "/websocket/x");
        assert_eq!(decoded("/%2Fwebsocket"), "/websocket");
        assert_eq!(decoded("/%2577ebsocket"), "/%77ebsocket");
        assert_eq!(decoded("/a%"), "/a%");
        assert_eq!(decoded("/a%4"), "/a%4");
        assert_eq!(decoded("/a%zz%41"), "/a%zzA");
    }

    #[test]
    fn a_language_segment_is_seen_through() {
        let seen = |raw: &str| {
            String::from_utf8_lossy(DecodedPath::new(raw.as_bytes()).without_language()).into_owned()
        };
        for raw in ["/fr/websocket", "/fr_BE/websocket", "/sr@latin/websocket", "/%66r/websocket"] {
            assert_eq!(seen(raw), "/websocket", "{raw}");
        }
        for raw in ["/web/websocket", "/bus/websocket", "/french/websocket", "/f/websocket", "/FR/websocket"]
        {
            assert_eq!(seen(raw), raw);
        }
    }

    #[test]
    fn an_endless_path_is_cut_not_copied() {
        let path = DecodedPath::new("/a".repeat(10_000).as_bytes());
        assert_eq!(path.as_bytes().len(), DECODED_BYTES_MAX);
        assert!(!path.is_whole());
    }
}
