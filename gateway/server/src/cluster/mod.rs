//! Several nodes of one fleet, over a Redis that they share.
//!
//! Nothing on the way of a request asks Redis. Four times a second a node tells what it holds and what is asked of it, and
//! hears what it may hold; core decides what that means ([`fleetgate_core::cluster`]). While Redis is away, everything goes
//! on with what was last known.

mod acts;
mod claims;
mod connection;
mod exchange;
mod node;
mod quotas;
mod rates;
mod said;
mod workers;

pub use connection::ClusterError;
pub use node::{Cluster, ClusterFacts, ExchangeCounts};
pub use said::{SAID_BYTES_MAX, Said};
