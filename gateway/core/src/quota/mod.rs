//! Quotas: what a tenant may use up in a period, and what happens as it does.
//!
//! Usage is counted in totals that only grow, one per [`Meter`]. A quota remembers where its period began on that scale
//! ([`Balance`]), so counting is one addition whatever quotas there are, and a change of a limit forgets nothing.
//! [`assess`] says what follows from the totals, and up to which totals and moments that stays true: until then nobody
//! has to ask again.

mod assess;
mod balance;
mod calendar;
mod elsewhere;
mod grant;
mod meter;
mod rolling;
mod terms;
#[cfg(test)]
mod tests;

pub use assess::{Assessment, Exhausted, Fired, Ledger, assess};
pub use balance::{Balance, BalanceRecord, Closed};
pub use calendar::{Calendar, Period, Periods, Span};
pub use elsewhere::NodeUse;
pub use grant::Grant;
pub use meter::{Meter, QuotaKey, Totals};
pub use terms::{Quota, QuotaTerms, Stage, Threshold};
