//! The way of a request through Pingora's phases.

mod admit;
mod answer;
mod certificate;
mod collect;
mod connect;
mod context;
mod cookies;
mod exchange;
mod far;
mod filestore;
mod forward;
mod headers;
mod hop;
mod kept;
mod limit;
mod live;
mod lost;
mod permit;
mod record;
mod region;
mod relay;
mod rpc;
mod service;
mod target;
mod tunnel;
mod websocket;

pub use connect::BackendConnections;
pub use context::RequestContext;
pub use service::{Gateway, GatewayState};
pub use tunnel::{DrainSchedule, Tunnel};
