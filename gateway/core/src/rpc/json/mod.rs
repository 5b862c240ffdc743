//! Bodies of `/jsonrpc` and `/web/session/authenticate`.

mod call;
mod keys;
mod lexer;
mod number;
mod string;

pub(super) use call::{JsonCall, JsonShape};
