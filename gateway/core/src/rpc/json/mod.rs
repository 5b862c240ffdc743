//! Bodies of `/jsonrpc` and `/web/session/authenticate`.

mod call;
mod keys;
mod lexer;
mod number;
mod stray;
mod string;

pub(super) use call::{JsonCall, JsonShape};
pub(super) use stray::StrayJson;
