//! Certificates that are ordered and renewed by ACME (RFC 8555). What is asked for, and when, is decided in core.
//!
//! Everything here runs on a thread of its own: files that are synced and servers that are slow hold up no request.

mod account;
mod answers;
mod attempt;
mod book;
mod https;
mod keeper;
mod leaf;
mod pointing;
mod proof;
mod trouble;
mod vault;

pub use answers::Answers;
pub use book::{AcmeFacts, TroubleFacts};
pub use keeper::{AcmeKeeper, KeeperParts};
pub use trouble::StartError;
