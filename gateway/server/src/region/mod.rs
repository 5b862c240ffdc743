//! Watching the regions of each pool: probes ask, core judges, and the route of the pool follows.

mod agent;
mod asking;
mod database;
mod event;
mod http;
mod memory;
mod messages;
mod metrics;
mod odoo;
mod orders;
mod patroni;
mod pool;
mod postgres;
mod report;
mod seen;
mod share;
mod traffic;
mod vote;
mod warm_up;
mod watch;
mod word;

pub use memory::{Draining, Memory, Pin};
pub use metrics::RegionMetrics;
pub use orders::{Order, OrderError};
pub use report::{
    BackendReport, DatabaseReport, GatewayReport, MoveReport, NameReport, NodeReport, PoolReport,
    RegionReport, SignalReport,
};
pub use share::Medium;
pub use watch::RegionWatch;
