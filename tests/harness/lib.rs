//! What tests of the running gateway stand on: the real binary, its logs, clients, and waiting for conditions.
//!
//! Backends come from `fleetgate-stub`. A failure in here is a failed test, so functions panic with a text that says
//! what was missing; those named `try_*` return what went wrong instead, for tests in which it should.
#![allow(clippy::panic, reason = "a failure of the harness is a failed test")]

mod authority;
mod bad_http1;
mod bind;
mod connection;
mod directory;
mod fault_proxy;
mod frames;
mod gateway;
pub mod isolation;
mod lab;
mod lines;
mod nginx;
mod patroni;
mod pebble;
mod peer;
mod ports;
mod postgres;
mod program;
mod raw;
mod redis;
mod request;
mod spellings;
mod spoofs;
mod wait;
mod websocket;

pub use authority::{Authority, Signed};
pub use bad_http1::{Http1Outcome, Http1Vector, bad_http1, odd_http1};
pub use bind::{Bind, KEY_NAME, KEY_SECRET};
pub use connection::Connection;
pub use directory::ConfigDirectory;
pub use fault_proxy::{Dice, FaultProxy, Link};
pub use frames::{Frames, FramesOutcome};
pub use gateway::{Builder, Gateway, backend};
pub use lab::{Lab, odoo_script, run_to_end};
pub use lines::Lines;
pub use nginx::{NGINX_PACKAGE, nginx_arguments};
pub use patroni::{PatroniCluster, PatroniMember, RestTls};
pub use pebble::{Pebble, PebblePorts, own_address, own_port};
pub use peer::{Peer, installed};
pub use ports::{free_address, free_port};
pub use postgres::{Postgres, psql};
pub use program::program;
pub use raw::{RawConnection, raw_exchange};
pub use redis::Redis;
pub use request::{Answer, Request, http_get};
pub use spellings::{NEIGHBOURS, get_spelling, manager_spellings, reaches_manager, send_spelling};
pub use spoofs::{send_spoof, spoof_spellings, spoofed};
pub use wait::{DEADLINE, wait_for};
pub use websocket::{Websocket, ws_connect};

#[cfg(test)]
mod tests;
