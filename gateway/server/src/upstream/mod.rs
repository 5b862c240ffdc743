//! Which backend is asked, and when another one is.

mod retry;
mod select;

pub use retry::{Failure, RetryRule, is_safe};
pub use select::{Attempts, preference};
