//! The config as written: every key, what it means and what is allowed.
//!
//! The doc comments here become the JSON Schema and the reference in `docs/config.md`.

mod acme;
mod address;
mod collection;
mod connections;
mod dns_zone;
mod guards;
mod health;
mod limits;
mod listener;
mod nodes;
mod pool;
mod quotas;
mod redis;
mod rpc;
mod size;
mod tenant;
mod value;

pub(super) use acme::AcmeEntry;
pub(super) use address::BackendAddress;
pub(super) use collection::{List, Named};
pub(super) use connections::ConnectionsEntry;
pub(super) use dns_zone::DnsZoneEntry;
pub(super) use guards::{ClassNetworksEntry, GuardsEntry, Networks};
pub(super) use health::{
    AgentEntry, CheckEntry, DatabaseHealthEntry, FailoverEntry, FreezeEntry, HealthEntry, LatencyHealthEntry,
    LoginEntry, PortHealthEntry, PostgresUrl, TrafficHealthEntry,
};
pub(super) use limits::{Burst, ClassLimitEntry, ClassLimitsEntry, LimitsEntry, PerSecond, RateEntry};
pub(super) use listener::{ListenerEntry, PassthroughEntry, Place, UnixEntry};
pub(super) use nodes::NodesEntry;
pub(super) use pool::{
    BackendEntry, GatewaysEntry, IdentityEntry, PATRONI_MEMBERS_MAX, PoolEntry, PoolRegionEntry,
    PoolTlsEntry, PostgresTlsEntry,
};
pub(super) use quotas::{QuotaCount, QuotasEntry, Url, WebhookEntry};
pub(super) use redis::RedisEntry;
pub(super) use rpc::{CallNames, RpcEntry};
pub(super) use tenant::{ClientCertificatesEntry, IdText, MaintenanceEntry, StateWord, TenantEntry};
pub(super) use value::Count;

use address::{Network, Server, Socket};
use size::Size;
pub(super) use value::FilePath;
use value::{Folder, Name, SecretText, SocketPath};
pub(super) use value::{Lasting, Whole};

use super::read::{At, Lenient, section};

/// Most addresses to listen on.
const LISTENERS_MAX: usize = 64;
/// Most regions.
pub(super) const REGIONS_MAX: usize = 64;
/// Most pools. A tenant holds the place of its pool in 16 bits.
pub(super) const POOLS_MAX: usize = 1000;
/// Most plans.
pub(super) const PLANS_MAX: usize = 1000;
/// Most networks whose forwarded headers are believed.
const TRUSTED_PROXIES_MAX: usize = 1024;
/// Most zones that may be changed.
const DNS_ZONES_MAX: usize = 1000;
/// Most addresses by which a gateway knows that it is not cut off.
const ANCHORS_MAX: usize = 16;
/// Most servers of DNS that are asked.
const RESOLVERS_MAX: usize = 16;
/// Most tenants in the main file itself; more belong into the tenants directory.
const INLINE_TENANTS_MAX: usize = 100_000;

