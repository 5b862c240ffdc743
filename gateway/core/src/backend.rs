//! Which backend of a region serves a tenant.
//!
//! Odoo loads a registry per tenant and process, which takes seconds and megabytes. So a tenant stays on a
//! small subset of the backends, the same on every gateway node, chosen by rendezvous hashing: a backend that
//! comes or goes moves only the tenants that it wins or loses.

use crate::pool::BACKENDS_PER_REGION_MAX;

/// A place among the backends of a region, below [`BACKENDS_PER_REGION_MAX`].
pub type BackendIndex = usize;

/// Backends as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackendSet(u64);

impl BackendSet {
    /// The set with one more.
    pub fn insert(&mut self, index: BackendIndex) {
        self.0 |= bit(index);
    }

    /// The set with one less.
    pub fn remove(&mut self, index: BackendIndex) {
        self.0 &= !bit(index);
    }

    /// Whether it is in the set.
    #[must_use]
    pub fn contains(self, index: BackendIndex) -> bool {
        self.0 & bit(index) != 0
    }

    /// Number of backends in the set.
    #[must_use]
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

fn bit(index: BackendIndex) -> u64 {
    u32::try_from(index).ok().and_then(|shift| 1_u64.checked_shl(shift)).unwrap_or(0)
}

/// What the choice knows about a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendLoad {
    /// Hash of the backend's address, from [`stable_hash`].
    pub hash: u64,
    /// Requests that it serves now.
    pub in_flight: u32,
    /// Whether a connection to it failed a moment ago.
    pub failing: bool,
    /// Whether an operator takes it out: it is not asked at all.
    pub draining: bool,
    /// Whether all of its workers are busy, as far as their number is known.
    pub full: bool,
}

/// A hash that is the same in every process and on every node (FNV-1a, then a finalizer).
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

/// The finalizer of SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Chooses a backend that was not tried yet and does not drain; `None` when there is none.
///
/// Order: the tenant's own `subset` backends that do not fail, the one with the fewest requests in flight first;
/// then any other that does not fail, in the tenant's order; of those, the ones with a free worker first. Then the
/// failing ones, because a wrong guess about them must not refuse a request.
#[must_use]
pub fn choose(
    tenant_hash: u64,
    subset: u8,
    tried: BackendSet,
    count: usize,
    load: impl Fn(BackendIndex) -> BackendLoad,
) -> Option<BackendIndex> {
    let own = own_subset(tenant_hash, subset, count, &load);
    let may_be_asked = |index: &BackendIndex| !tried.contains(*index) && !load(*index).draining;
    (0..count.min(BACKENDS_PER_REGION_MAX)).filter(may_be_asked).min_by_key(|&index| {
        let backend = load(index);
        let is_own = own.contains(index);
        let in_flight = if is_own { backend.in_flight } else { 0 };
        (backend.failing, backend.full, !is_own, in_flight, !score(tenant_hash, backend.hash))
    })
}

/// The backends that a tenant is spread over.
#[must_use]
pub fn own_subset(
    tenant_hash: u64,
    subset: u8,
    count: usize,
    load: &impl Fn(BackendIndex) -> BackendLoad,
) -> BackendSet {
    let mut own = BackendSet::default();
    for _ in 0..subset {
        let next = (0..count.min(BACKENDS_PER_REGION_MAX))
            .filter(|&index| !own.contains(index))
            .max_by_key(|&index| score(tenant_hash, load(index).hash));
        let Some(next) = next else { break };
        own.insert(next);
    }
    own
}

