//! The gateway before real Odoo 19 servers in two regions, each with a PostgreSQL of its own, one of which streams from the
//! other. What `tests/real/odoo/fleet.sh` made is copied, so the first run takes minutes.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test says what failed and what it saw"
)]

mod backends;
mod browser;
mod logins;
mod odoo;
mod promotion;
mod readers;
mod site;
mod sites;
mod warm_up;
