//! Routes of the admin API.

use super::explain::{ExplainQuery, Explanation, explain};
use super::quota::{self, GrantOrder, QuotaDone, QuotaList, QuotaQuery, ResetOrder};
use super::regions::{get_regions, get_said, post_drain, post_pin, post_undrain};
use super::status::{ListenerStatus, PhaseCell, Status, status};
use super::tenants::{TenantList, TenantQuery, list};
use crate::acme::AcmeKeeper;
use crate::certificates::CertificateStore;
use crate::cluster::Cluster;
use crate::region::RegionWatch;
use crate::reload::{ReloadReport, Reloader};
use crate::snapshot::SnapshotStore;
use crate::spool::SpoolStore;
use crate::telemetry::metrics::Metrics;
use crate::usage::{Act, Usage};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::UnixListener;

/// What the API reads and does.
pub struct AdminState {
    /// Snapshots.
    pub store: Arc<SnapshotStore>,
    /// Reloads.
    pub reload: Arc<Reloader>,
    /// Regions of the pools.
    pub regions: Arc<RegionWatch>,
    /// What tenants use of their quotas.
    pub usage: Arc<Usage>,
    /// The other nodes; `None`: there are none.
    pub cluster: Option<Arc<Cluster>>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Where bodies wait.
    pub spool: Arc<SpoolStore>,
    /// Phase of the process.
    pub phase: Arc<PhaseCell>,
    /// Certificates of all listeners.
    pub certificates: Vec<Arc<CertificateStore>>,
    /// Orders certificates.
    pub keeper: Option<Arc<AcmeKeeper>>,
    /// Bound addresses.
    pub listeners: Vec<ListenerStatus>,
    /// When the process started.
    pub started: Instant,
}

/// The admin API.
pub fn admin_router(state: Arc<AdminState>) -> Router {
    Router::new()
        .route("/v1/status", get(get_status))
        .route("/v1/tenants", get(get_tenants))
        .route("/v1/explain", get(get_explain))
        .route("/v1/reload", post(post_reload))
        .route("/v1/regions", get(get_regions))
        .route("/v1/regions/said", get(get_said))
        .route("/v1/regions/pin", post(post_pin))
        .route("/v1/regions/drain", post(post_drain))
        .route("/v1/regions/undrain", post(post_undrain))
        .route("/v1/quota", get(get_quota))
        .route("/v1/quota/acts", get(get_acts))
        .route("/v1/quota/grant", post(post_grant))
        .route("/v1/quota/reset", post(post_reset))
        .with_state(state)
}

async fn get_status(State(state): State<Arc<AdminState>>) -> Json<Status> {
    Json(status(&state))
}

async fn get_tenants(
    State(state): State<Arc<AdminState>>,
    Query(query): Query<TenantQuery>,
) -> Json<TenantList> {
    Json(list(&state, &query))
}

async fn get_explain(
    State(state): State<Arc<AdminState>>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Explanation>, (StatusCode, String)> {
    explain(&state, &query).map(Json).map_err(|problem| (StatusCode::BAD_REQUEST, problem))
}

async fn post_reload(State(state): State<Arc<AdminState>>) -> Json<ReloadReport> {
    Json(state.reload.reload().await.as_ref().clone())
}

async fn get_quota(State(state): State<Arc<AdminState>>, Query(query): Query<QuotaQuery>) -> Json<QuotaList> {
    Json(quota::list(&state, &query))
}

async fn get_acts(State(state): State<Arc<AdminState>>) -> Json<Vec<Act>> {
    Json(state.usage.opened().map(|store| store.acts()).unwrap_or_default())
}

async fn post_grant(
    State(state): State<Arc<AdminState>>,
    Query(order): Query<GrantOrder>,
) -> Result<Json<QuotaDone>, (StatusCode, String)> {
    quota::grant(&state, order).map(Json).map_err(|problem| (StatusCode::BAD_REQUEST, problem))
}

async fn post_reset(
    State(state): State<Arc<AdminState>>,
    Query(order): Query<ResetOrder>,
) -> Result<Json<QuotaDone>, (StatusCode, String)> {
    quota::reset(&state, order).map(Json).map_err(|problem| (StatusCode::BAD_REQUEST, problem))
}

/// Binds the socket, replacing a file that a previous process left or still uses. Only the owner and the group
/// may connect.
///
/// # Errors
/// The folder cannot be made or written to.
pub fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o660))?;
    // The rename is atomic: whoever connects reaches the old process or this one.
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}
