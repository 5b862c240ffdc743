//! Config: as written, checked, and its meaning.
//!
//! [`MainFile::parse`] and [`TenantFile::parse`] read one file each and report all that is wrong with it;
//! [`compile`] puts them together. Nothing here reads a file or the environment: the caller passes
//! text and [`References`] in.

mod acme;
mod authorities;
mod compile;
mod connections;
mod dns_zone;
mod file;
mod guards;
mod health;
mod limits;
mod listen;
mod main_file;
mod model;
mod nodes;
mod passthrough;
mod pools;
mod problem;
mod quotas;
mod read;
mod redis;
mod reference;
mod restart;
mod schema;
mod settle;
mod suggest;
mod tenants;
#[cfg(test)]
mod tests;
mod yaml;

pub use acme::{Acme, ExternalAccount};
pub use compile::{Compiled, compile};
pub use connections::Connections;
pub use dns_zone::{DnsZone, TsigAlgorithm};
pub use listen::{ListenAddress, UnixListen, UnixTrust};
pub use main_file::MainFile;
pub use model::{
    Drain, Fleet, GatewayConfig, ListenerConfig, ListenerTls, Observe, PassthroughRoute, ProcessConfig,
    Secret, Spool, TlsVersion, Webhook,
};
pub use nodes::{NodeAddress, Nodes};
pub use problem::{Place, Problem, Severity, Spot};
pub use redis::{Redis, RedisServer};
pub use reference::{NoReferences, References};
pub use restart::needs_restart;
pub use schema::{main_schema, tenants_schema};
pub use settle::{Revisions, Running, Settled, settle};
pub use tenants::TenantFile;
