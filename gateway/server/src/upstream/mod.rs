//! Which backend is asked, and when another one is.

mod dial;
mod retry;
mod select;

pub use dial::{DialError, connect, dial, secure, tls_cause};
pub use retry::{Failure, RetryRule, is_safe};
pub use select::{Attempts, preference, reach};
