//! `multipart/form-data`, in any pieces.

use super::Field;
use crate::guard::Guard;
use crate::rpc::policy::RpcPolicy;
use crate::rpc::span::until;
use crate::rpc::text::Text;

/// The field of a part's head that names it.
const WORD: &[u8] = b"content-disposition";
/// Longest such field in bytes; a file's name has 255 at most, or three times as many when it is encoded.
const LINE_BYTES_MAX: usize = 2_048;

/// Where something stood that no token of a field holds, such as a quote or white space.
const BREAK: u8 = b' ';

/// Looks for fields that name a part, at the start of any line. Boundaries do not matter: whoever splits the body at
/// others finds the same fields. What Python could take for such a field counts as one, even in a file.
/// Source: Werkzeug 0.16 to 3.0 `formparser.py`, `sansio/multipart.py`, `http.py`, `parse_options_header`.
#[derive(Debug)]
pub(in crate::rpc) struct Parts {
    state: State,
    /// The field in lower case, with one [`BREAK`] for what no token holds.
    line: Vec<u8>,
    value: Text,
    field: Field,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Behind something on a line.
    Elsewhere,
    /// At the start of a line but for white space, with so much of [`WORD`] read.
    Start(usize),
    /// In the field.
    Line,
    /// Behind the end of its line: a `\r` alone so far, or `\r\n`. White space continues the field.
    LineEnd { after_return: bool, both: bool },
    /// Behind the first line end of the value's blank line.
    Blank,
    /// In the value of a field that matters.
    Value,
    /// Behind its first line, with so many of the two dashes of a boundary read.
    ValueEnd { after_return: bool, dashes: u8 },
}

impl Default for Parts {
    fn default() -> Self {
        Self { state: State::Start(0), line: Vec::new(), value: Text::new(), field: Field::Any }
    }
}

