//! What is used of limits, counted in memory. Core knows the arithmetic ([`fleetgate_core::limit`]).

mod clock;
mod lease;
mod tenant;

pub use clock::moment;
pub use lease::{Gauge, PlaceLease};
pub use tenant::TenantUse;
