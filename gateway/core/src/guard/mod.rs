//! Guards: what no client may ask of Odoo from outside, decided without state from a request's head.
//!
//! Each file is one guard. All are on by default but [`crawler_traps`], and each can be set for the whole fleet, for a
//! pool and for a tenant. What a guard cannot decide it refuses.

mod addresses;
mod body_size;
mod crawler_traps;
pub(crate) mod database_manager;
mod database_names;
mod debug_routes;
mod filestore;
mod job_runners;
mod oauth_state;
mod query;
mod reading;

pub use addresses::{ClassNetworks, allows};
pub use body_size::{BodyLength, BodySizes};
pub use crawler_traps::CrawlerTraps;
pub use database_names::DatabaseNames;

use crate::odoo::OdooVersion;
use crate::path::NormalPath;
use crate::rejection::Rejection;
use crate::rpc::RpcSettings;
use crate::tenant::TenantMatch;
use crate::traffic::TrafficClass;
use core::net::IpAddr;
use ipnet::IpNet;

/// A guard by name: why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Guard {
    /// Pages that create, copy, drop and download whole databases, and the list of them.
    DatabaseManager,
    /// Pages for developers, and uploads of code.
    DebugRoutes,
    /// Routes that run queued jobs for whoever asks.
    JobRunners,
    /// Odoo's name for files that a proxy sends on its behalf.
    Filestore,
    /// Names of databases anywhere but in the host.
    DatabaseNames,
    /// Client addresses per traffic class.
    Addresses,
    /// Endless combinations of filters on public pages.
    CrawlerTraps,
}

impl Guard {
    /// Every guard.
    pub const ALL: [Self; 7] = [
        Self::DatabaseManager,
        Self::DebugRoutes,
        Self::JobRunners,
        Self::Filestore,
        Self::DatabaseNames,
        Self::Addresses,
        Self::CrawlerTraps,
    ];

    /// Name in logs and metrics; never changes. All but `filestore` are keys of `guards` in the config.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DatabaseManager => "database_manager",
            Self::DebugRoutes => "debug_routes",
            Self::JobRunners => "job_runners",
            Self::Filestore => "filestore",
            Self::DatabaseNames => "database_names",
            Self::Addresses => "allow",
            Self::CrawlerTraps => "crawler_traps",
        }
    }

    /// What an operator is told about a refused request.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::DatabaseManager => {
                "the database manager is for the networks of `guards.database_manager.allow`, and the client is in none"
            }
            Self::DebugRoutes => {
                "routes for developers are for the networks of `guards.debug_routes.allow`, and the client is in none"
            }
            Self::JobRunners => {
                "job runners are for the networks of `guards.job_runners.allow`, and the client is in none"
            }
            Self::Filestore => "files of the filestore are sent on Odoo's word and never asked for by name",
            Self::DatabaseNames => {
                "the request names a database beside its host, and not clearly the tenant's own (`guards.database_names`)"
            }
            Self::Addresses => {
                "the traffic class is for the networks of `guards.allow`, and the client is in none"
            }
            Self::CrawlerTraps => {
                "the page has more filters than `guards.crawler_traps` lets anybody combine"
            }
        }
    }

    /// The answer. Routes that should not be found are 404, the rest is 403.
    #[must_use]
    pub const fn rejection(self) -> Rejection {
        match self {
            Self::DatabaseManager | Self::DebugRoutes | Self::JobRunners | Self::Filestore => {
                Rejection::GuardHidden(self)
            }
            Self::DatabaseNames | Self::Addresses | Self::CrawlerTraps => Rejection::GuardDenied(self),
        }
    }
}

/// Place of a tenant's settings in [`Fleet::guards`](crate::config::Fleet::guards). The first are the fleet's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct GuardsIndex(pub u32);

/// Settings of all guards. Equal ones are stored once, however many tenants have them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Guards {
    /// Who may use the database manager.
    pub database_manager: Vec<IpNet>,
    /// Who may use routes for developers.
    pub debug_routes: Vec<IpNet>,
    /// Who may run jobs.
    pub job_runners: Vec<IpNet>,
    /// Which databases a request may name.
    pub database_names: DatabaseNames,
    /// Who may send requests of a class.
    pub allow: ClassNetworks,
    /// Longest bodies.
    pub body_size_max: BodySizes,
    /// Bounds on filters of public pages.
    pub crawler_traps: CrawlerTraps,
    /// What programs may call; held against bodies by [`crate::rpc`].
    pub rpc: RpcSettings,
}

/// What applies where nothing is configured.
static DEFAULT: Guards = Guards::new();

impl Guards {
    /// What applies where nothing is configured.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            database_manager: Vec::new(),
            debug_routes: Vec::new(),
            job_runners: Vec::new(),
            database_names: DatabaseNames::Own,
            allow: ClassNetworks::EVERYBODY,
            body_size_max: BodySizes::DEFAULT,
            crawler_traps: CrawlerTraps::OFF,
            rpc: RpcSettings::NONE,
        }
    }

    /// The settings at a place; the defaults, which refuse most, when there are none.
    #[must_use]
    pub fn at(all: &[Self], index: GuardsIndex) -> &Self {
        usize::try_from(index.0).ok().and_then(|index| all.get(index)).unwrap_or(&DEFAULT)
    }

    /// Lets a request pass, and says how long its body may be in bytes.
    ///
    /// # Errors
    /// The answer to a request that does not pass.
    pub fn check(&self, asked: &Asked<'_>) -> Result<u64, Rejection> {
        let hidden = reading::hidden_route(asked.path.as_bytes());
        if let Some(guard) = hidden
            && !self.opens(guard, asked.client)
        {
            return Err(guard.rejection());
        }
        let asks_manager =
            hidden != Some(Guard::DatabaseManager) && database_manager::is_asked_by(asked.query);
        let refused = if asks_manager {
            Some(Guard::DatabaseManager)
        } else if self.database_names == DatabaseNames::Own && !database_names::all_own(asked) {
            Some(Guard::DatabaseNames)
        } else if !self.allow.allows(asked.class, asked.client) {
            Some(Guard::Addresses)
        } else if self.crawler_traps.catches(asked.path.without_language(), asked.query) {
            Some(Guard::CrawlerTraps)
        } else {
            None
        };
        match refused {
            Some(guard) => Err(guard.rejection()),
            None => self.body_size_max.check(asked, hidden),
        }
    }

    /// Whether a hidden route is open to a client.
    fn opens(&self, guard: Guard, client: IpAddr) -> bool {
        match guard {
            Guard::DatabaseManager => allows(&self.database_manager, client),
            Guard::DebugRoutes => allows(&self.debug_routes, client),
            Guard::JobRunners => allows(&self.job_runners, client),
            Guard::Filestore | Guard::DatabaseNames | Guard::Addresses | Guard::CrawlerTraps => false,
        }
    }
}

impl Default for Guards {
    fn default() -> Self {
        Self::new()
    }
}

/// A request as guards see it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The tenant of the host.
    pub found: TenantMatch<'a, 'a>,
    /// What Odoo runs.
    pub version: OdooVersion,
    /// What the request is for.
    pub class: TrafficClass,
    /// Path.
    pub path: &'a NormalPath<'a>,
    /// Raw query, without the question mark; empty when there is none.
    pub query: &'a [u8],
    /// Whether the method is GET or HEAD.
    pub safe_method: bool,
    /// What the head says about the body.
    pub body: BodyLength,
    /// The client, behind any trusted proxies.
    pub client: IpAddr,
}

#[cfg(test)]
mod tests;
