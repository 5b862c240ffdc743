//! Certificates by ACME (RFC 8555): which names need one, and when to ask for it. The server asks.
//!
//! A name that cannot be had waits longer after each failure, and no other name waits with it. What is asked for in all
//! is bounded by a [`Ledger`], because servers of ACME close the door on whoever asks too often.

mod attempt;
mod challenge;
mod domain;
mod ledger;
mod moment;
mod renewal;
mod unwanted;
mod wanted;

pub use attempt::{Failure, Failures};
pub use challenge::Challenge;
pub use domain::registered_domain;
pub use ledger::{Budget, Ledger, Ordered};
pub use moment::Moment;
pub use renewal::{Lifetime, Seed, Window, renewal};
pub use unwanted::Unwanted;
pub use wanted::{Wanted, wanted};