section! {
    /// The main file, `fleetgate.yaml`.
    pub(in crate::config) struct FileConfig {
        /// Addresses that clients connect to.
        #[schemars(extend("x-applies" = "restart"))]
        listeners: Lenient<List<At<ListenerEntry>, 1, LISTENERS_MAX>>,
        /// Threads that move bytes. More than there are cores does not help.
        #[schemars(extend("x-applies" = "restart", "x-default" = "the number of cores"))]
        threads: Option<Lenient<Whole<1, 256>>> = null,
        /// How many clients may be connected at once, and how slow they may be.
        #[schemars(extend("x-applies" = "restart"))]
        connections: Lenient<ConnectionsEntry> = {},
        /// The admin API.
        #[schemars(extend("x-applies" = "restart"))]
        admin: Lenient<AdminEntry> = {},
        /// A listener for probes and metrics. Without it there is none.
        #[schemars(extend("x-applies" = "restart"))]
        observe: Option<Lenient<ObserveEntry>> = null,
        /// How the process ends without cutting anybody off.
        #[schemars(extend("x-applies" = "restart"))]
        drain: Lenient<DrainEntry> = {},
        /// Where bodies wait until they are whole.
        #[schemars(extend("x-applies" = "restart"))]
        spool: Lenient<SpoolEntry> = {},
        /// Folder for what has to outlast the process. Relative to the folder of the main file. It is made, for this user
        /// alone, when something has to be kept.
        #[schemars(extend("x-applies" = "restart"))]
        state_directory: Lenient<Folder> = "/var/lib/fleetgate",
        /// Zones of DNS that Fleetgate may change, to prove names with `dns-01`.
        #[schemars(extend("x-applies" = "restart"))]
        dns_zones: Lenient<List<DnsZoneEntry, 0, DNS_ZONES_MAX>> = [],
        /// Servers of DNS that are asked where the names of backends lead.
        #[schemars(extend("x-applies" = "restart", "x-default" = "those of the system"))]
        resolvers: Option<Lenient<List<Server, 1, RESOLVERS_MAX>>> = null,
        /// Certificates that are ordered and renewed. Left out, none is.
        #[schemars(extend("x-applies" = "restart"))]
        acme: Option<Lenient<At<AcmeEntry>>> = null,
        /// What [several nodes](nodes.md) share. Left out, this node counts by itself.
        #[schemars(extend("x-applies" = "restart"))]
        redis: Option<Lenient<RedisEntry>> = null,
        /// Gateways that [decide together](regions.md#gateways-that-decide-together) about regions, and say so to each other
        /// directly.
        nodes: Option<Lenient<NodesEntry>> = null,
        /// Addresses outside of all sites that take TCP connections, such as those of public resolvers of DNS (`9.9.9.9:53`). While
        /// none of them does, this gateway is itself cut off, and where [gateways decide together](regions.md#gateways-that-decide-together)
        /// its silence about a database says nothing. Left out, any answer of a pool's own servers says that it is not.
        #[schemars(extend("x-default" = "any answer of a pool's own servers"))]
        anchors: Option<Lenient<List<Server, 1, ANCHORS_MAX>>> = null,
        /// Networks of the proxies and load balancers in front of Fleetgate. Only their `X-Forwarded-*`
        /// headers are believed; those of anybody else are replaced.
        trusted_proxies: Lenient<List<Network, 0, TRUSTED_PROXIES_MAX>> = [],
        /// [Guards](guards.md): what no client may ask of Odoo from outside. The same for every pool and tenant that says nothing else.
        #[schemars(extend("x-default" = "its defaults"))]
        guards: Option<Lenient<GuardsEntry>> = null,
        /// Sites that serve traffic, in order of preference.
        regions: Lenient<List<At<Lenient<RegionEntry>>, 1, REGIONS_MAX>>,
        /// Pools by name: Odoo servers that serve the same databases.
        pools: Lenient<Named<PoolEntry, POOLS_MAX>>,
        /// Plans by name: sets of [limits](limits.md). A tenant names one with `plan`.
        plans: Option<Lenient<Named<LimitsEntry, PLANS_MAX>>> = null,
        /// Who is told when a tenant reaches a threshold of a quota. Left out, the log alone says so.
        quota_webhook: Option<Lenient<WebhookEntry>> = null,
        /// Who is told when a [verdict](regions.md#what-you-see) on a backend, database, region or route changes. Left out, the
        /// log alone says so.
        verdict_webhook: Option<Lenient<WebhookEntry>> = null,
        /// Tenants that are written in the main file.
        tenants: Lenient<List<At<TenantEntry>, 0, INLINE_TENANTS_MAX>> = [],
        /// Folder whose files hold more tenants, relative to the folder of the main file: every `*.yaml` and
        /// `*.yml` that is not hidden, without subfolders. Each file is a list of tenants. A broken file keeps
        /// what it last said; all others move on.
        tenants_directory: Option<At<Lenient<Folder>>> = null,
    }
}

section! {
    /// The admin API.
    pub(in crate::config) struct AdminEntry {
        /// Unix socket of the admin API. Who may connect to it may do everything: its folder's permissions decide.
        socket: SocketPath = "/run/fleetgate/admin.sock",
    }
}

section! {
    /// A listener for probes and metrics.
    pub(in crate::config) struct ObserveEntry {
        /// Address that serves `/livez`, `/readyz` and `/metrics`. Keep it off the internet.
        address: At<Socket>,
        /// Token that `/metrics` asks for as `Authorization: Bearer`. Without it, everybody who reaches the
        /// address may read the metrics.
        bearer_token: Option<SecretText> = null,
    }
}

section! {
    /// How the process ends without cutting anybody off.
    pub(in crate::config) struct DrainEntry {
        /// Longest wait for requests in flight after SIGTERM. The process ends earlier when none is left.
        timeout: Lasting<0, 3_600_000> = "30s",
        /// Span over which websockets are closed, so that their clients do not all come back at once: also those of a backend
        /// that drains or froze, of a pool that moves and of a tenant that is suspended.
        websocket_spread: Lasting<0, 600_000> = "5s",
    }
}

section! {
    /// Where bodies wait. Odoo's workers serve one request each, so a request's body is taken from the client before a
    /// worker is asked, and an answer is taken from the worker before the client has read it all.
    pub(in crate::config) struct SpoolEntry {
        /// Folder for what does not fit into memory. Files in it have no name and are gone when the process is. Choose
        /// a disk, not a `tmpfs`.
        directory: Folder = "/var/tmp",
        /// What one body may take of memory before it goes to disk.
        memory_per_body: Size<4_096, 16_777_216> = "256KiB",
        /// What all bodies together may take of memory. When it is used up, more of them goes to disk at once; each
        /// body keeps 4 KiB in memory nevertheless.
        memory_max: Size<1_048_576, 1_099_511_627_776> = "256MiB",
        /// What all bodies may take of the disk. When it is used up, a request that needs more is answered with 507,
        /// and a backend waits for its client.
        disk_max: Size<1_048_576, 1_125_899_906_842_624> = "16GiB",
        /// What the bodies of one tenant entry may take of the disk.
        disk_max_per_tenant: Size<1_048_576, 1_125_899_906_842_624> = "4GiB",
    }
}

section! {
    /// A site that serves traffic.
    pub(in crate::config) struct RegionEntry {
        /// Name of the region, unique.
        name: Name,
        /// Whether the region only takes over from another.
        standby: bool = false,
    }
}
