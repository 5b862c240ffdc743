//! What JSON asks for on paths that are no routes of calls.

use super::lexer::{Lexer, Token};
use crate::guard::Guard;
use crate::rpc::answer::RpcAnswer;
use crate::rpc::outcome::{Denial, RpcOutcome, RpcRefusal};
use crate::rpc::policy::RpcPolicy;
use crate::rpc::text::Text;

/// The parameters that a call of a service has, all of them (Odoo 14.0 to 19.0, `jsonrpc(service, method, args)`).
const PARAMETERS: [&[u8]; 3] = [b"service", b"method", b"args"];

/// Looks in `params` for a call of a service, for the name of another database, and for a call of a model that the
/// tenant does not want: that is how the web client calls one, and the path does not matter for it (Odoo 14.0 to 19.0
/// `addons/web/controllers/dataset.py`, `call_kw`; 14.0 `main.py`).
#[derive(Debug)]
pub(in crate::rpc) struct StrayJson {
    lexer: Lexer,
    outer: Outer,
    inner: Inner,
    /// Which of [`PARAMETERS`] the current `params` have.
    seen: [bool; 3],
    model: Option<Text>,
    method: Option<Text>,
    /// The client's own text.
    id: Option<Box<[u8]>>,
    state: State,
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
    Database,
    Model,
    Method,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// Nothing is asked for that matters.
    Clear,
    /// The `id` may still come.
    Denied,
    /// Nothing that follows matters.
    Over,
    Refused(RpcRefusal),
    Guarded(Guard),
}

impl Default for StrayJson {
    fn default() -> Self {
        Self {
            lexer: Lexer::lenient(),
            outer: Outer::Other,
            inner: Inner::Other,
            seen: [false; 3],
            model: None,
            method: None,
            id: None,
            state: State::Reading,
        }
    }
}

impl StrayJson {
    pub(in crate::rpc) const fn may_forward(&self) -> bool {
        matches!(self.state, State::Reading | State::Clear)
    }

    pub(in crate::rpc) fn feed(&mut self, piece: &[u8], policy: &RpcPolicy) {
        let mut rest = piece;
        while matches!(self.state, State::Reading | State::Denied) {
            let found = match self.lexer.next(&mut rest) {
                Ok(Some(token)) => self.token(token, policy),
                Ok(None) => return,
                Err(RpcRefusal::Depth) => Some(State::Refused(RpcRefusal::Depth)),
                // Python refuses it as well, and Odoo calls nothing.
                Err(_) => Some(State::Clear),
            };
            self.state = match (self.state, found) {
                (State::Reading, Some(found)) => found,
                (State::Denied, Some(State::Clear | State::Refused(RpcRefusal::Depth))) => State::Over,
                (state, _) => state,
            };
        }
    }

    pub(in crate::rpc) fn finish(self, policy: &RpcPolicy) -> RpcOutcome {
        match self.state {
            State::Reading | State::Clear => RpcOutcome::Forward { replace: None },
            State::Refused(refusal) => RpcOutcome::Refuse(refusal),
            State::Guarded(guard) => RpcOutcome::Guarded(guard),
            State::Denied | State::Over => {
                let id = self.id.as_deref().unwrap_or(b"null");
                RpcOutcome::Answer(RpcAnswer::json_error(Denial::Listed, id, policy.version))
            }
        }
    }

    fn token(&mut self, token: Token, policy: &RpcPolicy) -> Option<State> {
        let inside = self.outer == Outer::Params;
        match (token, self.lexer.depth()) {
            (Token::ArrayStart, 1) | (Token::String | Token::Plain, 0) => return Some(State::Clear),
            (Token::Key, 1) => {
                self.outer = match self.lexer.text().get() {
                    Some(b"id") => Outer::Id,
                    Some(b"params") => Outer::Params,
                    _ => Outer::Other,
                };
                self.seen = [false; 3];
                (self.model, self.method) = (None, None);
            }
            (Token::String | Token::Plain, 1) if self.outer == Outer::Id => self.take_id(),
            (Token::Key, 2) if inside => return self.member(),
            (Token::String | Token::Plain, 2) if inside => return self.value(token, policy),
            (Token::ObjectEnd, 1) if inside => {
                let denied = policy.denies_in_session(self.model.as_ref(), self.method.as_ref());
                return denied.then_some(State::Denied);
            }
            // Python makes an object of pairs, too: lists of two, or objects with two keys.
            (Token::Key | Token::String, 3) if inside && self.lexer.is_in_array_at(2) => {
                return self.pair(policy);
            }
            _ => {}
        }
        None
    }

    fn member(&mut self) -> Option<State> {
        let key = self.lexer.text().get();
        for (parameter, seen) in PARAMETERS.iter().zip(&mut self.seen) {
            *seen |= key == Some(*parameter);
        }
        self.inner = match key {
            Some(b"db" | b"dbname") => Inner::Database,
            Some(b"model") => Inner::Model,
            Some(b"method") => Inner::Method,
            _ => Inner::Other,
        };
        (self.seen == [true; 3]).then_some(State::Refused(RpcRefusal::Stray))
    }

    fn value(&mut self, token: Token, policy: &RpcPolicy) -> Option<State> {
        let text = (token == Token::String).then(|| self.lexer.text());
        match self.inner {
            Inner::Database => {
                let own = text.is_none_or(|text| text.get().is_some_and(|name| policy.may_be_named(name)));
                return (!own).then_some(State::Guarded(Guard::DatabaseNames));
            }
            Inner::Model => self.model = text.cloned(),
            Inner::Method => self.method = text.cloned(),
            Inner::Other => {}
        }
        None
    }

    fn pair(&self, policy: &RpcPolicy) -> Option<State> {
        match self.lexer.text().get()? {
            b"service" => Some(State::Refused(RpcRefusal::Stray)),
            b"db" | b"dbname" if !policy.may_name_any() => Some(State::Guarded(Guard::DatabaseNames)),
            b"model" if policy.denied.is_some() => Some(State::Denied),
            _ => None,
        }
    }

    /// Keeps the `id` for an answer, unless it is too long or nothing that JSON knows.
    fn take_id(&mut self) {
        let raw = self.lexer.raw().get().filter(|raw| !matches!(*raw, b"NaN" | b"Infinity" | b"-Infinity"));
        self.id = Some(raw.filter(|raw| core::str::from_utf8(raw).is_ok()).unwrap_or(b"null").into());
    }
}
