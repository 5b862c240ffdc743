//! The whole stateless decision about a request, in one screen.

use crate::client_certificate::{Proof, judge};
use crate::config::Fleet;
use crate::guard::{Asked, BodyLength, Guards};
use crate::host::{HostKey, HostName};
use crate::path::NormalPath;
use crate::pool::Pool;
use crate::query::Query;
use crate::rejection::Rejection;
use crate::tenant::{TenantMatch, TenantState};
use crate::traffic::TrafficClass;
use core::net::IpAddr;

/// What a decision looks at.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// Host of the request.
    pub host: &'a HostKey,
    /// Path of the request.
    pub path: &'a NormalPath<'a>,
    /// Query of the request, empty where it has none.
    pub query: Query<'a>,
    /// Whether the method is GET or HEAD.
    pub safe_method: bool,
    /// What the head says about the body.
    pub body: BodyLength,
    /// The client, behind any trusted proxies.
    pub client: IpAddr,
    /// The name that the client asked for in its TLS handshake with the gateway.
    pub server_name: Option<&'a HostKey>,
    /// What the client has shown, held against what the tenant of `host` asks.
    pub proof: Proof,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
pub enum Verdict<'a> {
    /// It goes to Odoo.
    Forward(Route<'a>),
    /// The client is sent to the tenant's canonical host.
    Redirect {
        /// Where to.
        host: &'a HostName,
        /// Whose host it is.
        found: TenantMatch<'a, 'a>,
    },
    /// It is answered here.
    Reject {
        /// Why.
        rejection: Rejection,
        /// Whose host it is, when that is known.
        found: Option<TenantMatch<'a, 'a>>,
    },
}

impl<'a> Verdict<'a> {
    /// Whose host it is, when that is known.
    #[must_use]
    pub const fn found(&self) -> Option<TenantMatch<'a, 'a>> {
        match self {
            Self::Forward(Route { found, .. }) | Self::Redirect { found, .. } => Some(*found),
            Self::Reject { found, .. } => *found,
        }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The tenant.
    pub found: TenantMatch<'a, 'a>,
    /// The tenant's pool.
    pub pool: &'a Pool,
    /// What the request is for.
    pub class: TrafficClass,
    /// Longest body in bytes; an announced length is within it already.
    pub body_bytes_max: u64,
    /// Whether bodies are passed on as they come, instead of whole.
    pub streamed: bool,
}

/// Decides about a request.
#[must_use]
pub fn admit<'a>(fleet: &'a Fleet, view: &RequestView<'a>) -> Verdict<'a> {
    let Some(found) = fleet.tenants.resolve(view.host) else {
        return Verdict::Reject { rejection: Rejection::UnknownHost, found: None };
    };
    let reject = |rejection| Verdict::Reject { rejection, found: Some(found) };
    // Browsers reuse a connection for every host of its certificate (RFC 9113, section 9.1.1). Hosts of one tenant are
    // one site; another tenant's are not.
    let same = |other: TenantMatch<'_, '_>| other.index == found.index && other.label == found.label;
    if view.server_name.is_some_and(|name| !fleet.tenants.resolve(name).is_some_and(same)) {
        return reject(Rejection::WrongServerName);
    }
    if let Err(rejection) = judge(fleet.client_certificates_of(&found), view.proof) {
        return reject(rejection);
    }
    match found.state() {
        TenantState::Active => {}
        TenantState::Suspended => return reject(Rejection::TenantSuspended),
        TenantState::Maintenance(maintenance) => {
            if !maintenance.allow.iter().any(|net| net.contains(&view.client)) {
                let retry_after_seconds = maintenance.retry_after_seconds;
                return reject(Rejection::TenantMaintenance { retry_after_seconds });
            }
        }
    }
    let Some(pool) = fleet.pools.get(usize::from(found.pool().0)) else {
        return reject(Rejection::Internal);
    };
    let class = TrafficClass::of(pool.odoo_version, view.path);
    let &RequestView { path, query, safe_method, body, client, .. } = view;
    let query = query.as_bytes();
    let version = pool.odoo_version;
    let asked = Asked { found, version, class, path, query, safe_method, body, client };
    let body_bytes_max = match Guards::at(&fleet.guards, found.guards()).check(&asked) {
        Ok(body_bytes_max) => body_bytes_max,
        Err(rejection) => return reject(rejection),
    };
    match found.canonical_host() {
        // Programs and the bus do not follow redirects, and a redirected POST would lose its body.
        Some(host)
            if class == TrafficClass::Page && view.safe_method && host.as_str() != view.host.as_str() =>
        {
            Verdict::Redirect { host, found }
        }
        _ => {
            let streamed = pool.streams(class, path);
            Verdict::Forward(Route { found, pool, class, body_bytes_max, streamed })
        }
    }
}
