//! Tenants as written.

use super::address::Network;
use super::collection::{Choice, List, OneOf};
use super::value::{FilePath, Lasting, Name, Sentence, text_schema};
use super::{GuardsEntry, LimitsEntry};
use crate::config::read::{At, Text, section};
use crate::host::{HostName, HostPattern};
use crate::tenant::NameTemplate;
use std::borrow::Cow;

/// Most hosts of one tenant.
const HOSTS_MAX: usize = 1000;
/// Most networks that a tenant under maintenance still serves.
const ALLOWED_NETWORKS_MAX: usize = 1000;

section! {
    /// One Odoo database and the hosts it answers to.
    pub(in crate::config) struct TenantEntry {
        /// Stable name of the tenant, unique: it labels metrics and log lines. With `*.suffix` hosts it may hold
        /// `{1}`, the label that the star matched; one entry then stands for as many tenants as there are labels.
        id: At<IdText>,
        /// Hosts that the tenant answers to: exact names, or `*.suffix` for every name one label longer. Case,
        /// port and a trailing dot do not matter. A host belongs to one tenant; an exact name wins over a star.
        hosts: At<List<At<Host>, 1, HOSTS_MAX>>,
        /// One of the exact hosts. Page requests to the others are redirected to it.
        canonical_host: Option<At<CanonicalHost>> = null,
        /// Odoo database. Left out, it is the id. May hold `{1}` as the id may.
        database: Option<At<DatabaseText>> = null,
        /// Pool whose backends serve the database. May be left out when there is one pool.
        pool: Option<At<Name>> = null,
        /// `active`: served. `suspended`: answered with a page that says so, and open websockets are closed.
        /// `maintenance`: answered with a page and `Retry-After`, but for the networks that `maintenance` allows.
        state: OneOf<StateWord> = "active",
        /// What is said while the state is `maintenance`; it may stay here at other times.
        #[schemars(extend("x-default" = "its defaults"))]
        maintenance: Option<MaintenanceEntry> = null,
        /// Plan whose [limits](limits.md) count for the tenant.
        #[schemars(extend("x-default" = "no limits"))]
        plan: Option<At<Name>> = null,
        /// Limits of this tenant, where they differ from those of its plan.
        #[schemars(extend("x-default" = "those of the plan"))]
        limits: Option<At<LimitsEntry>> = null,
        /// Asks clients for a certificate, on listeners with `tls`.
        client_certificates: Option<ClientCertificatesEntry> = null,
        /// Settings of guards for this tenant, where they differ from those of its pool.
        #[schemars(extend("x-default" = "those of the pool"))]
        guards: Option<GuardsEntry> = null,
    }
}

section! {
    /// What a tenant asks of the certificates of its clients.
    pub(in crate::config) struct ClientCertificatesEntry {
        /// File with the certificates of the authorities that they must come from, in PEM. Those of other tenants count
        /// for nothing. Relative paths start at the folder of the main file.
        ca: At<FilePath>,
        /// Whether nobody is served without one. `false`: the access log, and Odoo if you like, learn who comes with
        /// one, and all others are served too.
        required: bool = true,
        /// Tells Odoo the verified certificate in the field `Client-Cert` (RFC 9440). Nobody else can send it.
        forward: bool = false,
    }
}

section! {
    /// What a tenant under maintenance answers.
    pub(in crate::config) struct MaintenanceEntry {
        /// How long clients are told to wait before they try again.
        retry_after: Lasting<1_000, 604_800_000> = "10m",
        /// A sentence for people, shown on the page.
        message: Option<Sentence<500>> = null,
        /// Client networks that are served all the same.
        allow: List<Network, 0, ALLOWED_NETWORKS_MAX> = [],
    }
}

/// A tenant id.
#[derive(Debug)]
pub(in crate::config) struct IdText(pub(in crate::config) NameTemplate);

impl Text for IdText {
    fn expected() -> Cow<'static, str> {
        "at most 128 letters, digits, `-`, `_` and `.` that start with a letter or digit, such as `acme`, or `{1}` in \
         their place"
            .into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        NameTemplate::tenant_id(text).map(Self).map_err(|error| error.to_string())
    }
}

/// A database name.
#[derive(Debug)]
pub(in crate::config) struct DatabaseText(pub(in crate::config) NameTemplate);

impl Text for DatabaseText {
    fn expected() -> Cow<'static, str> {
        "at most 63 letters, digits, `-`, `_` and `.` that start with a letter or digit, such as `acme`, `{1}` or \
         `prod_{1}`"
            .into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        NameTemplate::database(text).map(Self).map_err(|error| error.to_string())
    }
}

/// A host of a tenant.
#[derive(Debug)]
pub(in crate::config) struct Host(pub(in crate::config) HostPattern);

impl Text for Host {
    fn expected() -> Cow<'static, str> {
        "a host name without a port, such as `acme.example.com`, `*.example.com` or `[fd00::1]`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        HostPattern::parse(text).map(Self).map_err(|error| error.to_string())
    }
}

/// The host that all others lead to.
#[derive(Debug)]
pub(in crate::config) struct CanonicalHost(pub(in crate::config) HostName);

impl Text for CanonicalHost {
    fn expected() -> Cow<'static, str> {
        "one of the entry's exact hosts".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        HostName::parse(text).map(Self).map_err(|error| error.to_string())
    }
}

text_schema! {
    IdText;
    DatabaseText;
    Host;
    CanonicalHost;
}

/// A state as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum StateWord {
    Active,
    Suspended,
    Maintenance,
}

impl Choice for StateWord {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("active", Self::Active), ("suspended", Self::Suspended), ("maintenance", Self::Maintenance)];
}
