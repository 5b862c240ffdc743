//! Parameters of a query, read as Odoo reads them.
//!
//! Pairs are split at `&`, a name from its value at the first `=`; `+` is a space, `%XX` a byte, and anything else stands
//! for itself. Source: Werkzeug 0.16 to 2.2 `urls.py`, `url_decode`; Werkzeug 3 `urllib.parse.parse_qsl`.

use crate::percent::byte_of;

/// Names and values as sent, in order.
pub(super) fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|&byte| byte == b'&').map(|pair| {
        let end = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        (pair.get(..end).unwrap_or(pair), pair.get(end.saturating_add(1)..).unwrap_or_default())
    })
}

/// The bytes that a name or value stands for.
#[derive(Clone)]
pub(super) struct Decoded<'a>(&'a [u8]);

impl<'a> Decoded<'a> {
    /// Of a name or value as sent.
    pub(super) const fn new(raw: &'a [u8]) -> Self {
        Self(raw)
    }

    /// Whether it stands for exactly these bytes.
    pub(super) fn is(raw: &'a [u8], bytes: &[u8]) -> bool {
        Self(raw).eq(bytes.iter().copied())
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = match *self.0 {
            [] => return None,
            [b'+', ref rest @ ..] => (b' ', rest),
            [b'%', high, low, ref rest @ ..] => match byte_of(high, low) {
                Some(byte) => (byte, rest),
                None => (b'%', self.0.get(1..).unwrap_or_default()),
            },
            [byte, ref rest @ ..] => (byte, rest),
        };
        self.0 = rest;
        Some(byte)
    }
}
