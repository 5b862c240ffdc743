//! How several gateways come to send requests to one region only.

use super::RegionIndex;
use crate::health::Moment;
use core::time::Duration;

/// For how long what a gateway lets everybody do counts.
pub const LEASE: Duration = Duration::from_secs(5);

/// What another node last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When, on this node's clock: no later than the other node said it. A node that asks takes the moment of asking.
    pub at: Moment,
    /// The region that it lets everybody use.
    pub grants: Option<RegionIndex>,
}

/// The other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// What each of the other nodes last said; `None` for those that are not heard.
    pub heard: Vec<Option<Heard>>,
    /// What the other process of this node said that has its vote, where this one has not.
    pub own: Option<Heard>,
    /// For how long a grant that was heard holds.
    pub lease: Duration,
}

/// What clocks of different nodes may drift apart over a lease.
const DRIFT: Duration = Duration::from_millis(500);

impl Quorum {
    /// What was heard of the others, where there are `nodes` in all, this one included. Those that are heard beyond that
    /// number count too: two majorities of fewer would not have to share a node.
    #[must_use]
    pub fn of(nodes: usize, heard: impl IntoIterator<Item = Heard>, lease: Duration) -> Self {
        let mut heard: Vec<Option<Heard>> = heard.into_iter().map(Some).collect();
        let others = nodes.saturating_sub(1).max(heard.len());
        heard.resize(others, None);
        Self { heard, own: None, lease }
    }

    fn is_majority(&self, others: usize) -> bool {
        others.saturating_add(1).saturating_mul(2) > self.heard.len().saturating_add(1)
    }

    fn fresh(&self, now: Moment) -> impl Iterator<Item = &Heard> {
        self.heard.iter().flatten().filter(move |heard| self.holds(heard, now))
    }

    fn holds(&self, heard: &Heard, now: Moment) -> bool {
        now.saturating_sub(heard.at) <= self.lease
    }

    /// Whether this node and those that it hears are more than half.
    #[must_use]
    pub fn hears_majority(&self, now: Moment) -> bool {
        self.is_majority(self.fresh(now).count())
    }

    /// Whether more than half of all nodes let a region be used; `own` says whether this process does.
    fn grants(&self, region: RegionIndex, own: bool, now: Moment) -> bool {
        let other_process = self.own.filter(|heard| self.holds(heard, now) && heard.grants == Some(region));
        let own = own || other_process.is_some();
        let granted = self.fresh(now).filter(|heard| heard.grants == Some(region)).count();
        granted.saturating_add(usize::from(own)).saturating_mul(2) > self.heard.len().saturating_add(1)
    }
}

/// What this node grants.
///
/// A node sends requests to a region while more than half of all nodes grant it, itself included or not, and a node grants
/// one region at a time, with more than a lease between two. Two majorities share a node, so no two regions are used at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Agreement {
    grant: Option<RegionIndex>,
    /// Since when nothing is granted. A process that starts does not know what the one before it granted.
    withdrawn: Moment,
}

impl Agreement {
    /// Works towards a region, or away from all. Whether requests may go there now.
    pub(super) fn work_towards(&mut self, wanted: Option<RegionIndex>, quorum: &Quorum, now: Moment) -> bool {
        if self.grant.is_some() && self.grant != wanted {
            self.withdraw(now);
        }
        let pause = quorum.lease.saturating_add(DRIFT);
        if self.grant.is_none() && now.saturating_sub(self.withdrawn) > pause {
            self.grant = wanted;
        }
        wanted.is_some_and(|region| quorum.grants(region, self.grant == wanted, now))
    }

    /// Grants nothing from now on, for longer than a grant of before is believed.
    pub(super) const fn withdraw(&mut self, now: Moment) {
        *self = Self { grant: None, withdrawn: now };
    }

    /// Goes on granting what another process of this node granted until now, and never will again.
    pub(super) const fn take_over(&mut self, grant: RegionIndex) {
        self.grant = Some(grant);
    }

