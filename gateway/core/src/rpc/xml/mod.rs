//! Bodies of `/xmlrpc/<service>` and `/xmlrpc/2/<service>`.

mod call;
mod content;
mod declaration;
mod lexer;
mod tag;

pub(super) use call::XmlCall;