fn score(tenant_hash: u64, backend_hash: u64) -> u64 {
    mix(tenant_hash ^ backend_hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(names: &[String]) -> impl Fn(BackendIndex) -> BackendLoad {
        |index| BackendLoad {
            hash: stable_hash(names[index].as_bytes()),
            in_flight: 0,
            failing: false,
            draining: false,
            full: false,
        }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("10.0.0.{at}:8069")).collect()
    }

    fn subset_of(tenant: &str, names: &[String]) -> BackendSet {
        own_subset(stable_hash(tenant.as_bytes()), 2, names.len(), &idle(names))
    }

    #[test]
    fn a_backend_that_goes_moves_only_its_own_tenants() {
        let before = names(8);
        let after = names(7);
        let mut moved = 0_u32;
        for at in 0..1_000 {
            let tenant = format!("tenant-{at}");
            let (old, new) = (subset_of(&tenant, &before), subset_of(&tenant, &after));
            if old.contains(7) {
                moved += 1;
            } else {
                assert_eq!(old, new, "{tenant}");
            }
        }
        assert!((150..350).contains(&moved), "a quarter of the tenants had backend 7 in their pair: {moved}");
    }

    #[test]
    fn tenants_spread_evenly() {
        let backends = names(4);
        let mut share = [0_u32; 4];
        for at in 0..4_000 {
            let tenant = stable_hash(format!("tenant-{at}").as_bytes());
            share[choose(tenant, 1, BackendSet::default(), 4, idle(&backends)).unwrap()] += 1;
        }
        assert!(share.iter().all(|count| (850..1_150).contains(count)), "{share:?}");
    }

    #[test]
    fn the_least_busy_of_the_own_subset_serves() {
        let backends = names(5);
        let tenant = stable_hash(b"acme");
        let own = own_subset(tenant, 2, 5, &idle(&backends));
        let first = choose(tenant, 2, BackendSet::default(), 5, idle(&backends)).unwrap();
        let busy = |index: BackendIndex| BackendLoad {
            in_flight: u32::from(index == first),
            ..idle(&backends)(index)
        };
        let second = choose(tenant, 2, BackendSet::default(), 5, busy).unwrap();
        assert!(own.contains(first) && own.contains(second) && first != second);
    }

    #[test]
    fn a_backend_without_a_free_worker_is_asked_after_those_with_one() {
        let backends = names(4);
        let tenant = stable_hash(b"acme");
        let own = own_subset(tenant, 2, 4, &idle(&backends));
        let load = |index: BackendIndex| BackendLoad { full: own.contains(index), ..idle(&backends)(index) };
        let first = choose(tenant, 2, BackendSet::default(), 4, load).unwrap();
        assert!(!own.contains(first), "another has a worker free");
        let all_full = |index: BackendIndex| BackendLoad { full: true, ..idle(&backends)(index) };
        assert!(own.contains(choose(tenant, 2, BackendSet::default(), 4, all_full).unwrap()));
    }

    #[test]
    fn a_backend_that_drains_is_asked_by_nobody_and_its_tenants_have_others() {
        let backends = names(3);
        let tenant = stable_hash(b"acme");
        let favourite = choose(tenant, 1, BackendSet::default(), 3, idle(&backends)).unwrap();
        let load =
            |index: BackendIndex| BackendLoad { draining: index == favourite, ..idle(&backends)(index) };
        let mut tried = BackendSet::default();
        while let Some(next) = choose(tenant, 1, tried, 3, load) {
            assert_ne!(next, favourite);
            tried.insert(next);
        }
        assert_eq!(tried.len(), 2);
    }

    #[test]
    fn a_failing_backend_is_asked_last_and_every_backend_once() {
        let backends = names(3);
        let tenant = stable_hash(b"acme");
        let favourite = choose(tenant, 1, BackendSet::default(), 3, idle(&backends)).unwrap();
        let load =
            |index: BackendIndex| BackendLoad { failing: index == favourite, ..idle(&backends)(index) };
        let mut tried = BackendSet::default();
        let mut order = Vec::new();
        while let Some(next) = choose(tenant, 1, tried, 3, load) {
            tried.insert(next);
            order.push(next);
        }
        assert_eq!(order.len(), 3);
        assert_eq!(order.last(), Some(&favourite));
    }
}
