//! `name=value&name=value`, in any pieces.

use super::Field;
use crate::guard::Guard;
use crate::percent::byte_of;
use crate::rpc::policy::RpcPolicy;
use crate::rpc::span::until;
use crate::rpc::text::Text;

/// Reads pairs as Werkzeug reads them: split at `&`, a name from its value at the first `=`; `+` is a space, `%XX` a
/// byte, and anything else stands for itself.
/// Source: Werkzeug 0.16 to 2.2 `urls.py`, `url_decode_stream`; Werkzeug 3 `urllib.parse.parse_qsl`.
#[derive(Debug)]
pub(in crate::rpc) struct Pairs {
    /// What the value may hold; `None` while the name is read.
    field: Option<Field>,
    escape: Escape,
    /// The name, then the value.
    text: Text,
}

impl Default for Pairs {
    fn default() -> Self {
        Self { field: None, escape: Escape::None, text: Text::new() }
    }
}

/// How much of `%XX` was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Percent,
    High(u8),
}

impl Pairs {
    pub(super) fn feed(&mut self, piece: &[u8], policy: &RpcPolicy) -> Option<Guard> {
        let mut rest = piece;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.field == Some(Field::Any) {
                // Most of a form, and nothing in it matters.
                let skipped = until(rest, |byte| byte == b'&');
                rest = rest.get(skipped..).unwrap_or_default();
                if let Some((_, tail)) = rest.split_first() {
                    rest = tail;
                    self.begin();
                }
                continue;
            }
            rest = tail;
            let found = self.byte(byte, policy);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    pub(super) fn finish(&mut self, policy: &RpcPolicy) -> Option<Guard> {
        self.unescape();
        self.pair_ended(policy)
    }

    fn begin(&mut self) {
        *self = Self::default();
    }

    fn byte(&mut self, byte: u8, policy: &RpcPolicy) -> Option<Guard> {
        self.escape = match (self.escape, byte) {
            (Escape::Percent, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => Escape::High(byte),
            (Escape::High(high), low) if let Some(byte) = byte_of(high, low) => {
                self.text.push(&[byte]);
                Escape::None
            }
            (Escape::Percent | Escape::High(_), _) => {
                self.unescape();
                return self.byte(byte, policy);
            }
            (Escape::None, b'%') => Escape::Percent,
            (Escape::None, b'&') => {
                let found = self.pair_ended(policy);
                self.begin();
                return found;
            }
            (Escape::None, b'=') if self.field.is_none() => return self.name_ended(policy),
            (Escape::None, b'+') => {
                self.text.push(b" ");
                Escape::None
            }
            (Escape::None, byte) => {
                self.text.push(&[byte]);
                Escape::None
            }
        };
        None
    }

    /// What looked like an escape is none, and stands for itself.
    fn unescape(&mut self) {
        match self.escape {
            Escape::None => {}
            Escape::Percent => self.text.push(b"%"),
            Escape::High(high) => self.text.push(&[b'%', high]),
        }
        self.escape = Escape::None;
    }

    fn name_ended(&mut self, policy: &RpcPolicy) -> Option<Guard> {
        let field = self.text.get().map_or(Ok(Field::Any), |name| Field::named(name, policy));
        self.text.clear();
        match field {
            Ok(field) => {
                self.field = Some(field);
                None
            }
            Err(guard) => Some(guard),
        }
    }

    fn pair_ended(&mut self, policy: &RpcPolicy) -> Option<Guard> {
        match self.field {
            Some(field) => field.check(self.text.get(), self.text.start(), policy),
            None => self.name_ended(policy),
        }
    }
}
