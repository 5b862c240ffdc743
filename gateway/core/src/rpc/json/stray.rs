//! A call of a service among other JSON.

use super::lexer::{Lexer, Token};
use crate::rpc::outcome::RpcRefusal;

/// The parameters that a call of a service has, all of them (Odoo 14.0 to 19.0, `jsonrpc(service, method, args)`).
const PARAMETERS: [&[u8]; 3] = [b"service", b"method", b"args"];

/// Looks for `params` that would call a service, whatever else is there.
#[derive(Debug)]
pub(in crate::rpc) struct StrayJson {
    lexer: Lexer,
    /// Whether the envelope's current member is `params`.
    in_params: bool,
    seen: [bool; 3],
    verdict: Option<Option<RpcRefusal>>,
}

impl Default for StrayJson {
    fn default() -> Self {
        Self { lexer: Lexer::lenient(), in_params: false, seen: [false; 3], verdict: None }
    }
}

impl StrayJson {
    /// What was found, once it is sure.
    pub(in crate::rpc) const fn verdict(&self) -> Option<Option<RpcRefusal>> {
        self.verdict
    }

    pub(in crate::rpc) fn feed(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while self.verdict.is_none() {
            match self.lexer.next(&mut rest) {
                Ok(Some(token)) => self.token(token),
                Ok(None) => return,
                Err(RpcRefusal::Depth) => self.verdict = Some(Some(RpcRefusal::Depth)),
                // Python refuses it as well, and Odoo calls nothing.
                Err(_) => self.verdict = Some(None),
            }
        }
    }

    fn token(&mut self, token: Token) {
        match (token, self.lexer.depth()) {
            (Token::ArrayStart, 1) | (Token::String | Token::Plain, 0) => self.verdict = Some(None),
            (Token::Key, 1) => {
                self.in_params = self.lexer.text().get() == Some(b"params");
                self.seen = [false; 3];
            }
            (Token::Key, 2) if self.in_params => {
                for (parameter, seen) in PARAMETERS.iter().zip(&mut self.seen) {
                    *seen |= self.lexer.text().get() == Some(*parameter);
                }
                if self.seen == [true; 3] {
                    self.verdict = Some(Some(RpcRefusal::Stray));
                }
            }
            // Python makes an object of pairs, too: lists of two, or objects with two keys.
            (Token::Key | Token::String, 3)
                if self.in_params
                    && self.lexer.is_in_array_at(2)
                    && self.lexer.text().get() == Some(b"service") =>
            {
                self.verdict = Some(Some(RpcRefusal::Stray));
            }
            _ => {}
        }
    }
}
