//! The meaning of a config: what `check` makes of what was written.

use super::acme::Acme;
use super::connections::Connections;
use super::dns_zone::DnsZone;
use super::listen::ListenAddress;
use super::nodes::Nodes;
use super::redis::Redis;
use crate::certificate::Certificates;
use crate::client_certificate::ClientCertificates;
use crate::guard::Guards;
use crate::host::HostPattern;
use crate::http_target::HttpTarget;
use crate::limit::Limits;
use crate::pool::{Pool, Region};
use crate::tenant::{Tenant, TenantMatch, TenantTable};
use core::net::SocketAddr;
use core::time::Duration;
use ipnet::IpNet;
use std::sync::Arc;

/// A whole, valid config.
#[derive(Debug)]
pub struct GatewayConfig {
    /// What only a restart changes.
    pub process: ProcessConfig,
    /// What a reload changes.
    pub fleet: Fleet,
}

/// Settings that are read once, when the process starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Addresses that clients connect to.
    pub listeners: Vec<ListenerConfig>,
    /// Threads that move bytes.
    pub threads: u16,
    /// How many clients may be connected, and how slow they may be.
    pub connections: Connections,
    /// Unix socket of the admin API.
    pub admin_socket: Box<str>,
    /// Address that serves `/livez`, `/readyz` and `/metrics`.
    pub observe: Option<Observe>,
    /// How the process ends.
    pub drain: Drain,
    /// Where bodies wait until they are whole.
    pub spool: Spool,
    /// Folder for what has to outlast the process; relative to that of the main file.
    pub state_directory: Box<str>,
    /// Zones of DNS that may be changed.
    pub dns_zones: Vec<DnsZone>,
    /// Servers of DNS that are asked where names of backends lead; none: those of the system.
    pub resolvers: Vec<SocketAddr>,
    /// Certificates that are ordered and renewed.
    pub acme: Option<Acme>,
    /// What several nodes share.
    pub redis: Option<Redis>,
    /// Address that the other gateways ask.
    pub nodes_address: Option<SocketAddr>,
}

/// An address that clients connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where.
    pub address: ListenAddress,
    /// TLS, unless it speaks plain HTTP.
    pub tls: Option<ListenerTls>,
    /// Names whose connections somebody else answers.
    pub passthrough: Vec<PassthroughRoute>,
    /// Whether requests are sent on to `https://`.
    pub redirect_to_https: bool,
    /// Peers that say in front of each connection whose it is.
    pub proxy_protocol: Vec<IpNet>,
    /// Authorities of the gateways that it serves; `None`: it serves clients.
    pub gateways: Option<Certificates>,
}

/// Names whose TLS connections are passed on as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassthroughRoute {
    /// The names. None is in two routes of a listener.
    pub hosts: Vec<HostPattern>,
    /// Who answers them.
    pub address: SocketAddr,
    /// How long a connection may be without a byte.
    pub idle_timeout: Duration,
    /// Whether who answers is told whose a connection is, by the PROXY protocol.
    pub proxy_protocol: bool,
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// Folder of certificates.
    pub certificates: Option<Box<str>>,
    /// Whether certificates of ACME are served too.
    pub acme: bool,
    /// Oldest version that is spoken.
    pub minimum_version: TlsVersion,
    /// Time between two keys for tickets.
    pub ticket_rotation: Duration,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    V12,
    /// RFC 8446.
    V13,
}

/// The listener for probes and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observe {
    /// Address.
    pub address: SocketAddr,
    /// Token that `/metrics` asks for as `Authorization: Bearer`.
    pub bearer_token: Option<Secret>,
}

/// Where bodies wait, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// Folder for what does not fit into memory.
    pub directory: Box<str>,
    /// Bytes of memory that one body may take.
    pub memory_per_body: u64,
    /// Bytes of memory that all bodies may take.
    pub memory_max: u64,
    /// Bytes of disk that all bodies may take.
    pub disk_max: u64,
    /// Bytes of disk that the bodies of one tenant entry may take.
    pub disk_max_per_tenant: u64,
}

/// How a process ends without cutting anybody off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// Longest wait for requests in flight.
    pub timeout: Duration,
    /// Span over which websockets are closed, so that their clients do not all come back at once.
    pub websocket_spread: Duration,
}

/// Tenants, pools and what a decision about a request needs.
#[derive(Debug, Default)]
pub struct Fleet {
    /// All regions, in order of preference.
    pub regions: Vec<Region>,
    /// All pools; a tenant names one by its place.
    pub pools: Vec<Pool>,
    /// All tenants.
    pub tenants: TenantTable,
    /// Settings of guards; a tenant names some by their place.
    pub guards: Vec<Guards>,
    /// Limits; a tenant names some by their place.
    pub limits: Vec<Limits>,
    /// What tenants ask of their clients' certificates; a tenant names one by its place.
    pub client_certificates: Vec<ClientCertificates>,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Who is told about thresholds of quotas.
    pub quota_webhook: Option<Webhook>,
    /// Who is told about verdicts on regions that change.
    pub verdict_webhook: Option<Webhook>,
    /// Addresses by which this gateway knows that it is not cut off; none: by any answer of a pool's servers.
    pub anchors: Vec<SocketAddr>,
    /// Gateways that decide together, where they say so to each other directly.
    pub nodes: Option<Nodes>,
    /// Names of the files that tenants were written in.
    pub files: Vec<Arc<str>>,
}

impl Fleet {
    /// What a tenant asks of its clients' certificates; `None`: nothing.
    #[must_use]
    pub fn client_certificates_of(&self, found: &TenantMatch<'_, '_>) -> Option<&ClientCertificates> {
        self.client_certificates.get(found.client_certificates().position()?)
    }

    /// `file:line` of a tenant's entry.
    #[must_use]
    pub fn place_of(&self, tenant: &Tenant) -> String {
        let file = usize::try_from(tenant.origin.file).ok().and_then(|file| self.files.get(file));
        format!("{}:{}", file.map_or("", |name| name), tenant.origin.line)
    }
}

/// Who is told about something, with signed messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where messages are sent.
    pub target: HttpTarget,
    /// What they are signed with.
    pub secret: Secret,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret itself; never log it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("****")
    }
}
