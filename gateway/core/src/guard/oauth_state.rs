//! The `state` that Odoo hands to an OAuth provider and gets back: a JSON object whose key `d` names a database.
//!
//! Source: Odoo 14.0 to 19.0 `addons/auth_oauth/controllers/main.py`, `get_state`: `json.dumps` of an object. Python's
//! reader takes the last of several equal keys, reads escapes in keys, and knows `NaN`; so all that is not plain is
//! refused instead of guessed at.

use core::iter::Peekable;

/// Deepest nesting that is looked into: the context of a sign-in is one level down.
const DEPTH_MAX: u8 = 8;
/// Longest name in bytes that can be a database's (PostgreSQL: NAMEDATALEN - 1).
const NAME_BYTES_MAX: usize = 63;

/// Whether the text is a JSON object whose key `d`, if there is one, is a text that `own` accepts. It is `false` for
/// all that is not a plain object, and for one with two keys `d`.
pub(super) fn names_only(text: impl Iterator<Item = u8>, own: impl Fn(&[u8]) -> bool) -> bool {
    Reader { text: text.peekable() }.whole(own).is_some()
}

/// Reads what it is asked for, or gives up with `None`.
struct Reader<I: Iterator<Item = u8>> {
    text: Peekable<I>,
}

impl<I: Iterator<Item = u8>> Reader<I> {
    fn whole(&mut self, own: impl Fn(&[u8]) -> bool) -> Option<()> {
        self.expect(b'{')?;
        if self.after_space()? == b'}' {
            return self.end();
        }
        let mut seen = false;
        loop {
            self.expect(b'"')?;
            let key = self.string()?;
            self.expect(b':')?;
            if key.is(b"d")? {
                self.expect(b'"')?;
                let name = self.string()?;
                let fine = !seen && !name.escaped && own(name.bytes.get(..name.len)?);
                seen = fine.then_some(true)?;
            } else {
                self.value(DEPTH_MAX)?;
            }
            match self.after_space()? {
                b',' => self.skip(),
                b'}' => return self.end(),
                _ => return None,
            }
        }
    }

    /// Nothing but space behind the last brace.
    fn end(&mut self) -> Option<()> {
        self.skip();
        self.after_space().is_none().then_some(())
    }

    fn value(&mut self, depth: u8) -> Option<()> {
        match self.after_space()? {
            b'"' => {
                self.skip();
                self.string().map(|_| ())
            }
            b'{' | b'[' => self.nested(depth.checked_sub(1)?),
            b'-' | b'0'..=b'9' => {
                let number =
                    |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
                while self.text.next_if(number).is_some() {}
                Some(())
            }
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => None,
        }
    }

    /// A list or an object inside of the object.
    fn nested(&mut self, depth: u8) -> Option<()> {
        let object = self.text.next()? == b'{';
        let close = if object { b'}' } else { b']' };
        if self.after_space()? == close {
            self.skip();
            return Some(());
        }
        loop {
            if object {
                self.expect(b'"')?;
                self.string()?;
                self.expect(b':')?;
            }
            self.value(depth)?;
            match self.after_space()? {
                b',' => self.skip(),
                byte if byte == close => {
                    self.skip();
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// A string behind its first quote.
    fn string(&mut self) -> Option<Name> {
        let mut name = Name { bytes: [0; NAME_BYTES_MAX], len: 0, escaped: false };
        loop {
            match self.text.next()? {
                b'"' => return Some(name),
                b'\\' => {
                    name.escaped = true;
                    self.text.next()?;
                }
                // Python's reader allows no control characters.
                0..=0x1f => return None,
                byte => {
                    if let Some(slot) = name.bytes.get_mut(name.len) {
                        *slot = byte;
                    }
                    name.len = name.len.saturating_add(1);
                }
            }
        }
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        word.iter().all(|byte| self.text.next() == Some(*byte)).then_some(())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.after_space()? == byte).then(|| self.skip())
    }

    fn skip(&mut self) {
        self.text.next();
    }

    /// The next byte that is no space, without taking it.
    fn after_space(&mut self) -> Option<u8> {
        while self.text.next_if(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).is_some() {}
        self.text.peek().copied()
    }
}

/// A string, as much of it as a name of a database may have.
struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    /// Of the whole string, escapes left out.
    len: usize,
    escaped: bool,
}

impl Name {
    /// Whether it is this key; `None` where only the rules of escapes would tell.
    fn is(&self, key: &[u8]) -> Option<bool> {
        (!self.escaped).then(|| self.bytes.get(..self.len) == Some(key))
    }
}
