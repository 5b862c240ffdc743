//! What operators see: events, access log, metrics.

pub mod access_log;
mod acme;
mod admission;
mod cluster;
pub mod held;
mod json;
pub mod lines;
pub mod metrics;
pub mod operations;
pub mod pace;
pub mod panic;
pub mod trace;
mod usage;
