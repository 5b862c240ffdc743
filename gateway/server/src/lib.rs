//! The edge gateway for Odoo fleets: what decides is in `fleetgate-core`, what does is here.

pub mod connection;
pub mod front;
pub mod proxy;
pub mod snapshot;
pub mod telemetry;
pub mod upstream;
