//! The way of a request through Pingora's phases.

mod admit;
mod answer;
mod context;
mod cookies;
mod forward;
mod headers;
mod record;
mod service;
mod target;
mod tunnel;
mod websocket;

pub use context::RequestContext;
pub use service::{Gateway, GatewayState};
pub use tunnel::{DrainSchedule, Tunnel};
