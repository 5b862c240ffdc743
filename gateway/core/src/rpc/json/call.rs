//! A call read from JSON.

use super::keys::Keys;
use super::lexer::{Lexer, Token};
use crate::rpc::answer::RpcAnswer;
use crate::rpc::call::{Argument, Call, Judgement, judge_database};
use crate::rpc::outcome::{Denial, Replacement, RpcOutcome, RpcRefusal};
use crate::rpc::policy::{Named, RpcPolicy};
use crate::rpc::route::Service;
use core::ops::Range;

/// How far a denied body is searched for the `id` of the call, in bytes. Clients write it before or right after
/// `params`; without it they get `null`.
const ID_SEARCH_BYTES: u64 = 64 * 1024;

/// What `params` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rpc) enum JsonShape {
    /// `service`, `method` and `args`.
    Service,
    /// `db`, `login` and `password`.
    Login,
}

/// Members of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outer {
    Id,
    Params,
    Other,
}

/// Members of `params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inner {
    Service,
    Method,
    Args,
    Db,
    Other,
}

/// Reads `{"id": 1, "params": {...}}` and nothing else, whatever the order of the keys.
#[derive(Debug)]
pub(in crate::rpc) struct JsonCall {
    shape: JsonShape,
    lexer: Lexer,
    outer_keys: Keys,
    inner_keys: Keys,
    outer: Outer,
    inner: Inner,
    /// Place of the next element of `args`, while inside of it.
    element: Option<u32>,
    id: Option<Box<[u8]>>,
    call: Call,
    /// Members of `params` that belong to the other shape, which a tenant may have given this path.
    other: Other,
    state: State,
}

/// What `params` would mean to the other route.
#[derive(Debug)]
enum Other {
    /// For a service: `db`.
    Database(Argument),
    /// For a login: which of `service`, `method` and `args` there are.
    Call([bool; 3]),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Reading,
    /// Sure; the `id` is still looked for up to this byte.
    Denied(Denial, u64),
    /// Nothing that follows matters.
    Over(Result<Denial, RpcRefusal>),
}

impl JsonCall {
    pub(in crate::rpc) fn new(shape: JsonShape) -> Self {
        Self {
            shape,
            lexer: Lexer::new(),
            outer_keys: Keys::default(),
            inner_keys: Keys::default(),
            outer: Outer::Other,
            inner: Inner::Other,
            element: None,
            id: None,
            call: Call::new(Service::Unknown),
            other: match shape {
                JsonShape::Service => Other::Database(Argument::Missing),
                JsonShape::Login => Other::Call([false; 3]),
            },
            state: State::Reading,
        }
    }

    pub(in crate::rpc) const fn may_forward(&self) -> bool {
        matches!(self.state, State::Reading)
    }

    const fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    pub(in crate::rpc) fn feed(&mut self, piece: &[u8], policy: &RpcPolicy) {
        let mut rest = piece;
        while !self.is_over() {
            let step = match self.lexer.next(&mut rest) {
                Ok(Some(token)) => self.token(token, policy),
                Ok(None) => break,
                Err(refusal) => Err(refusal),
            };
            self.state = match (self.state.clone(), step) {
                (State::Reading, Err(refusal)) => State::Over(Err(refusal)),
                (State::Denied(denial, _), Err(_)) => State::Over(Ok(denial)),
                (State::Denied(denial, end), Ok(())) if self.id.is_some() || self.lexer.offset() > end => {
                    State::Over(Ok(denial))
                }
                (state, _) => state,
            };
        }
        if let State::Denied(denial, end) = self.state
            && self.lexer.offset() > end
        {
            self.state = State::Over(Ok(denial));
        }
    }

    /// Whether it asks whether a password is right.
    pub(in crate::rpc) fn is_login(&self) -> bool {
        self.shape == JsonShape::Service && self.call.is_login()
    }

    pub(in crate::rpc) fn finish(self, policy: &RpcPolicy) -> RpcOutcome {
        let id = self.id.as_deref().unwrap_or(b"null");
        let denied = |denial| RpcOutcome::Answer(RpcAnswer::json_error(denial, id, policy.version));
        match self.state {
            State::Over(Err(refusal)) => RpcOutcome::Refuse(refusal),
            State::Over(Ok(denial)) | State::Denied(denial, _) => denied(denial),
            State::Reading if !self.lexer.is_done() => RpcOutcome::Refuse(RpcRefusal::Malformed),
            State::Reading => match self.judge(policy) {
                Judgement::Pass(alias) => RpcOutcome::Forward {
                    replace: alias.map(|range| {
                        let bytes = format!("\"{}\"", policy.database).into_bytes().into();
                        Replacement { range, bytes }
                    }),
                },
                Judgement::Local(value) => RpcOutcome::Answer(RpcAnswer::json_value(&value, id)),
                Judgement::Denied(denial) => denied(denial),
            },
        }
    }

