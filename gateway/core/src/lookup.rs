//! What an answer of DNS about the name of backends means.

use crate::inward::points_inward;
use crate::pool::BACKENDS_PER_REGION_MAX;
use core::net::IpAddr;
use core::time::Duration;

/// Least time between two questions about a name: a TTL of none would make a question of every moment.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest time between two questions about a name, whatever the TTL: a change that nobody waited a TTL for is seen.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Time to the next question after one that failed.
pub const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// What an answer is used for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leads {
    /// Addresses of servers, in an order that does not change with each answer.
    pub used: Vec<IpAddr>,
    /// Addresses that are no server's, or too many.
    pub refused: Vec<IpAddr>,
}

impl Leads {
    /// Sorts the addresses of an answer out.
    #[must_use]
    pub fn of(answer: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut leads = Self::default();
        for address in answer {
            let side = if points_inward(address) { &mut leads.refused } else { &mut leads.used };
            side.push(address.to_canonical());
        }
        for side in [&mut leads.used, &mut leads.refused] {
            side.sort_unstable();
            side.dedup();
        }
        let surplus = leads.used.len().min(BACKENDS_PER_REGION_MAX);
        leads.refused.extend(leads.used.drain(surplus..));
        leads
    }
}

/// When to ask again, by the TTL of an answer.
#[must_use]
pub fn pause(time_to_live: Duration) -> Duration {
    time_to_live.clamp(PAUSE_MIN, PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_order_of_an_answer_means_nothing_and_inward_addresses_are_refused() {
        let leads = Leads::of(addresses(&["10.0.0.2", "169.254.169.254", "10.0.0.1", "::ffff:10.0.0.2"]));
        assert_eq!(leads.used, addresses(&["10.0.0.1", "10.0.0.2"]));
        assert_eq!(leads.refused, addresses(&["169.254.169.254"]));
    }

    #[test]
    fn a_name_leads_to_so_many_servers_and_no_more() {
        let many = (0..200_u8).map(|at| IpAddr::from([10, 0, 0, at]));
        let leads = Leads::of(many);
        assert_eq!((leads.used.len(), leads.refused.len()), (64, 136));
    }

    #[test]
    fn a_ttl_is_followed_within_bounds() {
        let seconds = |ttl| pause(Duration::from_secs(ttl)).as_secs();
        assert_eq!((seconds(0), seconds(5), seconds(86_400)), (1, 5, 60));
    }
}
