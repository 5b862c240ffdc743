//! How much of something each node should hold.

/// Divides units among nodes by what is asked of them. Each gets `floor` units if there are enough, so that whoever comes
/// to an idle node finds something there. Where nothing is asked of anybody, all get the same. The sum is the capacity;
/// the same arguments give the same parts on every node, if all name the nodes in the same order.
#[must_use]
pub fn divide(capacity: u32, demands: &[u64], floor: u32) -> Vec<u32> {
    let Ok(nodes) = u32::try_from(demands.len()) else { return Vec::new() };
    let Some(equal) = capacity.checked_div(nodes) else { return Vec::new() };
    let floor = floor.min(equal);
    let asked: u128 = demands.iter().map(|demand| u128::from(*demand)).sum();
    let shared = u128::from(capacity.saturating_sub(floor.saturating_mul(nodes)));
    let part = |demand: u64| {
        let part = shared.saturating_mul(u128::from(demand)).checked_div(asked);
        u32::try_from(part.unwrap_or_else(|| shared.checked_div(u128::from(nodes)).unwrap_or(0)))
            .unwrap_or(capacity)
    };
    let mut parts: Vec<u32> = demands.iter().map(|demand| floor.saturating_add(part(*demand))).collect();
    let given = parts.iter().fold(0_u32, |sum, part| sum.saturating_add(*part));
    // What rounding left over, one unit each: to those whom it took most from, and of these first to those with least.
    let mut left = capacity.saturating_sub(given);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    let rest = |demand: u64| shared.saturating_mul(u128::from(demand)).checked_rem(asked).unwrap_or(0);
    order.sort_by_key(|place| {
        let rest = demands.get(*place).map_or(0, |demand| rest(*demand));
        (core::cmp::Reverse(rest), parts.get(*place).copied())
    });
    for place in order {
        if left == 0 {
            break;
        }
        if let Some(part) = parts.get_mut(place) {
            *part = part.saturating_add(1);
            left = left.saturating_sub(1);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_follow_demand_and_an_idle_node_keeps_the_floor() {
        assert_eq!(divide(65_536, &[0, 0], 512), [32_768, 32_768]);
        assert_eq!(divide(65_536, &[10, 0], 512), [65_024, 512]);
        assert_eq!(divide(8, &[0, 0, 0], 0), [3, 3, 2]);
        assert_eq!(divide(8, &[30, 1], 1), [7, 1]);
        assert_eq!(divide(2, &[1, 5, 1, 1], 1), [1, 1, 0, 0], "who asks for little is not left out for long");
        assert_eq!(divide(8, &[], 1), Vec::<u32>::new());
    }

    proptest! {
        #[test]
        fn the_sum_is_the_capacity(
            capacity in 0_u32..100_000,
            demands in prop::collection::vec(any::<u64>(), 1..64),
            floor in any::<u32>(),
        ) {
            let parts = divide(capacity, &demands, floor);
            prop_assert_eq!(parts.iter().sum::<u32>(), capacity);
            let equal = capacity / u32::try_from(demands.len()).unwrap();
            prop_assert!(parts.iter().all(|part| *part >= floor.min(equal)));
        }
    }
}
