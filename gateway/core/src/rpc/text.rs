//! Texts that are kept whole or not at all.

/// Longest text that is kept, in bytes: longer than any name that is compared (databases 63, models and methods 64).
pub(super) const TEXT_BYTES_MAX: usize = 128;

/// A decoded text; of one that is too long, only that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
    whole: bool,
}

impl Text {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; TEXT_BYTES_MAX], len: 0, whole: true }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.whole = true;
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        let end = self.len.saturating_add(more.len());
        match self.bytes.get_mut(self.len..end) {
            Some(room) if self.whole => {
                room.copy_from_slice(more);
                self.len = end;
            }
            _ => self.whole = false,
        }
    }

    pub(super) fn push_char(&mut self, character: char) {
        self.push(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// The first bytes, up to the first piece that had no room.
    pub(super) fn start(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The bytes, `None` when there were too many.
    pub(super) fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|_| self.whole)
    }
}

/// Whether pieces of bytes make up UTF-8.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The bytes so far of a character that goes on in the next piece.
    open: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Takes the next piece; false once the bytes cannot be UTF-8.
    pub(super) fn accept(&mut self, piece: &[u8]) -> bool {
        let mut rest = piece;
        while self.len > 0
            && let Some((&byte, tail)) = rest.split_first()
        {
            rest = tail;
            let Some(slot) = self.open.get_mut(self.len) else { return false };
            *slot = byte;
            self.len = self.len.saturating_add(1);
            match core::str::from_utf8(self.open.get(..self.len).unwrap_or_default()) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match core::str::from_utf8(rest) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                let tail = rest.get(error.valid_up_to()..).unwrap_or_default();
                self.len = tail.len();
                self.open.iter_mut().zip(tail).for_each(|(slot, byte)| *slot = *byte);
                true
            }
            Err(_) => false,
        }
    }

    /// Whether no character is left open.
    pub(super) const fn is_whole(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_kept_whole_or_not_at_all() {
        let mut text = Text::new();
        text.push(&[b'a'; TEXT_BYTES_MAX - 1]);
        text.push_char('b');
        assert_eq!(text.get().map(<[u8]>::len), Some(TEXT_BYTES_MAX));
        text.push(b"c");
        assert_eq!(text.get(), None);
        text.push(b"");
        assert_eq!(text.get(), None);
        text.clear();
        text.push(b"acme");
        assert_eq!(text.get(), Some(&b"acme"[..]));
    }

    proptest! {
        #[test]
        fn pieces_are_utf8_when_the_whole_is(
            bytes in prop_oneof![any::<String>().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..20)],
            size in 1..5_usize,
        ) {
            let mut utf8 = Utf8::default();
            let accepted = bytes.chunks(size).all(|piece| utf8.accept(piece)) && utf8.is_whole();
            prop_assert_eq!(accepted, core::str::from_utf8(&bytes).is_ok());
        }
    }
}
