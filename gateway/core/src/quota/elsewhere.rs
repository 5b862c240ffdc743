//! What other nodes have used of a quota.

use serde::{Deserialize, Serialize};

/// What one node has used of a quota. Of two that a node said, the greater one is right, whichever came first: it may be
/// told any number of times, late or out of order, and counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeUse {
    /// When the period began, in seconds since 1970. Of a window, when its piece did.
    pub starts: i64,
    /// When an operator last made the quota begin anew, in seconds since 1970; 0: never.
    pub reset_at: i64,
    /// What was used since, as the meter counts. It only grows.
    pub used: u64,
}

impl NodeUse {
    /// As a text for other nodes: three numbers.
    #[must_use]
    pub fn to_text(self) -> String {
        format!("{} {} {}", self.starts, self.reset_at, self.used)
    }

    /// Reads the text of another node; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (starts, reset_at, used) =
            (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(Self { starts, reset_at, used })
    }
}

/// Nodes and periods that are remembered, at most; the oldest go first.
const NODES_MAX: usize = 128;

/// What each of the other nodes said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Elsewhere(Vec<(Box<str>, NodeUse)>);

impl Elsewhere {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the nodes used that a period counts.
    pub(super) fn sum(&self, counts: impl Fn(&NodeUse) -> bool) -> u64 {
        let counted = self.0.iter().map(|(_, used)| used).filter(|used| counts(used));
        counted.fold(0, |sum, used| sum.saturating_add(used.used))
    }

    /// Notes what a node said, for each of its periods or for the last one; true when that is news.
    pub(super) fn note(&mut self, node: &str, used: NodeUse, each_period: bool) -> bool {
        let same = |(known, last): &&mut (Box<str>, NodeUse)| {
            &**known == node && (!each_period || last.starts == used.starts)
        };
        if let Some((_, last)) = self.0.iter_mut().find(same) {
            let news = used > *last;
            *last = used.max(*last);
            return news;
        }
        if self.0.len() >= NODES_MAX
            && let Some(oldest) =
                (0..self.0.len()).min_by_key(|place| self.0.get(*place).map(|(_, used)| *used))
        {
            self.0.swap_remove(oldest);
        }
        self.0.push((node.into(), used));
        true
    }

    /// Forgets periods that began before a moment.
    pub(super) fn forget_before(&mut self, moment: i64) {
        self.0.retain(|(_, used)| used.starts >= moment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_nodes_say_counts_once_however_often_and_in_whatever_order_it_is_told(
            said in prop::collection::vec((0_u8..5, 0_u64..1_000, 0_i64..2), 1..40),
            told in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        ) {
            let mut elsewhere = Elsewhere::default();
            let everything: Vec<_> = told.iter().map(|index| index.get(&said)).chain(&said).collect();
            for (node, used, reset_at) in &everything {
                let said = NodeUse { starts: 7, reset_at: *reset_at, used: *used };
                elsewhere.note(&node.to_string(), NodeUse::parse(&said.to_text()).unwrap(), true);
            }
            let of = |node: u8| said.iter().filter(|(of, ..)| *of == node).map(|(_, used, reset)| (*reset, *used)).max();
            let sum: u64 = (0..5).filter_map(of).map(|(_, used)| used).sum();
            prop_assert_eq!(elsewhere.sum(|_| true), sum);
            for (node, used, reset_at) in everything {
                let again = NodeUse { starts: 7, reset_at: *reset_at, used: *used };
                prop_assert!(!elsewhere.note(&node.to_string(), again, true), "nothing is news any more");
            }
        }
    }

    #[test]
    fn a_text_that_is_no_use_is_none() {
        for text in ["", "1", "1 2", "1 2 -3", "1 2 3 4", "a b c", "1  2 3"] {
            assert_eq!(NodeUse::parse(text), None, "{text}");
        }
    }
}
