//! XML, tag by tag, in any pieces.

use super::content::{Content, Reference};
use super::declaration;
use super::tag::Tag;
use crate::rpc::outcome::RpcRefusal;
use crate::rpc::span;
use crate::rpc::text::Text;

/// Most bytes of a tag, its attributes included.
const TAG_BYTES_MAX: usize = 4096;
/// Most attributes of a tag. None has a meaning in XML-RPC.
const ATTRIBUTES_MAX: usize = 64;
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// A tag. What stood before it is in [`Lexer::content`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Start(Tag),
    End(Tag),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the first byte, or so many bytes into a byte order mark.
    First(usize),
    Text,
    /// After `<`.
    Markup,
    /// In the name of a tag; whether it is an end tag.
    Name {
        end: bool,
    },
    /// After the name; how many attributes began.
    Inside {
        end: bool,
        attributes: usize,
    },
    /// In the value of an attribute.
    Quoted {
        quote: u8,
        attributes: usize,
    },
    /// After the `/` of an empty element.
    Slash,
    /// After `<!`; what may still come of `--` or `[CDATA[`.
    Bang(&'static [u8]),
    /// In a comment; hyphens in a row.
    Comment(u8),
    /// In a CDATA section; closing brackets in a row.
    Cdata(u8),
    /// In a processing instruction; whether the last byte was `?`, and whether it began the document.
    Instruction {
        question: bool,
        first: bool,
    },
    Reference,
}

/// Reads elements, text, references, CDATA sections, comments and processing instructions as expat does. It is
/// lenient where expat is strict: a document that expat takes for an error calls nothing, whatever was read here. It
/// never reads another element or text than expat in a document that expat accepts.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    /// Bytes taken so far.
    offset: u64,
    /// Where the last tag began.
    tag_start: u64,
    /// Bytes of the tag that is being read.
    tag_bytes: usize,
    /// Its name, or what an instruction says.
    name: Text,
    /// An empty element was read: its end tag comes next.
    pending: Option<Tag>,
    content: Content,
    /// What stands after an `&`.
    reference: Reference,
    /// The last tag left no content behind it yet.
    stale: bool,
}

impl Lexer {
    pub(super) fn new() -> Self {
        Self {
            state: State::First(0),
            offset: 0,
            tag_start: 0,
            tag_bytes: 0,
            name: Text::new(),
            pending: None,
            content: Content::new(),
            reference: Reference::new(),
            stale: false,
        }
    }

    /// What stood between the last tag and the one before.
    pub(super) const fn content(&self) -> &Content {
        &self.content
    }

    /// Where the last tag began.
    pub(super) const fn tag_start(&self) -> u64 {
        self.tag_start
    }

    /// Whether nothing is open and nothing but white space came after the last tag.
    pub(super) const fn is_at_rest(&self) -> bool {
        matches!(self.state, State::Text) && (self.stale || self.content.blank)
    }

    /// Takes bytes up to the end of the next tag, or of the piece.
    pub(super) fn next(&mut self, piece: &mut &[u8]) -> Result<Option<Token>, RpcRefusal> {
        if self.stale {
            self.content.clear(self.offset);
            self.stale = false;
        }
        if let Some(tag) = self.pending.take() {
            self.tag_start = self.offset;
            self.stale = true;
            return Ok(Some(Token::End(tag)));
        }
        while !piece.is_empty() {
            let skipped = self.skip(piece);
            self.offset = self.offset.saturating_add(u64::try_from(skipped).unwrap_or(u64::MAX));
            *piece = piece.get(skipped..).unwrap_or_default();
            let Some((&byte, tail)) = piece.split_first() else { break };
            *piece = tail;
            self.offset = self.offset.saturating_add(1);
            if let Some(token) = self.byte(byte)? {
                self.stale = true;
                return Ok(Some(token));
            }
        }
        Ok(None)
    }

