//! Zones that Fleetgate may change.

mod rfc2136;
mod zones;

pub use zones::{DnsError, DnsProvider, DnsZones, Txt};
