//! The gateway with a real server of ACME, Pebble, and a real DNS server, BIND. Nothing in between is a stand-in: Pebble
//! looks the hosts up at BIND and comes to the gateway's own listeners for its proofs.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what failed and what it saw"
)]

mod failure;
mod issue;
mod leave;
mod site;