    /// Takes the bytes at the start of a piece that only text, a comment or a CDATA section can hold: how many.
    fn skip(&mut self, piece: &[u8]) -> usize {
        let in_text = self.state == State::Text;
        let run = if in_text {
            span::until(piece, |byte| matches!(byte, b'<' | b'&'))
        } else if self.state == State::Cdata(0) {
            span::until(piece, |byte| byte == b']')
        } else if self.state == State::Comment(0) {
            return span::until(piece, |byte| byte == b'-');
        } else if let State::Name { .. } = self.state {
            return self.name(piece);
        } else {
            return 0;
        };
        let text = piece.get(..run).unwrap_or_default();
        if in_text {
            self.content.push(text);
        } else if run > 0 {
            self.content.push_verbatim(text);
        }
        run
    }

    /// Takes what belongs to a name without a doubt.
    fn name(&mut self, piece: &[u8]) -> usize {
        let run = piece.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        self.name.push(piece.get(..run).unwrap_or_default());
        self.tag_bytes = self.tag_bytes.saturating_add(run);
        run
    }

    fn byte(&mut self, byte: u8) -> Result<Option<Token>, RpcRefusal> {
        match self.state {
            State::First(at) => self.first(at, byte)?,
            State::Text if byte == b'<' => {
                self.tag_start = self.offset.saturating_sub(1);
                self.state = State::Markup;
            }
            // Only `&` is left: text was skipped.
            State::Text => {
                self.reference = Reference::new();
                self.state = State::Reference;
            }
            State::Markup => self.markup(byte)?,
            State::Name { .. } | State::Inside { .. } | State::Quoted { .. } | State::Slash => {
                self.tag_bytes = self.tag_bytes.saturating_add(1);
                if self.tag_bytes > TAG_BYTES_MAX {
                    return Err(RpcRefusal::Length);
                }
                return self.tag(byte);
            }
            State::Bang(rest) => self.bang(rest, byte)?,
            State::Comment(hyphens) => {
                self.state = match (byte, hyphens) {
                    (b'-', 0) => State::Comment(1),
                    (b'-', _) => State::Comment(2),
                    (b'>', 2) => State::Text,
                    _ => State::Comment(0),
                }
            }
            State::Cdata(brackets) => self.cdata(brackets, byte),
            State::Instruction { question: true, first } if byte == b'>' => self.instruction(first)?,
            State::Instruction { question, first } => {
                if question {
                    self.name.push(b"?");
                }
                if byte != b'?' {
                    self.name.push(&[byte]);
                }
                self.state = State::Instruction { question: byte == b'?', first };
            }
            State::Reference if byte == b';' => {
                let character = self.reference.character()?;
                self.content.push_verbatim(character.encode_utf8(&mut [0; 4]).as_bytes());
                self.state = State::Text;
            }
            State::Reference => self.reference.push(byte)?,
        }
        Ok(None)
    }

    /// The first bytes: a byte order mark of UTF-8 is allowed, one of UTF-16 begins with another byte.
    fn first(&mut self, at: usize, byte: u8) -> Result<(), RpcRefusal> {
        self.state = match (at, byte) {
            (0, b'<') => {
                self.tag_start = 0;
                State::Markup
            }
            (0, b' ' | b'\t' | b'\r' | b'\n') => State::Text,
            (0..=2, _) if BYTE_ORDER_MARK.get(at) == Some(&byte) => State::First(at.saturating_add(1)),
            (3, b'<') => {
                self.tag_start = 3;
                State::Markup
            }
            _ => return Err(RpcRefusal::Charset),
        };
        Ok(())
    }

    fn markup(&mut self, byte: u8) -> Result<(), RpcRefusal> {
        self.name.clear();
        self.tag_bytes = 0;
        self.state = match byte {
            b'/' => State::Name { end: true },
            b'!' => State::Bang(b""),
            b'?' => State::Instruction { question: false, first: matches!(self.tag_start, 0 | 3) },
            // In UTF-16 every other byte is NUL.
            0 => return Err(RpcRefusal::Charset),
            _ => {
                self.name.push(&[byte]);
                State::Name { end: false }
            }
        };
        Ok(())
    }

