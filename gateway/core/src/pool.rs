//! Pools: Odoo servers that serve the same databases, in one or more regions.

use crate::certificate::{Certificates, Identity};
use crate::config::Secret;
use crate::health::Cadence;
use crate::host::HostName;
use crate::http_target::HttpTarget;
use crate::odoo::OdooVersion;
use crate::path::NormalPath;
use crate::region::{FailoverPolicy, Freeze, RegionIndex};
use crate::rpc::RpcRoute;
use crate::traffic::{BackendPort, TrafficClass};
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU16;
use core::time::Duration;

/// Most backends that one region of a pool may have.
pub const BACKENDS_PER_REGION_MAX: usize = 64;

/// Place of a pool in its config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PoolIndex(pub u16);

/// A site that serves traffic, or stands by to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Name, unique.
    pub name: Box<str>,
    /// Whether the region only takes over from another.
    pub standby: bool,
}

/// Odoo servers that serve the same databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Name, unique.
    pub name: Box<str>,
    /// Version that all backends of the pool run.
    pub odoo_version: OdooVersion,
    /// How Odoo is told the database.
    pub database_selection: DatabaseSelection,
    /// Whether stateless routes get `X-Odoo-Database` (Odoo 19.0 and later).
    pub database_header: bool,
    /// Backends that one tenant is spread over inside a region; Odoo loads a registry per tenant and process.
    pub backends_per_tenant: u8,
    /// What the session cookie says to browsers.
    pub session_cookie: SessionCookie,
    /// Folder that holds the filestore of each database, for files that Odoo lets the gateway send.
    pub filestore: Option<Box<str>>,
    /// Starts of paths whose bodies are passed on as they come, both ways.
    pub stream_paths: Box<[Box<str>]>,
    /// TLS towards the backends; `None`: plain HTTP.
    pub tls: Option<BackendTls>,
    /// Clocks of page, RPC and other HTTP traffic.
    pub http: Timeouts,
    /// Clocks of longpolling.
    pub longpolling: Timeouts,
    /// Clocks of websockets.
    pub websocket: WebsocketTimeouts,
    /// How servers are watched; `None` when they are not.
    pub health: Option<HealthProbes>,
    /// Who is asked about each backend beside Odoo.
    pub agent: Option<Agent>,
    /// A user that logs in to see whether Odoo works.
    pub login: Option<LoginProbe>,
    /// TLS towards the PostgreSQL servers; `None`: they are asked in the clear.
    pub postgres_tls: Option<PostgresTls>,
    /// How the pool moves between regions.
    pub failover: FailoverPolicy,
    /// Times in which it does not move by itself.
    pub freezes: Box<[Freeze]>,
    /// Backends by region, in the order of the config's `regions`.
    pub regions: Vec<PoolRegion>,
}

impl Pool {
    /// Whether the bodies of a request are passed on as they come. Calls whose bodies name a database never are: they
    /// have to be read to their end first.
    #[must_use]
    pub fn streams(&self, class: TrafficClass, path: &NormalPath<'_>) -> bool {
        let listed = || {
            let route = path.without_language();
            self.stream_paths.iter().any(|start| route.starts_with(start.as_bytes()))
        };
        match class.port() {
            BackendPort::Gevent => true,
            BackendPort::Http if self.stream_paths.is_empty() => false,
            BackendPort::Http => listed() && RpcRoute::of(self.odoo_version, path.as_bytes()).is_none(),
        }
    }

    /// Whether it is known how many requests each backend serves at once.
    #[must_use]
    pub fn knows_workers(&self) -> bool {
        let near = self.regions.iter().filter(|region| region.gateways.is_none());
        near.flat_map(|region| &region.backends).all(|backend| backend.workers().is_some())
    }

    /// Names that lead to backends.
    pub fn names(&self) -> impl Iterator<Item = &HostName> {
        self.regions.iter().flat_map(|region| &region.backends).filter_map(BackendPlace::name)
    }