    /// The region that this node lets everybody use.
    pub(super) const fn grant(&self) -> Option<RegionIndex> {
        self.grant
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::iter::repeat_n;

    const NOW: Moment = Moment::from_secs(100);
    /// Longer than a grant that was heard holds, whatever the clocks.
    const PAUSE: Duration = Duration::from_millis(5_500);
    const TICK: Duration = Duration::from_millis(1);

    fn heard(grants: Option<RegionIndex>) -> Heard {
        Heard { at: NOW, grants }
    }

    #[test]
    fn more_than_half_of_all_gateways_have_to_agree_however_many_there_are() {
        for nodes in 1..10_usize {
            for others in 0..nodes {
                let quorum = Quorum::of(nodes, repeat_n(heard(Some(1)), others), LEASE);
                let words = format!("{others} others of {nodes}");
                assert_eq!(quorum.hears_majority(NOW + LEASE), 2 * (others + 1) > nodes, "{words}");
                for own in [false, true] {
                    let granting = others + usize::from(own);
                    assert_eq!(quorum.grants(1, own, NOW + LEASE), 2 * granting > nodes, "{words}, {own}");
                    // What was heard before holds for a lease.
                    let alone = own && nodes == 1;
                    assert_eq!(quorum.grants(1, own, NOW + LEASE + TICK), alone, "{words}, {own}");
                }
                assert!(!quorum.grants(0, false, NOW), "another region, {words}");
                assert_eq!(quorum.hears_majority(NOW + LEASE + TICK), nodes == 1, "{words}");
            }
        }
    }

    #[test]
    fn gateways_that_are_heard_beyond_their_number_raise_what_a_majority_is() {
        let quorum = Quorum::of(3, repeat_n(heard(Some(1)), 2).chain(repeat_n(heard(None), 2)), LEASE);
        assert!(!quorum.grants(1, false, NOW), "two of five");
        assert!(quorum.grants(1, true, NOW), "three of five");
    }

    #[test]
    fn two_processes_of_a_gateway_have_one_vote() {
        let own = |grants| Quorum { own: Some(heard(grants)), ..Quorum::of(3, [heard(Some(1))], LEASE) };
        assert!(own(Some(1)).grants(1, false, NOW + LEASE));
        assert!(!own(Some(0)).grants(1, false, NOW));
        assert!(!own(Some(1)).grants(1, false, NOW + LEASE + TICK));
        let alone = Quorum { own: Some(heard(Some(1))), ..Quorum::of(3, [], LEASE) };
        assert!(!alone.grants(1, true, NOW), "one of three, whatever both of its processes say");
    }

    #[test]
    fn a_gateway_lets_another_region_be_when_nobody_believes_any_more_that_it_lets_the_one_before() {
        let (quorum, mut agreement) = (Quorum::of(1, [], LEASE), Agreement::default());
        agreement.take_over(0);
        assert!(agreement.work_towards(Some(0), &quorum, NOW));
        for pause in [Duration::ZERO, PAUSE] {
            assert!(!agreement.work_towards(Some(1), &quorum, NOW + pause), "{pause:?}");
            assert_eq!(agreement.grant(), None, "{pause:?}");
        }
        assert!(agreement.work_towards(Some(1), &quorum, NOW + PAUSE + TICK));
        assert_eq!(agreement.grant(), Some(1));
        // Towards nothing, it lets nothing be, and begins anew.
        assert!(!agreement.work_towards(None, &quorum, NOW + PAUSE + TICK));
        assert!(!agreement.work_towards(Some(1), &quorum, NOW + PAUSE + PAUSE));
        agreement.withdraw(NOW + PAUSE + PAUSE);
        assert!(!agreement.work_towards(Some(1), &quorum, NOW + PAUSE + PAUSE + PAUSE));
        assert!(agreement.work_towards(Some(1), &quorum, NOW + PAUSE + PAUSE + PAUSE + TICK));
    }
}