    fn tag(&mut self, byte: u8) -> Result<Option<Token>, RpcRefusal> {
        self.state = match (self.state, byte) {
            (State::Quoted { quote, attributes }, _) if byte == quote => {
                State::Inside { end: false, attributes }
            }
            (State::Quoted { quote, attributes }, _) => State::Quoted { quote, attributes },
            (_, b'<') => return Err(RpcRefusal::Malformed),
            (State::Name { end } | State::Inside { end, .. }, b'>') => {
                let tag = self.known()?;
                self.state = State::Text;
                return Ok(Some(if end { Token::End(tag) } else { Token::Start(tag) }));
            }
            (State::Slash, b'>') => {
                let tag = self.known()?;
                self.state = State::Text;
                self.pending = Some(tag);
                return Ok(Some(Token::Start(tag)));
            }
            (State::Name { end: false } | State::Inside { end: false, .. }, b'/') => State::Slash,
            (State::Name { end }, b' ' | b'\t' | b'\r' | b'\n') => State::Inside { end, attributes: 0 },
            (State::Name { end }, _) => {
                self.name.push(&[byte]);
                State::Name { end }
            }
            (state @ State::Inside { .. }, b' ' | b'\t' | b'\r' | b'\n') => state,
            (State::Inside { end: false, attributes }, b'"' | b'\'') if attributes < ATTRIBUTES_MAX => {
                State::Quoted { quote: byte, attributes: attributes.saturating_add(1) }
            }
            (State::Inside { end: false, .. }, b'"' | b'\'') => return Err(RpcRefusal::Length),
            (state @ State::Inside { end: false, .. }, _) => state,
            _ => return Err(RpcRefusal::Malformed),
        };
        Ok(None)
    }

    fn known(&self) -> Result<Tag, RpcRefusal> {
        self.name.get().and_then(Tag::of).ok_or(RpcRefusal::Shape)
    }

    /// After `<!`: a comment or a CDATA section. The only other thing there is declares a document type.
    fn bang(&mut self, rest: &'static [u8], byte: u8) -> Result<(), RpcRefusal> {
        let rest: &'static [u8] = match (rest, byte) {
            ([], b'-') => b"-",
            ([], b'[') => b"CDATA[",
            ([], _) => return Err(RpcRefusal::Doctype),
            ([expected, rest @ ..], _) if *expected == byte => rest,
            _ => return Err(RpcRefusal::Malformed),
        };
        self.state = match (rest, byte) {
            ([], b'-') => State::Comment(0),
            ([], _) => State::Cdata(0),
            _ => State::Bang(rest),
        };
        Ok(())
    }

    fn cdata(&mut self, brackets: u8, byte: u8) {
        self.state = match (byte, brackets) {
            (b']', 0) => State::Cdata(1),
            (b']', 1) => State::Cdata(2),
            (b']', _) => {
                self.content.push_verbatim(b"]");
                State::Cdata(2)
            }
            (b'>', 2) => State::Text,
            _ => {
                self.content.push_verbatim(b"]]".get(..usize::from(brackets)).unwrap_or_default());
                self.content.push_verbatim(&[byte]);
                State::Cdata(0)
            }
        };
    }

    /// An instruction is whole. The declaration of the document looks like one.
    fn instruction(&mut self, first: bool) -> Result<(), RpcRefusal> {
        self.state = State::Text;
        let text = self.name.get();
        let is_declaration = text.is_none_or(|text| {
            let target = text.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
            target.eq_ignore_ascii_case(b"xml")
        });
        match (is_declaration, first) {
            (false, _) => Ok(()),
            (true, true) => declaration::check(text.ok_or(RpcRefusal::Length)?),
            (true, false) => Err(RpcRefusal::Malformed),
        }
    }
}
