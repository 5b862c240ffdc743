//! Inputs without a fuzzer: documents of a corpus, changed at random but the same in every run.

/// Numbers that look random (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below a bound; 0 if the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let high = usize::try_from(self.next() >> 33).unwrap_or(0);
        high.checked_rem(bound).unwrap_or(0)
    }

    /// Whether one of so many chances came true.
    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    /// One of a list.
    pub fn of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }
}

/// Longest input that is made.
const BYTES_MAX: usize = 16 * 1024;

/// Changes bytes a few times: single bytes, runs that go, come twice or move, words of the format, parts of another
/// document.
pub fn mutate(random: &mut Random, input: &mut Vec<u8>, words: &[&str], other: &[u8]) {
    for _ in 0..random.below(5) {
        let at = random.below(input.len() + 1);
        let end = (at + 1 + random.below(16)).min(input.len());
        match random.below(8) {
            0 if at < input.len() => input[at] = random.byte(),
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 if at < end => drop(input.drain(at..end)),
            3 if at < end => {
                let run = input[at..end].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, run);
            }
            4 => {
                let from = random.below(other.len() + 1);
                let to = (from + random.below(64)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            5 if random.one_in(4) => input.truncate(at),
            _ => {
                let word = random.of(words).copied().unwrap_or_default();
                input.splice(at..at, word.bytes());
            }
        }
    }
    input.truncate(BYTES_MAX);
}
