//! What tenants have used of their quotas, and what operators do about it.

use super::routes::AdminState;
use crate::snapshot::Plans;
use crate::usage::{Act, Deed, UsageStore, UsageView};
use fleetgate_core::quota::{QuotaKey, QuotaTerms};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Rows of one answer at most.
const ROWS_MAX: usize = 100_000;
/// Longest id, author or reason in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// Query of `GET /v1/quota`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct QuotaQuery {
    /// Only this tenant.
    pub tenant: Option<String>,
}

/// Answer of `GET /v1/quota`.
#[derive(Debug, Serialize, Deserialize)]
pub struct QuotaList {
    /// Why usage is not written down, and what to do.
    pub problem: Option<String>,
    /// Messages about thresholds that wait for the receiver.
    pub messages_waiting: usize,
    /// One row for each quota of each tenant that has used anything.
    pub quotas: Vec<QuotaRow>,
}

/// A quota of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRow {
    /// Tenant.
    pub tenant: String,
    /// What has come of it.
    #[serde(flatten)]
    pub view: UsageView,
}

/// Query of `POST /v1/quota/grant`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantOrder {
    /// Tenant.
    pub tenant: String,
    /// Quota, such as `requests_per_day`.
    pub quota: String,
    /// Amount, in units of the quota's name; bytes for egress.
    pub amount: u64,
    /// From when on it counts no more, RFC 3339; the end of the period, if left out.
    pub expires: Option<jiff::Timestamp>,
    /// Chosen by the caller: the same id twice is one grant.
    pub id: Option<String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// Only says what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Query of `POST /v1/quota/reset`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResetOrder {
    /// Tenant.
    pub tenant: String,
    /// Quota, such as `requests_per_day`.
    pub quota: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// Only says what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was done, or would be.
#[derive(Debug, Serialize, Deserialize)]
pub struct QuotaDone {
    /// Whether it was; otherwise it was a dry run, or had been done before.
    pub done: bool,
    /// The quota before.
    pub before: QuotaRow,
    /// The quota after.
    pub after: QuotaRow,
    /// Id of what was done.
    pub id: String,
    /// The nodes that hear of it over their Redis, this one included; `None`: it holds on this gateway alone.
    pub nodes: Option<Vec<String>>,
}

/// Lists usage by tenant and quota.
pub(super) fn list(state: &AdminState, query: &QuotaQuery) -> QuotaList {
    let Some(store) = state.usage.opened() else {
        return QuotaList { problem: None, messages_waiting: 0, quotas: Vec::new() };
    };
    let snapshot = state.store.load();
    let plans = Plans::of(&snapshot);
    let tenants = match &query.tenant {
        Some(tenant) => store.known(tenant).into_iter().collect(),
        None => store.all(),
    };
    let rows = tenants.iter().flat_map(|usage| {
        let terms = plans.terms(usage.id());
        let views = terms.map(|terms| usage.views(store, snapshot.generation, terms)).unwrap_or_default();
        views.into_iter().map(|view| QuotaRow { tenant: usage.id().to_string(), view })
    });
    QuotaList {
        problem: store.problem(),
        messages_waiting: store.messages_waiting(),
        quotas: rows.take(ROWS_MAX).collect(),
    }
}

/// Adds an amount to a quota.
pub(super) fn grant(state: &AdminState, order: GrantOrder) -> Result<QuotaDone, String> {
    let key = QuotaKey::try_from(order.quota.clone())?;
    let id = order.id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    if order.amount == 0 {
        return Err("an amount of 0 grants nothing".into());
    }
    act(state, &order.tenant, key, [&order.author, &order.reason, &id], order.dry_run, |row| {
        let expires = order.expires.unwrap_or(row.view.ends);
        if expires <= jiff::Timestamp::now() {
            return Err(format!("{expires} is over already"));
        }
        Ok(Deed::Grant { id: id.clone().into(), quota: key, amount: order.amount, expires })
    })
}

/// Forgets what was used of a quota in its period.
pub(super) fn reset(state: &AdminState, order: ResetOrder) -> Result<QuotaDone, String> {
    let key = QuotaKey::try_from(order.quota.clone())?;
    let id = uuid::Uuid::now_v7().to_string();
    act(state, &order.tenant, key, [&order.author, &order.reason, &id], order.dry_run, |row| {
        let (used, period) = (row.view.used, row.view.period.clone());
        Ok(Deed::Reset { quota: key, used, id: id.clone().into(), period })
    })
}

fn act(
    state: &AdminState,
    tenant: &str,
    key: QuotaKey,
    texts: [&str; 3],
    dry_run: bool,
    deed: impl FnOnce(&QuotaRow) -> Result<Deed, String>,
) -> Result<QuotaDone, String> {
    if texts.iter().any(|text| text.is_empty() || text.len() > TEXT_BYTES_MAX) {
        return Err(format!("author, reason and id have 1 to {TEXT_BYTES_MAX} bytes"));
    }
    let snapshot = state.store.load();
    let plans = Plans::of(&snapshot);
    let has = |terms: &&Arc<QuotaTerms>| terms.quotas.iter().any(|quota| quota.key == key);
    let terms = plans.terms(tenant).filter(has);
    let terms = terms.ok_or_else(|| {
        format!("the tenant `{tenant}` has no quota `{}`: `fleetgate tenants` lists tenants, their plans have the quotas", key.as_str())
    })?;
    let store: &Arc<UsageStore> = state.usage.store();
    if !store.is_keeper() {
        return Err("another process is taking over or ending: try again in a few seconds".into());
    }
    let usage = store.tenant(tenant);
    let row = || {
        let views = usage.views(store, snapshot.generation, terms);
        let view = views.into_iter().find(|view| view.quota == key);
        view.map(|view| QuotaRow { tenant: tenant.to_owned(), view }).ok_or("the quota is gone".to_owned())
    };
    let before = row()?;
    let deed = deed(&before)?;
    let [author, reason, _] = texts.map(Into::into);
    let nodes = state.cluster.as_ref().map(|cluster| cluster.facts().nodes);
    let act = Act { time: jiff::Timestamp::now(), tenant: tenant.into(), author, reason, deed };
    let done = if dry_run { false } else { usage.act(store, &act)? };
    let after = if dry_run { preview(&before, &act.deed) } else { row()? };
    let id = act.deed.id().unwrap_or_default().to_owned();
    Ok(QuotaDone { done, before, after, id, nodes })
}

/// What a quota would be like.
fn preview(before: &QuotaRow, deed: &Deed) -> QuotaRow {
    let mut after = before.clone();
    let view = &mut after.view;
    match deed {
        Deed::Grant { amount, .. } => {
            view.granted = view.granted.saturating_add(*amount);
            view.limit = view.limit.saturating_add(*amount);
        }
        Deed::Reset { .. } => view.used = 0,
    }
    view.percent = view.used.saturating_mul(100).checked_div(view.limit).unwrap_or(0);
    after
}