impl Parts {
    pub(super) fn feed(&mut self, piece: &[u8], policy: &RpcPolicy) -> Option<Guard> {
        let mut rest = piece;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.state == State::Elsewhere {
                let skipped = until(rest, is_line_end);
                rest = rest.get(skipped..).unwrap_or_default();
                if let Some((_, tail)) = rest.split_first() {
                    rest = tail;
                    self.state = State::Start(0);
                }
                continue;
            }
            match self.byte(byte, policy) {
                Ok(true) => rest = tail,
                // The same byte again, in another state.
                Ok(false) => {}
                Err(guard) => return Some(guard),
            }
        }
        None
    }

    pub(super) fn finish(self) -> Option<Guard> {
        matches!(self.state, State::Value | State::ValueEnd { .. }).then_some(Guard::DatabaseNames)
    }

    /// Takes a byte, or changes the state and has it come again (`false`).
    fn byte(&mut self, byte: u8, policy: &RpcPolicy) -> Result<bool, Guard> {
        match self.state {
            State::Elsewhere => {
                self.state = if is_line_end(byte) { State::Start(0) } else { State::Elsewhere }
            }
            State::Start(read) => self.state = self.started(read, byte),
            State::Line if is_line_end(byte) => {
                self.state = State::LineEnd { after_return: byte == b'\r', both: false }
            }
            State::Line => self.put(byte)?,
            State::LineEnd { after_return: true, .. } if byte == b'\n' => {
                self.state = State::LineEnd { after_return: false, both: true };
            }
            State::LineEnd { .. } if matches!(byte, b' ' | b'\t') => {
                self.put(byte)?;
                self.state = State::Line;
            }
            State::LineEnd { both, .. } => {
                self.field = self.judge(policy)?;
                self.value.clear();
                self.state = match self.field {
                    Field::Any => State::Start(0),
                    // The value follows at once, and all lines end in `\r\n`: readers differ about what else ends one.
                    Field::Database | Field::State if both && byte == b'\r' => State::Blank,
                    Field::Database | Field::State => return Err(Guard::DatabaseNames),
                };
                return Ok(self.state == State::Blank);
            }
            State::Blank if byte == b'\n' => self.state = State::Value,
            State::Blank => return Err(Guard::DatabaseNames),
            State::Value if byte == b'\n' => return Err(Guard::DatabaseNames),
            State::Value if is_line_end(byte) => {
                if let Some(guard) = self.field.check(self.value.get(), self.value.start(), policy) {
                    return Err(guard);
                }
                self.state = State::ValueEnd { after_return: byte == b'\r', dashes: 0 };
            }
            State::Value => self.value.push(&[byte]),
            State::ValueEnd { after_return: true, dashes: 0 } if byte == b'\n' => {
                self.state = State::ValueEnd { after_return: false, dashes: 0 };
            }
            State::ValueEnd { after_return: false, dashes: 0 } if byte == b'-' => {
                self.state = State::ValueEnd { after_return: false, dashes: 1 };
            }
            State::ValueEnd { dashes: 1, .. } if byte == b'-' => self.state = State::Elsewhere,
            State::ValueEnd { .. } => return Err(Guard::DatabaseNames),
        }
        Ok(true)
    }

    /// Python strips white space of any kind before a name, in Unicode too.
    fn started(&mut self, read: usize, byte: u8) -> State {
        let is_next = WORD.get(read) == Some(&byte.to_ascii_lowercase());
        if is_next && read.saturating_add(1) == WORD.len() {
            self.line.clear();
            return State::Line;
        }
        match byte {
            _ if is_next => State::Start(read.saturating_add(1)),
            b'\r' | b'\n' => State::Start(0),
            0..=b' ' | 0x7f.. if read == 0 => State::Start(0),
            _ => State::Elsewhere,
        }
    }

    fn put(&mut self, byte: u8) -> Result<(), Guard> {
        let byte = match byte {
            b';' | b'=' | b'*' => byte,
            _ if is_token(byte) => byte.to_ascii_lowercase(),
            _ if self.line.last() == Some(&BREAK) => return Ok(()),
            _ => BREAK,
        };
        if self.line.len() >= LINE_BYTES_MAX {
            return Err(Guard::DatabaseManager);
        }
        self.line.push(byte);
        Ok(())
    }

    /// What the part of a whole field may hold.
    fn judge(&self, policy: &RpcPolicy) -> Result<Field, Guard> {
        let mut field = Field::Any;
        let mut rest = self.line.as_slice();
        // Behind each `name` that is not the end of `filename`.
        while let Some(at) = find(rest, b"name") {
            let before = rest.get(..at).and_then(|before| before.strip_suffix(b"file"));
            let of_file = before.is_some_and(|before| before.trim_ascii_end().ends_with(b";"));
            rest = rest.get(at.saturating_add(4)..).unwrap_or_default().trim_ascii_start();
            match rest.first() {
                // Encoded or in pieces: nobody needs that to name a field.
                Some(b'*') if !of_file => return Err(Guard::DatabaseManager),
                Some(b'=') if !of_file => {
                    let name = rest.get(1..).unwrap_or_default().split(|&byte| byte == b';').next();
                    match named(name.unwrap_or_default(), policy)? {
                        Field::Any => {}
                        other @ (Field::Database | Field::State) => field = other,
                    }
                }
                _ => {}
            }
        }
        Ok(field)
    }
}

/// The field of a name as it is written. Readers differ about where it ends: at what no token holds, or behind it.
fn named(written: &[u8], policy: &RpcPolicy) -> Result<Field, Guard> {
    let mut field = Field::Any;
    let mut name = Vec::with_capacity(written.len());
    for word in written.split(|&byte| matches!(byte, BREAK | b'=')) {
        name.extend_from_slice(word);
        match Field::named(&name, policy)? {
            Field::Any => {}
            other @ (Field::Database | Field::State) => field = other,
        }
    }
    Ok(field)
}

/// Whether tokens hold it. Source: RFC 9110 5.6.2, and Werkzeug's `_parameter_token_value_re`.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

const fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}
