//! Numbers that a seed decides.

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub(crate) const fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    /// Which of so many.
    pub(crate) fn pick(&mut self, sides: usize) -> usize {
        let sides = u64::try_from(sides).unwrap_or(1);
        usize::try_from(self.roll(sides)).unwrap_or(0)
    }

    /// A number above 0 and below 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        let part = u32::try_from(self.roll(1 << 32)).unwrap_or(u32::MAX);
        (f64::from(part) + 0.5) / f64::from(u32::MAX)
    }
}