    /// Whether the servers of a region are reached through the gateways there.
    #[must_use]
    pub fn is_far(&self, region: RegionIndex) -> bool {
        self.regions.get(region).is_some_and(|region| region.gateways.is_some())
    }

    /// TLS towards who is asked in a region; `None`: plain HTTP.
    #[must_use]
    pub fn tls_of<'a>(&'a self, region: &'a PoolRegion) -> Option<&'a BackendTls> {
        region.gateways.as_ref().or(self.tls.as_ref())
    }

    /// Place of the region that serves where nothing else is known: the first that is no standby, in the order of the
    /// config's `regions`.
    #[must_use]
    pub fn home(&self) -> RegionIndex {
        self.regions.iter().position(|region| !region.standby).unwrap_or(0)
    }
}

/// TLS towards the backends of a pool. Both ports of a backend speak it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BackendTls {
    /// Name that backends are asked for (SNI), and that their certificates must hold.
    pub server_name: HostName,
    /// Authorities that backends' certificates must come from.
    pub authorities: Certificates,
    /// What the gateway shows to backends that ask who it is.
    pub client: Option<Identity>,
}

/// TLS towards the PostgreSQL servers of a pool. Each has to show a certificate for the host that its URL names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PostgresTls {
    /// Authorities that the servers' certificates must come from.
    pub authorities: Certificates,
    /// What the gateway shows to servers that ask who it is.
    pub client: Option<Identity>,
}

/// How Odoo is told which database a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseSelection {
    /// `X-Odoo-dbfilter: ^acme$`, read by OCA's server-wide module `dbfilter_from_header`. Any host name works.
    DbfilterHeader,
    /// Odoo's own `--db-filter` decides by the host; nothing is sent.
    Host,
    /// The servers have one database; nothing is sent.
    Fixed,
}

impl DatabaseSelection {
    /// As the config writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DbfilterHeader => "dbfilter_header",
            Self::Host => "host",
            Self::Fixed => "fixed",
        }
    }
}

/// What the gateway adds to Odoo's `session_id` cookie, which has neither flag of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCookie {
    /// Adds `Secure`.
    pub secure: bool,
    /// Adds `SameSite`.
    pub same_site: Option<SameSite>,
}

/// `SameSite` of a cookie (RFC 6265bis, section 4.1.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// `Lax`
    Lax,
    /// `Strict`
    Strict,
    /// `None`
    None,
}

impl SameSite {
    /// The attribute's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }
}

/// Clocks of an HTTP exchange with a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to be made.
    pub connect: Duration,
    /// Between two reads of an answer. Longer than Odoo's `limit_time_real`.
    pub read: Duration,
    /// Between two writes of a request.
    pub write: Duration,
}

/// Clocks of a websocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebsocketTimeouts {
    /// For a connection to be made.
    pub connect: Duration,
    /// For the backend's answer to the handshake.
    pub handshake: Duration,
    /// Without a byte either way. Odoo pings after 45 s at the latest (55 s in 19.0).
    pub idle: Duration,
}

/// How the servers of a pool are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthProbes {
    /// Odoo's HTTP port.
    pub http: Cadence,
    /// Odoo's gevent port.
    pub gevent: Cadence,
    /// The database.
    pub database: Cadence,
    /// What requests of clients met.
    pub traffic: Cadence,
    /// How late answers to clients begin.
    pub latency: Cadence,
    /// From a server's return until it takes its whole share.
    pub slow_start: Duration,
    /// For how long at most a server that came back is asked for a page of each tenant before it serves.
    pub warm_up: Duration,
}

/// Who is asked about a backend beside Odoo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// What is asked.
    pub question: AgentQuestion,
    /// How it is asked.
    pub cadence: Cadence,
}

/// A user of Odoo that logs in to see whether it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginProbe {
    /// Database.
    pub database: Box<str>,
    /// Login of the user.
    pub user: Box<str>,
    /// Its password, or an API key.
    pub password: Secret,
    /// Whether it also writes something.
    pub write: bool,
    /// How it is asked; the timeout is for all answers of one login.
    pub cadence: Cadence,
}

