//! Facts about Odoo, each with its source.

pub mod agents;
pub mod cookies;
pub mod filestore;
pub mod headers;
pub mod health;
pub mod login;
pub mod paths;
mod version;

pub use version::{OdooVersion, UnknownVersion};
