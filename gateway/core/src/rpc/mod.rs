//! Calls by programs that name their database themselves: XML-RPC, JSON-RPC, JSON-2, login by JSON.
//!
//! Odoo takes the database of a call from its body and asks neither the host nor `dbfilter` about it, so on a shared
//! Odoo every host reaches every database. [`RpcGuard`] reads such a body as it comes in, in any pieces and in constant
//! memory, and says at its end whether it may go to Odoo. It reads only what Python reads in the same way
//! (`json.loads`, expat below `xmlrpc.client`); anything else is refused, so that gateway and Odoo cannot differ.
//!
//! No XML crate is used: `quick-xml` and its kind pull from a reader, collect an event of any length in a buffer (a text
//! of 100 MiB takes 100 MiB) and resolve more of XML than may pass here. JSON is read by hand for the same reason.
//! Source: Odoo 14.0 to 18.0 `odoo/addons/base/controllers/rpc.py`, 19.0 `addons/rpc/controllers/`, `odoo/http.py`,
//! `odoo/service/{common,model,db}.py`.

mod answer;
mod call;
mod form;
mod guard;
mod json;
mod outcome;
mod policy;
mod route;
mod span;
mod stray;
mod text;
mod xml;

pub use answer::RpcAnswer;
pub use guard::{BodyFacts, RpcGuard, is_json};
pub use outcome::{Denial, Replacement, RpcOutcome, RpcRefusal};
pub use policy::{DeniedCalls, RpcPolicy, RpcSettings};
pub use route::{FaultCodes, RpcRoute, Service};

#[cfg(test)]
mod tests;
