//! What many clients have used, in a table whose size never changes.
//!
//! Clients choose how many addresses, sessions and keys there are, so a map of them would grow without end. Here each has
//! one of eight places, and a newcomer takes the place of whoever owes least: who owes nothing is forgotten without a
//! loss, and who is at a limit stays. Nothing has to be swept, and nothing is locked.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Clients that are remembered at once: 16 MiB, taken when the first limit needs it.
pub const KEYS_MAX: usize = SETS * WAYS;
const SETS: usize = 131_072;
const WAYS: usize = 8;
/// Attempts at a place that others change at the same time. Then the charge is lost, which nobody can bring about at will.
const ATTEMPTS_MAX: usize = 64;

/// One client. A key is a hash with a secret of the process, so it tells nothing and cannot be chosen.
#[derive(Debug, Default)]
struct Place {
    key: AtomicU64,
    arrival: AtomicU64,
}

/// Theoretical arrival times by key.
#[derive(Debug, Default)]
pub struct KeyTable {
    sets: OnceLock<Box<[[Place; WAYS]]>>,
    hasher: RandomState,
}

impl KeyTable {
    /// The key of whatever tells a client apart.
    #[must_use]
    pub fn key(&self, of: impl Hash) -> u64 {
        // Zero is a place that nobody has.
        self.hasher.hash_one(of).max(1)
    }

    /// The arrival time of a key, if it is remembered.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<u64> {
        let place = self.set(key)?.iter().find(|place| place.key.load(Ordering::Relaxed) == key)?;
        Some(place.arrival.load(Ordering::Relaxed))
    }

    /// Changes the arrival time of a key; the change may be asked several times.
    ///
    /// # Errors
    /// What the change says; nothing is changed then.
    pub fn update<T, E>(
        &self,
        key: u64,
        change: impl Fn(Option<u64>) -> Result<(T, u64), E>,
    ) -> Result<T, E> {
        let Some(set) = self.set(key) else { return change(None).map(|(answer, _)| answer) };
        for _ in 0..ATTEMPTS_MAX {
            if let Some(place) = set.iter().find(|place| place.key.load(Ordering::Relaxed) == key) {
                let arrival = place.arrival.load(Ordering::Relaxed);
                let (answer, next) = change(Some(arrival))?;
                let done =
                    place.arrival.compare_exchange(arrival, next, Ordering::Relaxed, Ordering::Relaxed);
                if done.is_ok() {
                    return Ok(answer);
                }
                continue;
            }
            let (answer, next) = change(None)?;
            let Some(least) = set.iter().min_by_key(|place| place.arrival.load(Ordering::Relaxed)) else {
                return Ok(answer);
            };
            let owner = least.key.load(Ordering::Relaxed);
            if least.key.compare_exchange(owner, key, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                least.arrival.store(next, Ordering::Relaxed);
                return Ok(answer);
            }
        }
        change(None).map(|(answer, _)| answer)
    }

    fn set(&self, key: u64) -> Option<&[Place; WAYS]> {
        let sets = self.sets.get_or_init(|| std::iter::repeat_with(Default::default).take(SETS).collect());
        let at = usize::try_from(key >> 32).ok()?.checked_rem(SETS)?;
        sets.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn add(table: &KeyTable, key: u64, first: u64) -> u64 {
        let change = |arrival: Option<u64>| {
            let next = arrival.map_or(first, |arrival| arrival + 1);
            Ok::<_, Infallible>((next, next))
        };
        table.update(key, change).unwrap()
    }

    #[test]
    fn ten_million_addresses_take_no_more_memory_and_do_not_free_who_is_at_a_limit() {
        let table = KeyTable::default();
        let debtors: Vec<u64> = (0..1_000_u32).map(|client| table.key((1, client))).collect();
        for key in &debtors {
            add(&table, *key, 1_000_000);
        }
        for client in 0..10_000_000_u32 {
            add(&table, table.key((2, client)), u64::from(client % 1_000));
        }
        let sets = table.sets.get().unwrap();
        assert_eq!(sets.len() * WAYS, KEYS_MAX);
        let kept = debtors.iter().filter(|key| table.get(**key) == Some(1_000_000)).count();
        assert_eq!(kept, debtors.len());
    }

    #[test]
    fn threads_lose_nothing_of_a_key_that_is_there() {
        let table = KeyTable::default();
        let key = table.key("client");
        add(&table, key, 0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        add(&table, key, 0);
                    }
                });
            }
        });
        assert_eq!(table.get(key), Some(40_000));
    }

    #[test]
    fn keys_differ_from_process_to_process() {
        assert_ne!(KeyTable::default().key("session"), KeyTable::default().key("session"));
    }
}
