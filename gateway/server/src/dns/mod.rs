//! Zones that Fleetgate may change, and names that it looks up.

mod resolver;
mod rfc2136;
mod zones;

pub use resolver::resolver;
pub use zones::{DnsError, DnsProvider, DnsZones, Txt};
