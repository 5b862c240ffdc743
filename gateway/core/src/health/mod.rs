//! What probes say about backends and databases, and when it is believed.
//!
//! A standby looks healthy to every URL of Odoo: on an unpromoted PostgreSQL standby, Odoo 19.0 answers
//! `/web/health?db_server_status=1` with 200. So health has several signals that are damped each for itself, and
//! nothing is concluded from silence: a probe that did not run says nothing.

mod backend;
mod cadence;
mod damping;
mod database;
mod login;
mod replication;
mod traffic;

pub use backend::{BackendHealth, BackendSignal, BackendVerdict};
pub use cadence::{Cadence, Doubt, Question, Rounds};
pub use damping::{Damped, Damping, Reading, Standing};
pub use database::{Database, DatabaseReading, DatabaseVerdict, Instance, Role};
pub use login::LoginVerdict;
pub use replication::{Following, Replication, Slot, SlotWal, Trail, following};
pub use traffic::{PACES, Pace, TenantSet, Traffic, compare, is_tried_again};

/// Time since the process started, from a clock that never goes back.
pub type Moment = core::time::Duration;
