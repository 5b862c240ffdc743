//! Choices that look random and follow from a seed.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// The series of one visit.
    pub(super) fn of(seed: u64, visit: u64) -> Self {
        let mut dice = Self(seed ^ visit.wrapping_mul(0xd129_0d3e_c3b5_8a6b));
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.roll() % end).unwrap_or_default()
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of some, which are not none.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        match of.get(self.below(of.len())) {
            Some(picked) => *picked,
            None => panic!("nothing to pick from"),
        }
    }
}
