//! Strings of any length, in any pieces.

use crate::rpc::outcome::RpcRefusal;
use crate::rpc::span;
use crate::rpc::text::{Text, Utf8};

/// Where in a string the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    /// After a backslash.
    Escape,
    /// In the digits after `\u`: how many are there, and their value.
    Hex(u8, u16),
}

/// Reads a string after its opening quote, as Python's `json` does: control characters are refused, halves of
/// surrogate pairs stay as they are.
#[derive(Debug)]
pub(super) struct StringReader {
    state: State,
    utf8: Utf8,
    /// A first half of a surrogate pair that waits for the second.
    high: Option<u16>,
    /// The decoded text, when it is kept.
    pub(super) text: Text,
    kept: bool,
    /// Whether invalid UTF-8 is refused.
    pub(super) strict: bool,
}

impl StringReader {
    pub(super) fn new() -> Self {
        Self {
            state: State::Plain,
            utf8: Utf8::default(),
            high: None,
            text: Text::new(),
            kept: false,
            strict: true,
        }
    }

    /// Begins another string.
    pub(super) fn open(&mut self, kept: bool) {
        self.text.clear();
        self.kept = kept;
        self.state = State::Plain;
        self.high = None;
    }

    /// Takes bytes to the end of the string, or of the piece: how many, and whether the string ended.
    pub(super) fn read(&mut self, piece: &[u8]) -> Result<(usize, bool), RpcRefusal> {
        let mut rest = piece;
        while !rest.is_empty() {
            if self.state == State::Plain {
                let plain = span::until(rest, |byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
                let (run, tail) = rest.split_at_checked(plain).unwrap_or((rest, b""));
                self.plain(run)?;
                rest = tail;
            }
            let Some((&byte, tail)) = rest.split_first() else { break };
            rest = tail;
            if self.special(byte)? {
                return Ok((piece.len().saturating_sub(rest.len()), true));
            }
        }
        Ok((piece.len(), false))
    }

    fn plain(&mut self, run: &[u8]) -> Result<(), RpcRefusal> {
        if run.is_empty() {
            return Ok(());
        }
        if self.strict && !self.utf8.accept(run) {
            return Err(RpcRefusal::Utf8);
        }
        self.flush();
        if self.kept {
            self.text.push(run);
        }
        Ok(())
    }

    /// A quote, a backslash, a control character, or a byte of an escape: whether the string ends.
    fn special(&mut self, byte: u8) -> Result<bool, RpcRefusal> {
        match (self.state, byte) {
            (State::Plain, _) if !self.utf8.is_whole() => return Err(RpcRefusal::Utf8),
            (State::Plain, b'"') => {
                self.flush();
                return Ok(true);
            }
            (State::Plain, b'\\') => self.state = State::Escape,
            (State::Plain, _) => return Err(RpcRefusal::Malformed),
            (State::Escape, b'u') => self.state = State::Hex(0, 0),
            (State::Escape, _) => {
                let byte = match byte {
                    b'"' | b'\\' | b'/' => byte,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => return Err(RpcRefusal::Malformed),
                };
                self.flush();
                self.text.push(&[byte]);
                self.state = State::Plain;
            }
            (State::Hex(count, value), _) => {
                let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
                let value = value << 4 | digit.ok_or(RpcRefusal::Malformed)?;
                self.state = State::Hex(count.saturating_add(1), value);
                if count == 3 {
                    self.unit(value);
                    self.state = State::Plain;
                }
            }
        }
        Ok(false)
    }

    /// A UTF-16 unit of an escape.
    fn unit(&mut self, unit: u16) {
        if let (Some(high), 0xdc00..=0xdfff) = (self.high, unit) {
            self.high = None;
            if let Some(Ok(character)) = char::decode_utf16([high, unit]).next() {
                self.text.push_char(character);
            }
            return;
        }
        self.flush();
        match char::from_u32(u32::from(unit)) {
            Some(character) => self.text.push_char(character),
            None if unit < 0xdc00 => self.high = Some(unit),
            None => self.half(unit),
        }
    }

    /// Gives up waiting for a second half.
    fn flush(&mut self) {
        if let Some(high) = self.high.take() {
            self.half(high);
        }
    }

    /// Keeps half a pair in the way of UTF-8, so that texts are equal just when Python's are.
    fn half(&mut self, unit: u16) {
        let byte = |lead: u16, bits: u16| u8::try_from(lead | bits).unwrap_or(u8::MAX);
        self.text.push(&[byte(0xe0, unit >> 12), byte(0x80, unit >> 6 & 0x3f), byte(0x80, unit & 0x3f)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(inner: &str, size: usize) -> Result<Option<Vec<u8>>, RpcRefusal> {
        let mut reader = StringReader::new();
        reader.open(true);
        let body = format!("{inner}\"");
        for piece in body.as_bytes().chunks(size) {
            if reader.read(piece)?.1 {
                return Ok(reader.text.get().map(<[u8]>::to_vec));
            }
        }
        Err(RpcRefusal::Malformed)
    }

    #[test]
    fn escapes_are_decoded_as_python_decodes_them() {
        for (inner, expected) in [
            (r"\u0061c\u006De", &b"acme"[..]),
            (r#"\"\\\/\b\f\n\r\t"#, b"\"\\/\x08\x0c\n\r\t"),
            (r"\ud83d\ude00", "\u{1f600}".as_bytes()),
            (r"\ud83d", b"\xed\xa0\xbd"),
            (r"\ude00\ud83d!", b"\xed\xb8\x80\xed\xa0\xbd!"),
            (r"\ud83d\ud83d\ude00", b"\xed\xa0\xbd\xf0\x9f\x98\x80"),
            (r"\ud83dx\ude00", b"\xed\xa0\xbdx\xed\xb8\x80"),
            ("\u{e9}\u{1f600}", "\u{e9}\u{1f600}".as_bytes()),
        ] {
            for size in 1..8 {
                assert_eq!(read(inner, size), Ok(Some(expected.to_vec())), "{inner}");
            }
        }
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for inner in [r"\x41", r"\u00g0", r"\u+041", r"\u 041", "a\nb", "a\0b", r"\'"] {
            assert_eq!(read(inner, 1), Err(RpcRefusal::Malformed), "{inner:?}");
        }
    }

    proptest! {
        #[test]
        fn a_string_reads_as_serde_reads_it(text in any::<String>(), size in 1..9_usize) {
            let json = serde_json::to_string(&text).unwrap();
            let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            let expected = Some(text.into_bytes()).filter(|bytes| bytes.len() <= 128);
            prop_assert_eq!(read(inner, size), Ok(expected));
        }
    }
}
