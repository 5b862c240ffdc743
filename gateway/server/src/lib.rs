//! The edge gateway for Odoo fleets: what decides is in `fleetgate-core`, what does is here.

pub mod acme;
pub mod admin;
pub mod admin_client;
pub mod admission;
pub mod causes;
pub mod certificates;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod connection;
pub mod dns;
pub mod front;
pub mod limits;
pub mod lookup;
pub mod nodes;
pub mod proxy;
pub mod region;
pub mod reload;
pub mod runtime;
pub mod snapshot;
pub mod spool;
pub mod state_directory;
pub mod telemetry;
pub mod upstream;
pub mod usage;
pub mod webhook;
