//! Config: as written, checked, and its meaning.

mod model;

pub use model::{Drain, Fleet, GatewayConfig, Observe, ProcessConfig, Secret};
