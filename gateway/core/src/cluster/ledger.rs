//! The rule of the store, as a value.

use super::heard::Claim;

/// What nodes hold of one thing, as the store keeps it. In a fleet of gateways the same rule is a script in Redis; this one
/// is for simulations.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    claims: Vec<Claim>,
}

impl Ledger {
    /// A node asks for units: it gets what the other live nodes leave, and at least what it cannot give up. Nodes that said
    /// nothing count with an equal part. What others hold is returned with it.
    pub(super) fn ask(
        &mut self,
        node: &str,
        live: &[Box<str>],
        capacity: u32,
        (asked, in_use, demand): (u32, u32, u64),
    ) -> (u32, Vec<Claim>) {
        self.claims.retain(|claim| live.contains(&claim.node));
        let equal = u32::try_from(live.len()).ok().and_then(|nodes| capacity.checked_div(nodes)).unwrap_or(0);
        let others = live.iter().filter(|other| &***other != node).map(|other| {
            self.claims.iter().find(|claim| claim.node == *other).map_or(equal, |claim| claim.held)
        });
        let left = capacity.saturating_sub(others.fold(0, u32::saturating_add));
        let granted = asked.min(left).max(in_use);
        self.claims.retain(|claim| &*claim.node != node);
        let others = self.claims.clone();
        self.claims.push(Claim { node: node.into(), held: granted, demand });
        (granted, others)
    }
}
