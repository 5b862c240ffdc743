//! Watching the regions of each pool: probes ask, core judges, and the route of the pool follows.

mod agent;
mod anchors;
mod asking;
mod check;
mod database;
mod event;
mod gateways;
mod http;
mod login;
mod memory;
mod messages;
mod metrics;
mod next;
mod odoo;
mod orders;
mod patroni;
mod pool;
mod postgres;
mod readings;
mod report;
mod seen;
mod share;
mod shelf;
mod tls;
mod traffic;
mod vote;
mod warm_up;
mod watch;
mod word;

pub use memory::{Draining, Memory, Pin};
pub use metrics::RegionMetrics;
pub use orders::{Order, OrderError};
pub use report::{
    BackendReport, CheckReport, DatabaseReport, GatewayReport, LoginReport, MoveReport, NameReport,
    NodeReport, OverruledReport, PoolReport, RegionReport, SignalReport,
};
pub use share::Medium;
pub use watch::RegionWatch;
