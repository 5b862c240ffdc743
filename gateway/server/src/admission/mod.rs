//! Permits for the workers of pools. Core's scheduler decides whom they are given to; here is the lock around it, the
//! clock, and those who wait. The lock is held for a moment and never while anything waits.

mod permit;
mod pool;

pub use permit::{Permit, Waiting};
pub use pool::{Asked, PoolAdmission};

#[cfg(test)]
mod tests;
