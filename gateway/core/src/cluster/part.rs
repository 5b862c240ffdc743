//! What one node holds of something that all nodes divide.

use super::divide::divide;
use super::heard::Claim;
use super::link::Hold;

/// What is known when a node decides what to ask for.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Units that there are.
    pub capacity: u32,
    /// Units that every node keeps, if there are enough.
    pub floor: u32,
    /// This node.
    pub me: &'a str,
    /// Nodes that are there, this one included.
    pub nodes: &'a [Box<str>],
    /// What others said last. A node that said nothing holds an equal part.
    pub others: &'a [Claim],
    /// Whether what others give up may be taken.
    pub may_raise: bool,
}

/// One node's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    held: u32,
    /// What is asked of this node, smoothed: in thousandths.
    demand: u64,
    /// Units that were asked for.
    wanted: u32,
}

/// Lowering by less than this part of the whole is not worth it: the gap until somebody else takes it costs more.
const NOTABLE: u32 = 64;

impl Part {
    /// A node that holds so many units.
    #[must_use]
    pub const fn of(held: u32) -> Self {
        Self { held, demand: 0, wanted: held }
    }

    /// Units that the node may use now.
    #[must_use]
    pub const fn held(&self) -> u32 {
        self.held
    }

    /// What is asked of the node.
    #[must_use]
    pub const fn demand(&self) -> u64 {
        self.demand
    }

    /// Notes what was asked of the node since it was last noted.
    pub fn note_demand(&mut self, asked: u64) {
        let asked = asked.saturating_mul(1_000);
        // A rise counts at once, a fall over some rounds: whoever starts to need something should not wait for it.
        self.demand = if asked > self.demand {
            asked.saturating_add(self.demand) / 2
        } else {
            self.demand.saturating_mul(3).saturating_add(asked) / 4
        };
    }

    /// The part that everybody has who said nothing.
    #[must_use]
    pub fn equal(view: &View<'_>) -> u32 {
        let nodes = u32::try_from(view.nodes.len()).unwrap_or(u32::MAX);
        view.capacity.checked_div(nodes).unwrap_or(view.capacity)
    }

    /// Decides what to ask for, and gives up what is too much before anybody hears of it. What is in use of that has to be
    /// looked at afterwards, and asked for as well: it is given up as it comes back.
    pub fn ask(&mut self, view: &View<'_>) -> u32 {
        let demand_of = |node: &str| {
            let other = view.others.iter().find(|claim| &*claim.node == node);
            if node == view.me { self.demand } else { other.map_or(0, |claim| claim.demand) }
        };
        let demands: Vec<u64> = view.nodes.iter().map(|node| demand_of(node)).collect();
        let place = view.nodes.iter().position(|node| &**node == view.me);
        let parts = divide(view.capacity, &demands, view.floor);
        let target = place.and_then(|place| parts.get(place)).copied().unwrap_or(self.held);
        let notable = view.capacity / NOTABLE;
        if target < self.held && self.held.saturating_sub(target) >= notable.max(1) {
            self.held = target;
        }
        self.held = self.held.min(view.capacity);
        self.wanted = if view.may_raise { target.max(self.held) } else { self.held };
        self.wanted
    }

    /// Takes what the store granted of what was asked for. `may_raise` is as the answer says it: the store that was asked may
    /// have forgotten others meanwhile.
    pub fn take(&mut self, granted: u32, may_raise: bool) {
        self.held = granted.min(if may_raise { self.wanted } else { self.held });
    }

    /// Goes on without the store.
    pub fn hold(&mut self, hold: Hold, equal: u32) {
        match hold {
            Hold::Keep => {}
            Hold::AtMostEqual => self.lower_to(equal),
            Hold::Equal => *self = Self::of(equal),
        }
    }

    /// Gives up what is beyond a number of units. What is in use comes back as it ends.
    pub fn lower_to(&mut self, units: u32) {
        self.held = self.held.min(units);
    }
}
