//! Which region of a pool serves, and when that changes.
//!
//! The rule above all others: requests go where writes are taken, and nowhere else. A database that was promoted is
//! followed, whoever promoted it; one that was not is never served, whatever its servers say; and where two sides
//! take writes at once, both are fenced until a person or the databases themselves have settled it.

mod agreement;
mod entry;
mod judge;
mod observers;
mod policy;
mod verdict;
mod word;

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "arrays of a fixed size, by places below it")]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;

pub use agreement::{Heard, LEASE, Quorum};
pub use entry::{Entry, HELD_MAX};
pub use judge::{DEAD_FOR, Judge, Led, Move, MoveCause, Route, region_of};
pub use observers::{Sight, merge};
pub use policy::{FailoverMode, FailoverPolicy, Freeze};
pub use verdict::{NotReady, RegionState, RegionVerdict};
pub use word::{DatabaseWord, FarWord, GATEWAYS_HOST, RegionWord, pool_of_path, word_path};

/// Place of a region in the list of a pool's regions.
pub type RegionIndex = usize;