    fn judge(&self, policy: &RpcPolicy) -> Judgement {
        match (self.shape, &self.other) {
            (_, Other::Call([true, true, true])) => Judgement::Denied(Denial::Method),
            (_, Other::Database(Argument::Text(name, _))) if policy.names(name.get()) != Named::Own => {
                Judgement::Denied(Denial::Database)
            }
            (JsonShape::Service, _) => self.call.judge(policy),
            (JsonShape::Login, _) => judge_database(&self.call.database, policy),
        }
    }

    fn token(&mut self, token: Token, policy: &RpcPolicy) -> Result<(), RpcRefusal> {
        let depth = self.lexer.depth();
        let inside = self.outer == Outer::Params;
        match (token, depth) {
            // Python takes pairs for an object (`dict(params)`), and a batch has many calls: neither is for us.
            (Token::ArrayStart, 1) | (Token::String | Token::Plain, 0) => return Err(RpcRefusal::Shape),
            (Token::ArrayStart, 2) | (Token::String | Token::Plain, 1) if inside => {
                return Err(RpcRefusal::Shape);
            }
            (Token::Key, 1) => {
                self.outer_keys.add(self.lexer.text())?;
                self.outer = match self.lexer.text().get() {
                    Some(b"id") => Outer::Id,
                    Some(b"params") => Outer::Params,
                    _ => Outer::Other,
                };
            }
            (Token::String | Token::Plain, 1) if self.outer == Outer::Id => self.take_id(),
            (Token::Key, 2) if inside => {
                self.inner_keys.add(self.lexer.text())?;
                self.inner = match self.lexer.text().get() {
                    Some(b"service") => Inner::Service,
                    Some(b"method") => Inner::Method,
                    Some(b"args") => Inner::Args,
                    Some(b"db") => Inner::Db,
                    _ => Inner::Other,
                };
                if let Other::Call(seen) = &mut self.other {
                    let of_call = [Inner::Service, Inner::Method, Inner::Args];
                    seen.iter_mut().zip(of_call).for_each(|(seen, member)| *seen |= self.inner == member);
                }
            }
            (Token::String | Token::Plain, 2) | (Token::ObjectStart, 3) if inside => self.member(token),
            (Token::ArrayStart, 3) if inside && self.inner == Inner::Args => self.element = Some(0),
            (Token::ArrayStart, 3) if inside => self.member(token),
            (Token::String | Token::Plain, 3) | (Token::ObjectStart | Token::ArrayStart, 4) => {
                self.element(token);
            }
            (Token::ArrayEnd, 2) => self.element = None,
            (Token::ObjectEnd, 1) if inside => self.params_ended(policy),
            _ => {}
        }
        Ok(())
    }

    /// A member of `params` that is no list of arguments.
    fn member(&mut self, token: Token) {
        let value = self.argument(token);
        match (self.inner, self.shape) {
            (Inner::Service, JsonShape::Service) => {
                self.call.service = Service::of(value.name().unwrap_or_default());
            }
            (Inner::Method, JsonShape::Service) => self.call.method = value,
            (Inner::Db, JsonShape::Login) => self.call.database = value,
            (Inner::Db, JsonShape::Service) => self.other = Other::Database(value),
            _ => {}
        }
    }

    fn element(&mut self, token: Token) {
        let value = self.argument(token);
        if let Some(place) = &mut self.element {
            if let (Some(argument), JsonShape::Service) = (self.call.argument_mut(*place), self.shape) {
                *argument = value;
            }
            *place = place.saturating_add(1);
        }
    }

    fn argument(&self, token: Token) -> Argument {
        match token {
            Token::String => Argument::Text(self.lexer.text().clone(), self.range()),
            Token::ObjectStart
            | Token::ObjectEnd
            | Token::ArrayStart
            | Token::ArrayEnd
            | Token::Key
            | Token::Plain => Argument::Other,
        }
    }

    fn range(&self) -> Range<u64> {
        self.lexer.start()..self.lexer.offset()
    }

    /// Keeps the `id` for the answer, unless it is too long or nothing that JSON knows.
    fn take_id(&mut self) {
        let raw = self.lexer.raw().get().filter(|raw| !matches!(*raw, b"NaN" | b"Infinity" | b"-Infinity"));
        let in_time = match self.state {
            State::Denied(_, end) => self.lexer.offset() <= end,
            State::Reading | State::Over(_) => true,
        };
        self.id = Some(raw.filter(|_| in_time).unwrap_or(b"null").into());
    }

    /// A denial is sure now: what follows could only be refused.
    fn params_ended(&mut self, policy: &RpcPolicy) {
        if let (State::Reading, Judgement::Denied(denial)) = (&self.state, self.judge(policy)) {
            self.state = State::Denied(denial, self.lexer.offset().saturating_add(ID_SEARCH_BYTES));
        }
    }
}
