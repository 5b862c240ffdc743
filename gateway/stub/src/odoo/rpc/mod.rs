//! RPC: routes whose database comes from the body, and routes whose database comes from the session.

pub(crate) mod service;
pub(crate) mod web;
pub(crate) mod xml;
