//! Pools as written.

use super::GuardsEntry;
use super::REGIONS_MAX;
use super::address::BackendAddress;
use super::collection::{Choice, List, Named, OneOf};
use super::health::{CheckEntry, FailoverEntry, HealthEntry, PostgresUrl};
use super::quotas::Url;
use super::value::{FilePath, Folder, Lasting, Whole, text_schema};
use crate::config::read::{At, Text, section};
use crate::host::HostName;
use crate::odoo::OdooVersion;
use crate::path::NormalPath;
use crate::pool::{BACKENDS_PER_REGION_MAX, DatabaseSelection, SameSite};
use std::borrow::Cow;

/// Most members of a Patroni cluster in one region.
pub(in crate::config) const PATRONI_MEMBERS_MAX: usize = 16;
/// Most checks of a region.
const CHECKS_MAX: usize = 16;

section! {
    /// Odoo servers that serve the same databases.
    pub(in crate::config) struct PoolEntry {
        /// Version that all backends of the pool run. It decides which paths go to the websocket port.
        odoo_version: Version,
        /// How Odoo is told the database. `dbfilter_header` sends `X-Odoo-dbfilter: ^name$`, which OCA's
        /// server-wide module `dbfilter_from_header` reads: any host name works. `host` sends nothing: Odoo's own
        /// `--db-filter` has to find the database by the host. `fixed` sends nothing: the servers have one
        /// database, and all tenants of the pool name it.
        database_selection: OneOf<DatabaseSelection>,
        /// Sends `X-Odoo-Database` on stateless routes (RPC, webhooks). Needs Odoo 19.0.
        database_header: At<bool> = false,
        /// Backends that one tenant is spread over inside a region. Every Odoo process loads a registry for each
        /// tenant it serves, so fewer means less memory and warmer caches, more means more workers for one tenant.
        backends_per_tenant: Whole<1, 64> = 2,
        /// What Odoo's session cookie says to browsers. Odoo itself sets neither flag.
        session_cookie: SessionCookieEntry = {},
        /// Folder that holds a folder for each database: Odoo's `data_dir` and `/filestore`, mounted here. Odoo 16.0
        /// and later with `--x-sendfile` then leave the sending of files to the gateway. Nothing but files of the
        /// tenant's own database is sent, and no link is followed.
        filestore: Option<Folder> = null,
        /// Starts of paths whose requests and answers are passed on as they come, such as those of a module that
        /// takes uploads of many gigabytes or wants to see them grow. A slow client then holds a worker, for as
        /// long as it keeps to the floor of `connections`; the answer begins when the request is whole. Calls whose bodies
        /// name a database are never streamed.
        stream_paths: List<PathStart, 0, 100> = [],
        /// Speaks TLS with the backends, on both of their ports. Left out, it is plain HTTP.
        tls: Option<PoolTlsEntry> = null,
        /// Asks the `postgres` of each region through TLS, as `sslmode=verify-full` does: a server that shows no certificate
        /// for the host of its URL is not believed. Left out, it is asked in the clear.
        postgres_tls: Option<PostgresTlsEntry> = null,
        /// Clocks of pages, RPC and other HTTP traffic.
        http: HttpTimeoutsEntry = {},
        /// Clocks of longpolling (Odoo 14.0 and 15.0).
        longpolling: LongpollingTimeoutsEntry = {},
        /// Clocks of websockets.
        websocket: WebsocketTimeoutsEntry = {},
        /// Settings of guards for the pool's tenants, where they differ from those of the fleet.
        #[schemars(extend("x-default" = "those of the fleet"))]
        guards: Option<GuardsEntry> = null,
        /// How servers are watched.
        health: HealthEntry = {},
        /// How the pool moves between regions.
        failover: FailoverEntry = {},
        /// Backends by region. Each name is one of `regions`, and at least one of them is no standby.
        regions: Named<PoolRegionEntry, REGIONS_MAX>,
    }
}

