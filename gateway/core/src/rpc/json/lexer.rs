//! JSON, token by token, in any pieces.

use super::number::Number;
use super::string::StringReader;
use crate::rpc::outcome::RpcRefusal;
use crate::rpc::text::Text;

/// Deepest nesting of arrays and objects: one bit each.
const DEPTH_MAX: u32 = u128::BITS;
/// Deepest nesting at which texts are kept: the arguments of a call. Below, they are only skipped.
const KEPT_DEPTH_MAX: u32 = 3;
/// Deepest nesting at which the raw bytes of a value are kept: those of the envelope, where `id` is.
const RAW_DEPTH_MAX: u32 = 1;

/// A token that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    /// A key; its text is in [`Lexer::text`].
    Key,
    /// A text; it is in [`Lexer::text`].
    String,
    /// A number, `true`, `false`, `null`, or what Python adds: `NaN`, `Infinity`, `-Infinity`.
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the document.
    Start,
    /// Before a value; the flag says whether `]` may stand there.
    Value {
        or_end: bool,
    },
    /// Before a key; the flag says whether `}` may stand there.
    Key {
        or_end: bool,
    },
    Colon,
    /// Before `,` or the end of what is open.
    After,
    InKey,
    InString,
    Number(Number),
    /// In a word; what is still to come of it.
    Word(&'static [u8]),
    /// After the document.
    Done,
}

/// Reads the JSON that Python's `json.loads` reads, but for a byte order mark, invalid UTF-8 and deep nesting. Nothing
/// it reads is read in another way by Python.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    /// Bit by bit what is open, the innermost lowest: 1 for an object.
    open: u128,
    depth: u32,
    /// Bytes taken so far.
    offset: u64,
    /// Where the last text began, with its quote.
    start: u64,
    string: StringReader,
    raw: Text,
}

impl Lexer {
    pub(super) fn new() -> Self {
        Self {
            state: State::Start,
            open: 0,
            depth: 0,
            offset: 0,
            start: 0,
            string: StringReader::new(),
            raw: Text::new(),
        }
    }

    /// A reader that lets invalid UTF-8 in texts pass, as Odoo does when it replaces such bytes.
    pub(super) fn lenient() -> Self {
        let mut lexer = Self::new();
        lexer.string.strict = false;
        lexer
    }

    /// Whether what is open at a depth, from 1, is an array.
    pub(super) const fn is_in_array_at(&self, depth: u32) -> bool {
        match self.depth.checked_sub(depth) {
            Some(above) => self.open >> above & 1 == 0,
            None => false,
        }
    }

    /// How many arrays and objects are open.
    pub(super) const fn depth(&self) -> u32 {
        self.depth
    }

    /// Bytes taken so far.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the last text began, with its quote.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// The last text, decoded, if it was not too deep.
    pub(super) const fn text(&self) -> &Text {
        &self.string.text
    }

    /// The last value of the envelope, as it was written.
    pub(super) const fn raw(&self) -> &Text {
        &self.raw
    }

    /// Whether a document was read to its end.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes bytes up to the end of the next token, or of the piece.
    pub(super) fn next(&mut self, piece: &mut &[u8]) -> Result<Option<Token>, RpcRefusal> {
        while let Some((&byte, tail)) = piece.split_first() {
            if matches!(self.state, State::InKey | State::InString) {
                if let Some(token) = self.string(piece)? {
                    return Ok(Some(token));
                }
                continue;
            }
            if let State::Number(number) = self.state {
                let Some(next) = number.next(byte) else {
                    // The byte after a number is not part of it, and is taken next.
                    return if number.is_whole() {
                        Ok(Some(self.value()))
                    } else {
                        self.infinity(byte, piece)
                    };
                };
                self.state = State::Number(next);
                self.take(byte);
                *piece = tail;
                continue;
            }
            *piece = tail;
            self.take(byte);
            if let Some(token) = self.byte(byte)? {
                return Ok(Some(token));
            }
        }
        Ok(None)
    }

    fn take(&mut self, byte: u8) {
        self.offset = self.offset.saturating_add(1);
        if self.depth <= RAW_DEPTH_MAX {
            self.raw.push(&[byte]);
        }
    }

