//! Text between two tags.

use crate::rpc::outcome::RpcRefusal;
use crate::rpc::text::Text;

/// Longest reference, in bytes between `&` and `;`. A character needs eight.
const REFERENCE_BYTES_MAX: usize = 32;

/// What stood between two tags: decoded, as far as it is kept, and whether it was more than white space.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) text: Text,
    pub(super) blank: bool,
    /// Where in the body it began.
    pub(super) start: u64,
}

impl Content {
    pub(super) const fn new() -> Self {
        Self { text: Text::new(), blank: true, start: 0 }
    }

    pub(super) fn clear(&mut self, start: u64) {
        self.text.clear();
        self.blank = true;
        self.start = start;
    }

    /// Text as it was written.
    pub(super) fn push(&mut self, run: &[u8]) {
        self.text.push(run);
        self.blank = self.blank && run.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    }

    /// Text that is no white space between tags, whatever it is: of a CDATA section or a reference.
    pub(super) fn push_verbatim(&mut self, run: &[u8]) {
        self.text.push(run);
        self.blank = false;
    }
}

/// A reference such as `&amp;` or `&#x41;`, between its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    name: [u8; REFERENCE_BYTES_MAX],
    len: usize,
}

impl Reference {
    pub(super) const fn new() -> Self {
        Self { name: [0; REFERENCE_BYTES_MAX], len: 0 }
    }

    pub(super) fn push(&mut self, byte: u8) -> Result<(), RpcRefusal> {
        let slot = self.name.get_mut(self.len).ok_or(RpcRefusal::Length)?;
        *slot = byte;
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// The character that is meant. Without a document type there are five names (XML 1.0, section 4.6).
    pub(super) fn character(&self) -> Result<char, RpcRefusal> {
        let name = self.name.get(..self.len).unwrap_or_default();
        let code = match name {
            b"amp" => return Ok('&'),
            b"lt" => return Ok('<'),
            b"gt" => return Ok('>'),
            b"quot" => return Ok('"'),
            b"apos" => return Ok('\''),
            [b'#', b'x', digits @ ..] => number(digits, 16),
            [b'#', digits @ ..] => number(digits, 10),
            _ => return Err(RpcRefusal::Doctype),
        };
        let character = code.and_then(char::from_u32).ok_or(RpcRefusal::Malformed)?;
        // XML 1.0, section 2.2: no other control character exists, however it is written.
        let exists = matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
        if exists { Ok(character) } else { Err(RpcRefusal::Malformed) }
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let first = char::from(*digits.first()?).to_digit(radix)?;
    digits.iter().skip(1).try_fold(first, |value, &digit| {
        value.checked_mul(radix)?.checked_add(char::from(digit).to_digit(radix)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn character(name: &str) -> Result<char, RpcRefusal> {
        let mut reference = Reference::new();
        for byte in name.bytes() {
            reference.push(byte)?;
        }
        reference.character()
    }

    #[test]
    fn references_are_the_five_names_and_numbers() {
        for (name, expected) in [
            ("amp", '&'),
            ("lt", '<'),
            ("gt", '>'),
            ("quot", '"'),
            ("apos", '\''),
            ("#97", 'a'),
            ("#x61", 'a'),
            ("#x1F600", '\u{1f600}'),
            ("#00000000000000000000000000097", 'a'),
            ("#9", '\t'),
        ] {
            assert_eq!(character(name), Ok(expected), "{name}");
        }
        for name in [
            "#",
            "#x",
            "#0",
            "#x0",
            "#1",
            "#xD800",
            "#xFFFE",
            "#x110000",
            "#4294967393",
            "#-97",
            "#9 7",
            "#X61",
        ] {
            assert_eq!(character(name), Err(RpcRefusal::Malformed), "{name}");
        }
        assert_eq!(character("nbsp"), Err(RpcRefusal::Doctype));
        assert_eq!(character(&"#".repeat(33)), Err(RpcRefusal::Length));
    }
}
