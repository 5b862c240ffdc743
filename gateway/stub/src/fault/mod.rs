//! Backends that misbehave, for tests of what a gateway does about them.

mod backend;
mod behaviour;
mod port;

pub use backend::{Fault, FaultCounts, FaultyBackend};
pub use port::{DeadPort, FullBacklog};
