//! The one rule about asking another backend.

use http::Method;

/// What went wrong with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection was made: the backend has not seen a byte.
    Connect,
    /// The connection broke before any byte of an answer reached the client.
    BeforeAnswer,
    /// The backend has not answered, and probes have found that it answers nobody.
    Lost,
    /// A part of the answer has reached the client, or the request cannot be repeated as it was.
    Final,
}

/// Whether a request may be sent again.
///
/// Odoo's requests are not idempotent: a POST that was cut off may have been carried out. So: when nothing was
/// sent, anything may be asked of another backend; when something was sent, only GET and HEAD, and only while the
/// client has seen nothing. A backend that is frozen may go on later and carry out what it was sent, so there, too, only
/// they are asked elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRule {
    safe_method: bool,
}

impl RetryRule {
    /// The rule for a method.
    #[must_use]
    pub fn of(method: &Method) -> Self {
        Self { safe_method: is_safe(method) }
    }

    /// Whether another backend may be asked after a failure.
    #[must_use]
    pub const fn allows(self, failure: Failure) -> bool {
        match failure {
            Failure::Connect => true,
            Failure::BeforeAnswer | Failure::Lost => self.safe_method,
            Failure::Final => false,
        }
    }

    /// Whether a connection that served another request may be used. A backend may close such a connection at the
    /// very moment a request is sent on it, and only what may be sent again can take that risk.
    #[must_use]
    pub const fn may_reuse_connection(self) -> bool {
        self.safe_method
    }
}

/// GET and HEAD (the methods that Odoo's own routes treat as reads).
#[must_use]
pub fn is_safe(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_never_sent_twice() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let rule = RetryRule::of(&method);
            assert!(rule.allows(Failure::Connect), "{method}");
            assert!(!rule.allows(Failure::BeforeAnswer) && !rule.allows(Failure::Lost), "{method}");
            assert!(!rule.may_reuse_connection(), "{method}");
        }
    }

    #[test]
    fn a_get_is_sent_again_until_the_client_has_seen_something() {
        for method in [Method::GET, Method::HEAD] {
            let rule = RetryRule::of(&method);
            assert!(rule.allows(Failure::Connect) && rule.allows(Failure::BeforeAnswer));
            assert!(rule.allows(Failure::Lost));
            assert!(!rule.allows(Failure::Final));
        }
    }
}