/// Something that a region needs to take over, beside its database and its backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionCheck {
    /// Name, unique in the region.
    pub name: Box<str>,
    /// What is asked.
    pub question: CheckQuestion,
    /// How it is asked.
    pub cadence: Cadence,
}

/// How a region is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckQuestion {
    /// A URL: a status from 200 to 299 says that it is well.
    Http(HttpTarget),
    /// A program and its arguments, run by the gateway: its exit status 0 says that it is well.
    Command(Box<[Box<str>]>),
}

/// What an agent is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentQuestion {
    /// A path, over plain HTTP at the address of the backend: a status from 200 to 299 says that it is well.
    Http {
        /// Port.
        port: u16,
        /// Path and query.
        path: Box<str>,
    },
    /// A program and its arguments, run by the gateway: its exit status 0 says that the backend is well.
    Command(Box<[Box<str>]>),
}

/// The backends of a pool in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRegion {
    /// Name of the region.
    pub name: Box<str>,
    /// Whether the region only takes over from another.
    pub standby: bool,
    /// At least one, at most [`BACKENDS_PER_REGION_MAX`].
    pub backends: Vec<BackendPlace>,
    /// TLS towards gateways of the site, which stand in `backends` in place of its Odoo servers; `None`: the servers are
    /// reached from here.
    pub gateways: Option<BackendTls>,
    /// Who says whether the region's database takes writes.
    pub database: Option<DatabaseSource>,
    /// What else it needs to take over.
    pub checks: Box<[RegionCheck]>,
}

/// Who is asked whether the database of a region takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseSource {
    /// The PostgreSQL server itself, at a URL with whatever password it holds.
    Postgres(Secret),
    /// Members of a cluster that Patroni manages, at their REST APIs.
    Patroni(Box<[HttpTarget]>),
    /// The gateways of the site, which ask it themselves.
    Gateways,
}

/// Where the config says that backends are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackendPlace {
    /// One server, at addresses.
    Fixed(Backend),
    /// A server at each address that a name leads to.
    Named {
        /// Name in DNS.
        name: HostName,
        /// Odoo's `http_port`.
        http: u16,
        /// Odoo's `gevent_port`; equal to `http` when Odoo runs without workers.
        websocket: u16,
        /// Requests that each server serves at once, where that is known.
        workers: Option<NonZeroU16>,
    },
}

impl BackendPlace {
    /// Name that leads there, if it is one.
    #[must_use]
    pub const fn name(&self) -> Option<&HostName> {
        match self {
            Self::Fixed(_) => None,
            Self::Named { name, .. } => Some(name),
        }
    }

    /// Requests that each server serves at once, where that is known.
    #[must_use]
    pub const fn workers(&self) -> Option<NonZeroU16> {
        match self {
            Self::Fixed(Backend { workers, .. }) | Self::Named { workers, .. } => *workers,
        }
    }

    /// The server at an address that the name leads to.
    #[must_use]
    pub const fn at(&self, address: IpAddr) -> Backend {
        match self {
            Self::Fixed(backend) => *backend,
            Self::Named { http, websocket, workers, .. } => Backend {
                http: SocketAddr::new(address, *http),
                websocket: SocketAddr::new(address, *websocket),
                workers: *workers,
            },
        }
    }
}

impl core::fmt::Display for BackendPlace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Fixed(backend) => backend.http.fmt(f),
            Self::Named { name, http, .. } => write!(f, "{name}:{http}"),
        }
    }
}

/// One Odoo server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backend {
    /// Odoo's `http_port`.
    pub http: SocketAddr,
    /// Odoo's `gevent_port`; equal to `http` when Odoo runs without workers.
    pub websocket: SocketAddr,
    /// Requests that it serves at once, where that is known.
    pub workers: Option<NonZeroU16>,
}
