//! The tenants of the snapshot that serves.

use super::routes::AdminState;
use fleetgate_core::limit::Limits;
use fleetgate_core::tenant::{TenantIndex, TenantState};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// Rows of one answer at most.
const ROWS_MAX: usize = 10_000;
/// Rows of one answer unless asked otherwise.
const ROWS_DEFAULT: usize = 1_000;

/// Query of `GET /v1/tenants`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct TenantQuery {
    /// Only tenants whose id, database or a host holds this text.
    pub filter: Option<String>,
    /// Rows to leave out.
    pub offset: Option<usize>,
    /// Rows at most; 1,000 by default, 10,000 at most.
    pub limit: Option<usize>,
}

/// Answer of `GET /v1/tenants`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TenantList {
    /// Tenants that match, whatever the limit.
    pub total: usize,
    /// One row a tenant.
    pub tenants: Vec<TenantRow>,
}

/// A tenant entry.
#[derive(Debug, Serialize, Deserialize)]
pub struct TenantRow {
    /// Id, with `{1}` where the host's label goes.
    pub id: String,
    /// Database.
    pub database: String,
    /// Pool.
    pub pool: String,
    /// `active`, `suspended` or `maintenance`.
    pub state: String,
    /// Hosts.
    pub hosts: Vec<String>,
    /// `file:line` of the entry.
    pub place: String,
    /// Plan; nothing when the tenant names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// What the tenant may use; nothing when it has no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<String>,
    /// How much of it is in use; nothing for an entry that stands for many tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
    /// Requests since the start.
    pub requests: u64,
    /// Requests answered by the gateway itself.
    pub rejections: u64,
    /// Websockets open now.
    pub websockets: u32,
}

/// As the config writes it.
pub(super) const fn state_name(state: &TenantState) -> &'static str {
    match state {
        TenantState::Active => "active",
        TenantState::Suspended => "suspended",
        TenantState::Maintenance(_) => "maintenance",
    }
}

/// Lists tenants in the order of the config.
pub(super) fn list(state: &AdminState, query: &TenantQuery) -> TenantList {
    let snapshot = state.store.load();
    let mut hosts: FxHashMap<TenantIndex, Vec<String>> = FxHashMap::default();
    for (host, owner) in snapshot.fleet.tenants.hosts() {
        hosts.entry(owner).or_default().push(host.to_string());
    }
    let filter = query.filter.as_deref().unwrap_or_default();
    let rows = snapshot.fleet.tenants.iter().filter_map(|(index, tenant)| {
        let mut hosts = hosts.remove(&index).unwrap_or_default();
        hosts.sort_unstable();
        let texts = [tenant.id.as_written(), tenant.database.as_written()];
        let found =
            texts.iter().any(|text| text.contains(filter)) || hosts.iter().any(|host| host.contains(filter));
        found.then(|| {
            let account = snapshot.entry_account(index);
            let pool = snapshot.fleet.pools.get(usize::from(tenant.pool.0));
            let limits = Limits::at(&snapshot.fleet.limits, tenant.limits);
            let one = account.filter(|_| !tenant.id.has_placeholder());
            TenantRow {
                id: tenant.id.to_string(),
                database: tenant.database.to_string(),
                pool: pool.map(|pool| pool.name.to_string()).unwrap_or_default(),
                state: state_name(&tenant.state).to_owned(),
                hosts,
                place: snapshot.fleet.place_of(tenant),
                plan: limits.plan.as_deref().map(str::to_owned),
                limits: super::limits::allowed(limits),
                used: one
                    .and_then(|account| super::limits::used(snapshot.accounts().shares(), limits, account)),
                requests: account.map_or(0, |account| account.requests()),
                rejections: account.map_or(0, |account| account.rejections()),
                websockets: account.map_or(0, |account| account.websockets()),
            }
        })
    });
    let rows: Vec<TenantRow> = rows.collect();
    let limit = query.limit.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX);
    let total = rows.len();
    TenantList { total, tenants: rows.into_iter().skip(query.offset.unwrap_or(0)).take(limit).collect() }
}
