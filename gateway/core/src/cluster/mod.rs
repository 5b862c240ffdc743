//! Several nodes that divide what one alone would have: rates of tenants, workers of pools.
//!
//! A store that all nodes reach keeps what each of them holds, and grants no more than there is (`ledger` says how, and
//! stands for it in simulations). Everything else is decided by each node alone: what it asks for ([`Part`]), what it
//! believes ([`Heard`]), and what it does while the store is away ([`Link`]). Four rules keep the sum:
//!
//! - A node lowers what it holds before it says so, and raises it after the store has said so.
//! - What a node holds is counted until its lease has ended, on the store's clock; no clock of a node is ever compared.
//! - A node that cannot reach the store raises nothing.
//! - A store that has just begun, or that has forgotten this node, may have forgotten others: nothing is raised until
//!   all have had time to say again what they hold.

mod divide;
mod heard;
#[cfg(test)]
mod ledger;
mod link;
mod part;
#[cfg(test)]
mod tests;

pub use divide::divide;
pub use heard::{Claim, Heard, Nonsense};
pub use link::{GAP, Hold, LEASE, Link, LinkState, Outcome};
pub use part::{Part, View};

/// Nodes of one fleet, at most: more are taken for nonsense.
pub const NODES_MAX: usize = 64;
