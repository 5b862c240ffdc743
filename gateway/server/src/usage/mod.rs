//! What tenants use, kept so that no end of the process forgets it.
//!
//! A request is written down before the first byte of its answer leaves, by one call that costs half a microsecond: what
//! the kernel has taken outlives the process. Once a second it is brought to disk: a loss of power takes no more than that.

mod act;
mod books;
mod charge;
mod claim;
mod delivery;
mod files;
mod journal;
mod message;
mod opening;
mod record;
mod repair;
mod store;
mod tenant;
#[cfg(test)]
mod tests;
mod view;

pub use act::{Act, Deed};
pub use charge::Charge;
pub use claim::{Claim, Claims};
pub use files::UsageError;
pub use message::Message;
pub use opening::Usage;
pub use repair::{Repaired, repair};
pub use store::UsageStore;
pub use tenant::{OverQuota, TenantUsage};
pub use view::{PeriodView, UsageView};
