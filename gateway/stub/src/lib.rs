//! A stand-in Odoo fleet for demos, tests and benches.
//!
//! [`StubOdoo`] behaves at the HTTP level like one Odoo 19 server where a gateway can tell: two ports, one request
//! a connection when prefork, database selection by `X-Odoo-dbfilter`, `Host`, session and `X-Odoo-Database`,
//! the session cookie, RPC whose database is named in the body, and the bus websocket on the gevent port. It reads
//! HTTP/1 itself, so a test sees every header line as it arrived. What a request says in `X-Stub-Mark` is repeated in
//! its answer, so that a client can tell whose answer it got. [`fault`] holds backends that misbehave.

pub mod fault;
mod odoo;

pub use odoo::bus::WebsocketEnd;
pub use odoo::options::{STALL_MAX_DEFAULT, StubOptions};
pub use odoo::received::{Counts, Port, Received};
pub use odoo::server::StubOdoo;
pub use odoo::session::SessionStore;

#[cfg(test)]
mod tests;
