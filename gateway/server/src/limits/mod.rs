//! What is used of limits, counted in memory. Core knows the arithmetic ([`fleetgate_core::limit`]).

mod clock;
mod keyed;
mod keys;
mod lease;
mod shares;
mod tenant;

pub use clock::moment;
pub use keyed::{KeyedLimiter, KeyedLimiters, LimiterPool};
pub use keys::{KEYS_MAX, KeyTable};
pub use lease::{Gauge, HasPlaces, PlaceFor, PlaceLease};
pub use shares::{RateShares, WHOLE_SHARE};
pub use tenant::{Reached, TenantUse};
