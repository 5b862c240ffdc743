//! Starts everything, listens to signals, and ends without cutting anybody off.

mod drain;
mod start;
mod tls;
mod upgrade;

pub use start::{StartError, run};