    fn string(&mut self, piece: &mut &[u8]) -> Result<Option<Token>, RpcRefusal> {
        let (taken, ended) = self.string.read(piece)?;
        let (run, tail) = piece.split_at_checked(taken).unwrap_or((piece, b""));
        *piece = tail;
        self.offset = self.offset.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
        if self.depth <= RAW_DEPTH_MAX {
            self.raw.push(run);
        }
        Ok(match (ended, self.state) {
            (false, _) => None,
            (true, State::InKey) => {
                self.state = State::Colon;
                Some(Token::Key)
            }
            (true, _) => {
                self.state = self.after();
                Some(Token::String)
            }
        })
    }

    /// A byte outside of strings and numbers.
    fn byte(&mut self, byte: u8) -> Result<Option<Token>, RpcRefusal> {
        if let State::Word(word) = self.state {
            return match word.split_first() {
                Some((&expected, [])) if expected == byte => Ok(Some(self.value())),
                Some((&expected, rest)) if expected == byte => {
                    self.state = State::Word(rest);
                    Ok(None)
                }
                _ => Err(RpcRefusal::Malformed),
            };
        }
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return Ok(None);
        }
        match (self.state, byte) {
            (State::Start, 0xef | 0xfe | 0xff | 0) => Err(RpcRefusal::Utf8),
            (State::Start | State::Value { .. }, _) => self.value_start(byte),
            (State::Key { .. }, b'"') => {
                self.open_string(State::InKey);
                Ok(None)
            }
            (State::Key { or_end: true } | State::After, b'}') => self.close(true, Token::ObjectEnd),
            (State::After, b']') => self.close(false, Token::ArrayEnd),
            (State::After, b',') => {
                let in_object = self.open & 1 == 1;
                self.state =
                    if in_object { State::Key { or_end: false } } else { State::Value { or_end: false } };
                Ok(None)
            }
            (State::Colon, b':') => {
                self.state = State::Value { or_end: false };
                Ok(None)
            }
            _ => Err(RpcRefusal::Malformed),
        }
    }

    fn value_start(&mut self, byte: u8) -> Result<Option<Token>, RpcRefusal> {
        if byte == b']' && self.state == (State::Value { or_end: true }) {
            return self.close(false, Token::ArrayEnd);
        }
        self.raw.clear();
        self.raw.push(&[byte]);
        match byte {
            b'{' => return self.open(true, Token::ObjectStart),
            b'[' => return self.open(false, Token::ArrayStart),
            b'"' => self.open_string(State::InString),
            b't' => self.state = State::Word(b"rue"),
            b'f' => self.state = State::Word(b"alse"),
            b'n' => self.state = State::Word(b"ull"),
            b'N' => self.state = State::Word(b"aN"),
            b'I' => self.state = State::Word(b"nfinity"),
            _ => self.state = State::Number(Number::start(byte).ok_or(RpcRefusal::Malformed)?),
        }
        Ok(None)
    }

    /// What Python reads as `-Infinity`.
    fn infinity(&mut self, byte: u8, piece: &mut &[u8]) -> Result<Option<Token>, RpcRefusal> {
        if byte != b'I' || self.state != State::Number(Number::Minus) {
            return Err(RpcRefusal::Malformed);
        }
        self.state = State::Word(b"Infinity");
        self.next(piece)
    }

    fn open_string(&mut self, state: State) {
        self.start = self.offset.saturating_sub(1);
        self.string.open(self.depth <= KEPT_DEPTH_MAX);
        self.state = state;
    }

    fn open(&mut self, object: bool, token: Token) -> Result<Option<Token>, RpcRefusal> {
        if self.depth >= DEPTH_MAX {
            return Err(RpcRefusal::Depth);
        }
        self.depth = self.depth.saturating_add(1);
        self.open = self.open << 1 | u128::from(object);
        self.state = if object { State::Key { or_end: true } } else { State::Value { or_end: true } };
        Ok(Some(token))
    }

    fn close(&mut self, object: bool, token: Token) -> Result<Option<Token>, RpcRefusal> {
        if self.depth == 0 || (self.open & 1 == 1) != object {
            return Err(RpcRefusal::Malformed);
        }
        self.depth = self.depth.saturating_sub(1);
        self.open >>= 1;
        self.state = self.after();
        Ok(Some(token))
    }

    /// A number or a word is whole.
    fn value(&mut self) -> Token {
        self.state = self.after();
        Token::Plain
    }

    const fn after(&self) -> State {
        if self.depth == 0 { State::Done } else { State::After }
    }
}
