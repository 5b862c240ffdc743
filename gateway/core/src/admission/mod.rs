//! Admission: who is served next by the few workers of a pool.
//!
//! An Odoo worker serves one request at a time and cannot be interrupted, and Odoo itself serves in the order of
//! arrival, whoever asks: one tenant takes all workers. So requests wait here instead, and as many are let through as
//! there are workers. [`Scheduler`] decides which, for one pool. It is told what happens and when; it does nothing itself.
//!
//! - [`WorkClass`]es share the workers by weight, and lend what they do not use.
//! - Inside a class tenants share by start-time fair queueing (Goyal, Vin, Cheng 1996), with the time of workers as
//!   cost: learnt from what was served ([`RouteGroup`]), corrected when a request ends. Who was idle has no credit.
//! - A tenant holds a part of the workers at most while others are there ([`Shares`]), and some workers are never given
//!   to what takes long: fairness alone would let long work of one tenant hold every worker for as long as it takes.
//! - A route that a tenant was never served on is careful business: it counts as long for its tenant, and for the pool as
//!   what it is for others, or as short, so that it is learnt what it is.
//! - What is known at a start counts, not at the arrival; and what is served for long counts as slow before it ends.
//! - Who would wait too long is refused at once, with the time after which asking again makes sense.

mod arrival;
mod cost;
mod flow;
mod route;
mod scheduler;
mod share;
mod slab;
mod work;

pub use arrival::{Arrival, Decision, Event, Load, Refusal, Shortage, TenantKey, Ticket};
pub use route::RouteGroup;
pub use scheduler::{REQUESTS_WAITING_MAX, Scheduler};
pub use share::Shares;
pub use work::{WorkClass, wait_max};

#[cfg(test)]
mod tests;
