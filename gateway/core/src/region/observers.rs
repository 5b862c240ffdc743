//! What several gateways see together.

use crate::health::{DatabaseReading, Moment};
use core::time::Duration;

/// What one node says about the database of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// What its probe saw; `None` is silence.
    pub seen: Option<DatabaseReading>,
    /// When the probe ran, on this node's clock.
    pub at: Moment,
    /// Whether the node reaches what it must reach: one that does not is itself cut off, and its silence says nothing.
    pub anchored: bool,
}

/// What is noted about a database, and as of when: an answer that anybody got, else silence that a majority met, else
/// nothing. An answer counts from when it was got: it says nothing about what came after.
///
/// `nodes` counts all nodes, this one included; a sight older than `fresh` is none.
#[must_use]
pub fn merge(
    sights: impl Iterator<Item = Sight>,
    nodes: usize,
    fresh: Duration,
    now: Moment,
) -> Option<(Moment, Option<DatabaseReading>)> {
    let mut best: Option<(Moment, DatabaseReading)> = None;
    let mut silent = 0_usize;
    for sight in sights.filter(|sight| now.saturating_sub(sight.at) <= fresh) {
        match sight.seen {
            // Of two answers, the one of the higher timeline is the newer history; of two of the same, the later one.
            Some(seen) => {
                let newer = best.is_none_or(|(at, known)| (known.timeline, at) < (seen.timeline, sight.at));
                if newer {
                    best = Some((sight.at, seen));
                }
            }
            None if sight.anchored => silent = silent.saturating_add(1),
            None => {}
        }
    }
    match best {
        Some((at, seen)) => Some((at, Some(seen))),
        None if silent.saturating_mul(2) > nodes => Some((now, None)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Instance, Role};

    const NOW: Moment = Moment::from_secs(10);
    const FRESH: Duration = Duration::from_secs(3);

    fn silence(at: u64, anchored: bool) -> Sight {
        Sight { seen: None, at: Moment::from_secs(at), anchored }
    }

    fn answer(at: u64, timeline: u32) -> Sight {
        let instance = Instance { system: 1, server: 1 };
        let seen = Some(DatabaseReading { instance, timeline, role: Role::Writable });
        Sight { seen, at: Moment::from_secs(at), anchored: true }
    }

    fn merged(sights: &[Sight]) -> Option<Option<u32>> {
        merge(sights.iter().copied(), 3, FRESH, NOW).map(|(_, seen)| seen.map(|seen| seen.timeline))
    }

    #[test]
    fn one_answer_outweighs_the_silence_of_all_others() {
        assert_eq!(merged(&[silence(10, true), silence(10, true), answer(9, 1)]), Some(Some(1)));
    }

    #[test]
    fn silence_counts_when_a_majority_that_is_not_cut_off_met_it() {
        assert_eq!(merged(&[silence(10, true), silence(10, true)]), Some(None));
        assert_eq!(merged(&[silence(10, true)]), None);
        assert_eq!(merged(&[silence(10, true), silence(10, false)]), None);
    }

    #[test]
    fn what_is_old_says_nothing() {
        assert_eq!(merged(&[silence(10, true), silence(6, true), answer(6, 1)]), None);
    }

    #[test]
    fn an_answer_counts_from_when_it_was_got() {
        let at = |sights: &[Sight]| merge(sights.iter().copied(), 3, FRESH, NOW).map(|(at, _)| at);
        assert_eq!(at(&[silence(10, true), answer(8, 1)]), Some(Moment::from_secs(8)));
        assert_eq!(at(&[silence(9, true), silence(8, true)]), Some(NOW));
    }

    #[test]
    fn the_newer_history_is_believed() {
        assert_eq!(merged(&[answer(10, 1), answer(9, 2)]), Some(Some(2)));
    }
}
