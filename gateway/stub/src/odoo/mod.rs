//! One stand-in Odoo server: sockets, requests, databases, pages, RPC and the bus.

pub(crate) mod body;
pub(crate) mod bus;
pub(crate) mod connection;
pub(crate) mod database;
pub(crate) mod head;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod pattern;
pub(crate) mod received;
pub(crate) mod reply;
pub(crate) mod route;
pub(crate) mod rpc;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod workbench;
