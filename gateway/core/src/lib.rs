//! What Fleetgate decides.
//!
//! Hosts, tenants, traffic classes and verdicts are computed here from values alone: no I/O, no clock, no
//! thread, no randomness, no panic. The gateway and the Traefik plugin call the same code, and tests can run
//! it by the million.

#[cfg(test)]
extern crate self as fleetgate_core;

pub mod acme;
pub mod admission;
pub mod backend;
pub mod certificate;
pub mod client;
pub mod client_certificate;
pub mod cluster;
pub mod config;
pub mod forwarded;
pub mod guard;
pub mod health;
pub mod host;
pub mod http2;
pub mod http_target;
pub mod inward;
pub mod limit;
pub mod lookup;
pub mod odoo;
pub mod outbound;
pub mod path;
mod percent;
pub mod pool;
pub mod progress;
pub mod proxy_protocol;
pub mod query;
pub mod quota;
pub mod region;
pub mod rejection;
pub mod request;
pub mod rpc;
pub mod tenant;
pub mod traffic;
pub mod verdict;
pub mod websocket;
