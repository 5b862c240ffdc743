//! Starts everything, listens to signals, and ends without cutting anybody off.

mod drain;
mod engine;
mod error;
mod start;
mod tls;
mod upgrade;

pub use error::StartError;
pub use start::run;