section! {
    /// TLS with the backends of a pool. Certificates are always verified.
    pub(in crate::config) struct PoolTlsEntry {
        /// Name that backends are asked for, and that their certificates must hold: one for all backends of the pool.
        server_name: ServerName,
        /// File with the certificates of the authorities that backends' certificates must come from, in PEM. Nobody
        /// else is trusted; for public authorities name the system's file, such as
        /// `/etc/ssl/certs/ca-certificates.crt`. Relative paths start at the folder of the main file.
        ca: At<FilePath>,
        /// What Fleetgate shows to backends that ask who it is. Left out, nothing.
        client_certificate: Option<At<IdentityEntry>> = null,
    }
}

section! {
    /// TLS with the PostgreSQL servers of a pool. Certificates are always verified.
    pub(in crate::config) struct PostgresTlsEntry {
        /// File with the certificates of the authorities that the servers' certificates must come from, in PEM. Nobody else is
        /// trusted. Relative paths start at the folder of the main file.
        ca: At<FilePath>,
        /// What Fleetgate shows to servers that ask who it is (`cert` in `pg_hba.conf`). Left out, nothing.
        client_certificate: Option<At<IdentityEntry>> = null,
    }
}

section! {
    /// A certificate of Fleetgate itself. Relative paths start at the folder of the main file.
    pub(in crate::config) struct IdentityEntry {
        /// File with the certificate in PEM, and behind it those that lead to its authority.
        certificate: FilePath,
        /// File with its private key in PEM, not encrypted.
        key: FilePath,
    }
}

section! {
    /// What the session cookie says to browsers.
    pub(in crate::config) struct SessionCookieEntry {
        /// Adds `Secure`: browsers send the cookie over HTTPS alone. Turn it off only where browsers come by HTTP.
        secure: bool = true,
        /// Adds `SameSite`. `none` is for databases in frames of other sites and needs `secure: true`; `unset`
        /// leaves the choice to the browser.
        same_site: At<OneOf<SameSiteWord>> = "lax",
    }
}

section! {
    /// Clocks of pages, RPC and other HTTP traffic.
    pub(in crate::config) struct HttpTimeoutsEntry {
        /// For a connection to a backend to be made.
        connect_timeout: Lasting<100, 60_000> = "5s",
        /// Between two reads of an answer. Keep it longer than Odoo's `limit_time_real`, so that Odoo is the one
        /// to give up.
        read_timeout: Lasting<1_000, 86_400_000> = "720s",
        /// Between two writes of a request.
        write_timeout: Lasting<1_000, 3_600_000> = "60s",
    }
}

section! {
    /// Clocks of longpolling.
    pub(in crate::config) struct LongpollingTimeoutsEntry {
        /// For a connection to a backend to be made.
        connect_timeout: Lasting<100, 60_000> = "5s",
        /// Between two reads of an answer. Odoo answers a poll after 50 seconds at the latest.
        read_timeout: Lasting<1_000, 3_600_000> = "90s",
        /// Between two writes of a request.
        write_timeout: Lasting<1_000, 3_600_000> = "60s",
    }
}

section! {
    /// Clocks of websockets.
    pub(in crate::config) struct WebsocketTimeoutsEntry {
        /// For a connection to a backend to be made.
        connect_timeout: Lasting<100, 60_000> = "5s",
        /// For the backend's answer to the handshake.
        handshake_timeout: Lasting<1_000, 600_000> = "30s",
        /// Without a byte either way. Odoo pings a quiet websocket after 45 to 55 seconds, so less than 75 seconds
        /// cuts healthy ones.
        idle_timeout: At<Lasting<10_000, 3_600_000>> = "120s",
    }
}

section! {
    /// The backends of a pool in one region.
    pub(in crate::config) struct PoolRegionEntry {
        /// The Odoo servers. None twice in a pool.
        backends: Option<List<At<BackendEntry>, 1, BACKENDS_PER_REGION_MAX>> = null,
        /// In place of `backends` and `postgres`: the Fleetgates of the site, where nothing else of it is reached from here.
        gateways: Option<At<GatewaysEntry>> = null,
        /// The region's PostgreSQL server, which is asked whether it takes writes and how far it is behind: Odoo looks
        /// healthy on a standby that cannot write. The user needs no rights but to connect. All regions of a pool have
        /// one or `patroni`, or none.
        postgres: Option<At<PostgresUrl>> = null,
        /// In place of `postgres`: the REST APIs of the region's members of a Patroni cluster, such as
        /// `http://10.0.0.21:8008`. The member that has the leader's lock takes writes. `https` needs `postgres_tls`.
        patroni: Option<At<List<Url, 1, PATRONI_MEMBERS_MAX>>> = null,
        /// What else the region needs to take over, by names such as `sessions` and `filestore`. A region where one of them
        /// fails is `not-ready`: nothing moves there by itself, and an operator has to insist. A database that
        /// was promoted is followed nevertheless, and it is told what may be missing.
        checks: Option<Named<At<CheckEntry>, CHECKS_MAX>> = null,
    }
}

