//! Tenants: one Odoo database each, and the hosts it answers to.

mod hosts;
mod name;
mod table;

pub use name::{DatabaseName, NameError, NameTemplate, TenantId};
pub use table::{HostTaken, TenantIndex, TenantMatch, TenantTable, TenantTableBuilder};

use crate::client_certificate::ClientCertificatesIndex;
use crate::guard::GuardsIndex;
use crate::host::HostName;
use crate::limit::LimitsIndex;
use crate::pool::PoolIndex;
use ipnet::IpNet;

/// One entry of the tenant list. An entry with a `*.suffix` host stands for as many tenants as there are labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Stable name of the tenant; may hold `{1}`, the label that the star matched.
    pub id: NameTemplate,
    /// Odoo database; may hold `{1}`.
    pub database: NameTemplate,
    /// Pool whose backends serve the database.
    pub pool: PoolIndex,
    /// Host that all other hosts of this tenant redirect to.
    pub canonical_host: Option<HostName>,
    /// Whether requests are served.
    pub state: TenantState,
    /// Settings of its guards.
    pub guards: GuardsIndex,
    /// What it may use.
    pub limits: LimitsIndex,
    /// What it asks of its clients' certificates.
    pub client_certificates: ClientCertificatesIndex,
    /// Where the entry was written.
    pub origin: Origin,
}

/// Where an entry of the config was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// Place of the file in the fleet's list of files.
    pub file: u32,
    /// Line, from 1.
    pub line: u32,
}

/// Whether a tenant's requests are served.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TenantState {
    /// Served.
    #[default]
    Active,
    /// Not served until an operator changes it.
    Suspended,
    /// Not served for now, but to some addresses.
    Maintenance(Box<Maintenance>),
}

/// What a tenant under maintenance answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// Seconds that clients are told to wait before they try again.
    pub retry_after_seconds: u32,
    /// A sentence for people, shown on the page.
    pub message: Option<Box<str>>,
    /// Client networks that are served all the same.
    pub allow: Vec<IpNet>,
}
