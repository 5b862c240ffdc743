//! How many workers a tenant, and long work, may hold at once.

/// Bounds that follow from a number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    workers: u32,
}

impl Shares {
    /// The bounds for so many workers.
    #[must_use]
    pub const fn of(workers: u32) -> Self {
        Self { workers }
    }

    /// Workers that one tenant may hold with requests of a kind.
    ///
    /// Alone it may hold them all with short work, because who comes next waits for a short time only. While others are
    /// there, or were a moment ago, half of them with long work, and three of four with short work.
    #[must_use]
    pub fn of_tenant(self, long: bool, alone: bool) -> u32 {
        match (long, alone) {
            (false, true) => self.workers.max(1),
            (false, false) => self.without(4),
            (true, true) => self.without(8),
            (true, false) => self.without(2),
        }
    }

    /// Workers that all long work together may hold: it never takes the last of several.
    #[must_use]
    pub fn of_long_work(self, alone: bool) -> u32 {
        self.without(if alone { 8 } else { 4 })
    }

    /// All but one of `parts`, rounded in favour of those who come next; one at least.
    fn without(self, parts: u32) -> u32 {
        self.workers.saturating_sub(self.workers.div_ceil(parts.max(1))).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_else_always_finds_a_worker_but_where_there_is_one_only() {
        for workers in 2..=1_000 {
            let shares = Shares::of(workers);
            for long in [false, true] {
                let of_tenant = shares.of_tenant(long, false);
                assert!((1..workers).contains(&of_tenant), "{workers}");
            }
            for alone in [false, true] {
                assert!((1..workers).contains(&shares.of_long_work(alone)), "{workers}");
                assert!((1..=workers).contains(&shares.of_tenant(true, alone)), "{workers}");
            }
            assert_eq!(shares.of_tenant(false, true), workers, "a tenant alone uses what there is");
        }
        for workers in [0, 1] {
            assert_eq!(
                Shares::of(workers).of_tenant(true, false),
                1,
                "who may come next has to come some day"
            );
        }
    }

    #[test]
    fn eight_workers_are_shared_as_the_documents_say() {
        let shares = Shares::of(8);
        assert_eq!((shares.of_tenant(false, false), shares.of_tenant(true, false)), (6, 4));
        assert_eq!((shares.of_tenant(false, true), shares.of_tenant(true, true)), (8, 7));
        assert_eq!((shares.of_long_work(false), shares.of_long_work(true)), (6, 7));
    }
}
