//! Guards as written: every key may be left out, in the main file, in a pool and in a tenant.

use super::address::Network;
use super::collection::{Choice, List, OneOf};
use super::rpc::RpcEntry;
use super::size::Size;
use super::value::Whole;
use crate::config::read::section;
use crate::guard::DatabaseNames;

/// Most networks of one list.
const NETWORKS_MAX: usize = 1000;
/// Networks of clients.
pub(in crate::config) type Networks = List<Network, 0, NETWORKS_MAX>;
/// Longest body: up to 1 TiB.
pub(in crate::config) type BodySize = Size<0, 1_099_511_627_776>;

section! {
    /// What no client may ask of Odoo from outside. What a tenant writes counts more than what its pool writes, and that
    /// more than what stands here, key by key.
    pub(in crate::config) struct GuardsEntry {
        /// Pages that create, copy, download and drop whole databases, and the list of them: `/web/database/*`.
        #[schemars(extend("x-default" = "for nobody"))]
        database_manager: Option<RouteGuardEntry> = null,
        /// Pages for developers and uploads of code: `/web/tests`, `/base_import_module/login_upload`,
        /// `/web/proxy/post`, `/monitoring/status`.
        #[schemars(extend("x-default" = "for nobody"))]
        debug_routes: Option<RouteGuardEntry> = null,
        /// Routes that run queued jobs without a login: `/queue_job/runjob` and its like.
        #[schemars(extend("x-default" = "for nobody"))]
        job_runners: Option<RouteGuardEntry> = null,
        /// Which databases a request may name beside its host, in `?db=`, `?dbname=`, an OAuth `state` or the path of a
        /// tracking image. `own`: the tenant's own and no other. `any`: nothing is looked at.
        #[schemars(extend("x-default" = "`own`"))]
        database_names: Option<OneOf<DatabaseNames>> = null,
        /// Networks of clients that may send requests of a class. A class that is left out is for everybody.
        #[schemars(extend("x-default" = "everybody"))]
        allow: Option<ClassNetworksEntry> = null,
        /// Longest bodies of requests. A longer one is answered 413.
        #[schemars(extend("x-default" = "its defaults"))]
        body_size_max: Option<BodySizesEntry> = null,
        /// Bounds on the query of public pages with filters (`/shop`, `/event`, `/blog`, `/slides`, `/appointment`,
        /// `/forum`), whose combinations keep crawlers busy for ever.
        #[schemars(extend("x-default" = "off"))]
        crawler_traps: Option<CrawlerTrapsEntry> = null,
        /// What programs may call by XML-RPC, JSON-RPC and JSON-2.
        #[schemars(extend("x-default" = "its defaults"))]
        rpc: Option<RpcEntry> = null,
    }
}

section! {
    /// Routes that are for some clients only. To all others they are not there.
    pub(in crate::config) struct RouteGuardEntry {
        /// Networks of clients that may use the routes. Everybody: `["0.0.0.0/0", "::/0"]`.
        #[schemars(extend("x-default" = "nobody"))]
        allow: Option<Networks> = null,
    }
}

section! {
    /// Networks of clients per traffic class.
    pub(in crate::config) struct ClassNetworksEntry {
        /// Pages and the calls that a browser makes for them.
        #[schemars(extend("x-default" = "everybody"))]
        page: Option<Networks> = null,
        /// XML-RPC, JSON-RPC, JSON-2.
        #[schemars(extend("x-default" = "everybody"))]
        rpc: Option<Networks> = null,
        /// Files that are the same for everybody.
        #[schemars(extend("x-default" = "everybody"))]
        r#static: Option<Networks> = null,
        /// Printing, exports, imports.
        #[schemars(extend("x-default" = "everybody"))]
        report: Option<Networks> = null,
        /// The bus, 16.0 and later.
        #[schemars(extend("x-default" = "everybody"))]
        websocket: Option<Networks> = null,
        /// The bus, 14.0 and 15.0.
        #[schemars(extend("x-default" = "everybody"))]
        longpolling: Option<Networks> = null,
        /// Webhooks of other companies' systems.
        #[schemars(extend("x-default" = "everybody"))]
        integration: Option<Networks> = null,
    }
}

section! {
    /// Longest bodies of requests.
    pub(in crate::config) struct BodySizesEntry {
        /// Of a page or a call that a browser makes for it: every upload of a file is one.
        #[schemars(extend("x-default" = "128MiB"))]
        page: Option<BodySize> = null,
        /// Of XML-RPC, JSON-RPC, JSON-2.
        #[schemars(extend("x-default" = "128MiB"))]
        rpc: Option<BodySize> = null,
        /// With a request for a file that is the same for everybody.
        #[schemars(extend("x-default" = "1MiB"))]
        r#static: Option<BodySize> = null,
        /// Of an import, or with a request for a report or export.
        #[schemars(extend("x-default" = "128MiB"))]
        report: Option<BodySize> = null,
        /// With a request to the bus, 16.0 and later, that opens no websocket.
        #[schemars(extend("x-default" = "1MiB"))]
        websocket: Option<BodySize> = null,
        /// Of a poll, 14.0 and 15.0.
        #[schemars(extend("x-default" = "1MiB"))]
        longpolling: Option<BodySize> = null,
        /// Of a webhook.
        #[schemars(extend("x-default" = "128MiB"))]
        integration: Option<BodySize> = null,
        /// Where strangers say who they are: login, signup, new password, and the same by RPC. Never more than its class.
        #[schemars(extend("x-default" = "1MiB"))]
        login: Option<BodySize> = null,
        /// To the database manager, by those who may use it: a whole database may come.
        #[schemars(extend("x-default" = "16GiB"))]
        database_manager: Option<BodySize> = null,
    }
}

section! {
    /// Bounds on the query of public pages with filters.
    pub(in crate::config) struct CrawlerTrapsEntry {
        /// Whether there are bounds.
        #[schemars(extend("x-default" = "false"))]
        enabled: Option<bool> = null,
        /// Most parameters. Each chosen value of an attribute counts.
        #[schemars(extend("x-default" = "8"))]
        parameters_max: Option<Whole<0, 1000>> = null,
        /// Longest query in bytes.
        #[schemars(extend("x-default" = "512"))]
        query_bytes_max: Option<Whole<0, 65_535>> = null,
    }
}

impl Choice for DatabaseNames {
    const CHOICES: &'static [(&'static str, Self)] = &[("own", Self::Own), ("any", Self::Any)];
}