section! {
    /// The gateways of a site, through which its Odoo servers are reached and asked after. They serve the pool and the region
    /// under the same names.
    pub(in crate::config) struct GatewaysEntry {
        /// Addresses of their listeners with `gateways`, or names.
        addresses: List<At<BackendAddress>, 1, BACKENDS_PER_REGION_MAX>,
        /// TLS with them. They serve nobody who shows no `client_certificate`.
        tls: At<PoolTlsEntry>,
    }
}

section! {
    /// One Odoo server, or all that a name leads to.
    pub(in crate::config) struct BackendEntry {
        /// Address of Odoo's `http_port`, or a name: each address that it leads to is a backend. Names are looked up again
        /// as their TTL says, after a second at least and a minute at most; one that cannot be looked up, or is gone, keeps
        /// the addresses it last had.
        http: BackendAddress,
        /// Address of Odoo's `gevent_port` (`longpolling_port` before 16.0). Left out, it is the same as `http`,
        /// which is right for an Odoo without workers. Where `http` holds a name, the same name with another port.
        websocket: Option<At<BackendAddress>> = null,
        /// Odoo's `workers`: requests that it serves at once. With it for all backends of a pool, requests wait in the
        /// gateway's queue, fair to all tenants, instead of in Odoo's. Left out, there is no such queue for the pool.
        workers: Option<Whole<1, 1_024>> = null,
    }
}

/// An Odoo version.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Version(pub(in crate::config) OdooVersion);

impl Text for Version {
    fn expected() -> Cow<'static, str> {
        let versions: Vec<String> =
            OdooVersion::ALL.iter().map(|version| format!("`\"{version}\"`")).collect();
        format!("one of {}", versions.join(", ")).into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        OdooVersion::parse(text).map(Self).map_err(|_| "Fleetgate does not know this version".into())
    }
}

text_schema! { Version; PathStart; ServerName; }

/// The name of a server in TLS.
#[derive(Debug)]
pub(in crate::config) struct ServerName(pub(in crate::config) HostName);

impl Text for ServerName {
    fn expected() -> Cow<'static, str> {
        "the host name that the servers' certificates hold, such as `odoo.internal`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match HostName::parse(text) {
            Ok(name) if name.as_str().starts_with('[') => Err("it is an address, and no name".into()),
            Ok(name) => Ok(Self(name)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Choice for DatabaseSelection {
    const CHOICES: &'static [(&'static str, Self)] = &[
        (Self::DbfilterHeader.as_str(), Self::DbfilterHeader),
        (Self::Host.as_str(), Self::Host),
        (Self::Fixed.as_str(), Self::Fixed),
    ];
}

/// The start of a path as Odoo reads it: decoded, slashes single.
#[derive(Debug)]
pub(in crate::config) struct PathStart(pub(in crate::config) Box<str>);

impl Text for PathStart {
    fn expected() -> Cow<'static, str> {
        "the start of a path, such as `/my_module/upload`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match NormalPath::new(text.as_bytes()) {
            Ok(path) if path.as_bytes() == text.as_bytes() && text.len() > 1 => Ok(Self(text.into())),
            Ok(_) => {
                Err("it is written otherwise: without `//` and without needless `%`, and longer than `/`"
                    .into())
            }
            Err(_) => Err("it is no path: it starts with `/` and has no `..`".into()),
        }
    }
}

/// What is written for `SameSite`.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct SameSiteWord(pub(in crate::config) Option<SameSite>);

impl Choice for SameSiteWord {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("lax", Self(Some(SameSite::Lax))),
        ("strict", Self(Some(SameSite::Strict))),
        ("none", Self(Some(SameSite::None))),
        ("unset", Self(None)),
    ];
}
