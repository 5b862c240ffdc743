//! Behaviour of the real `fleetgate` binary over stand-in Odoo servers: one file a theme, all in one binary.
//!
//! Build the gateway first: `cargo build -p fleetgate`. Every test has a gateway, ports and a config folder of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "all of this is tests; a surprise is a failed test"
)]

mod fleet;

// What becomes of a request.
mod acts;
mod admission;
mod backend_names;
mod backend_tls;
mod backends;
mod bad_http1;
mod bad_http2;
mod bad_input;
mod balancers;
mod chaos;
mod checks_over_ssh;
mod classes;
mod client_certificates;
mod client_limits;
mod cookies;
mod database;
mod draining;
mod filestore;
mod forwarding;
mod frozen;
mod frozen_websockets;
mod guards;
mod isolation;
mod limits;
mod nodes;
mod passthrough;
mod quotas;
mod routing;
mod rpc;
mod spoofs;
mod spool;
mod tls;
mod tls_hygiene;
mod vectors;

// How the process lives.
mod admin;
mod clocks;
mod connections;
mod gateways;
mod hanging_databases;
mod lifecycle;
mod logins;
mod moves;
mod patroni;
mod probe_tls;
mod probes;
mod quorum;
mod region_checks;
mod regions;
mod reload;
mod replication;
mod script;
mod sites;
mod slow;
mod successors;
mod suspension;
mod telemetry;
mod traffic_health;
mod unix_sockets;
mod upgrade;
mod visitors;
mod warm_up;
mod websocket;
