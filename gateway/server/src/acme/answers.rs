//! Proofs that a server of ACME may ask for now.

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Where a server of ACME looks for a token (RFC 8555, section 8.3).
const TOKENS: &[u8] = b"/.well-known/acme-challenge/";

/// What is answered while an order is under way. Requests and handshakes read it without a lock. One order is under way
/// at a time, so this holds one proof, or none.
#[derive(Debug, Default)]
pub struct Answers(ArcSwap<Proof>);

#[derive(Debug, Default)]
enum Proof {
    #[default]
    None,
    Token {
        token: Box<str>,
        answer: Arc<str>,
    },
    Handshake {
        name: Box<str>,
        key: Arc<CertifiedKey>,
    },
}

impl Answers {
    /// The answer to a request for a path, if it names a token that is asked for now.
    #[must_use]
    pub fn token(&self, path: &[u8]) -> Option<Arc<str>> {
        let asked = path.strip_prefix(TOKENS)?;
        match &**self.0.load() {
            Proof::Token { token, answer } if asked == token.as_bytes() => Some(Arc::clone(answer)),
            Proof::None | Proof::Token { .. } | Proof::Handshake { .. } => None,
        }
    }

    /// The certificate for a handshake of a server of ACME, if it proves this name now (RFC 8737, section 3).
    #[must_use]
    pub fn handshake(&self, asked: &str) -> Option<Arc<CertifiedKey>> {
        match &**self.0.load() {
            Proof::Handshake { name, key } if asked.eq_ignore_ascii_case(name) => Some(Arc::clone(key)),
            Proof::None | Proof::Token { .. } | Proof::Handshake { .. } => None,
        }
    }

    pub(super) fn put_token(&self, token: &str, answer: &str) {
        self.0.store(Arc::new(Proof::Token { token: token.into(), answer: answer.into() }));
    }

    pub(super) fn put_handshake(&self, name: &str, key: CertifiedKey) {
        self.0.store(Arc::new(Proof::Handshake { name: name.into(), key: Arc::new(key) }));
    }

    pub(super) fn clear(&self) {
        self.0.store(Arc::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_while_it_is_asked_for_and_no_other_path_is() {
        let answers = Answers::default();
        assert_eq!(answers.token(b"/.well-known/acme-challenge/abc"), None);
        answers.put_token("abc", "abc.thumb");
        assert_eq!(answers.token(b"/.well-known/acme-challenge/abc").as_deref(), Some("abc.thumb"));
        for path in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/abcd", "/abc", "/odoo"] {
            assert_eq!(answers.token(path.as_bytes()), None, "{path}");
        }
        answers.clear();
        assert_eq!(answers.token(b"/.well-known/acme-challenge/abc"), None);
    }
}
