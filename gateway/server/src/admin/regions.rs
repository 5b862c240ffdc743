//! The regions of pools, and pins.

use super::routes::AdminState;
use crate::region::PoolReport;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Answer of `GET /v1/regions`.
#[derive(Debug, Serialize, Deserialize)]
pub struct RegionList {
    /// Pools that are watched.
    pub pools: Vec<PoolReport>,
}

/// Query of `POST /v1/regions/pin`.
#[derive(Debug, Deserialize)]
pub(super) struct PinQuery {
    pool: String,
    /// Left out, the pool is let go.
    region: Option<String>,
    #[serde(default)]
    reason: String,
}

/// Query of `POST /v1/regions/drain` and `/v1/regions/undrain`.
#[derive(Debug, Deserialize)]
pub(super) struct DrainQuery {
    backend: String,
    #[serde(default)]
    reason: String,
}

pub(super) async fn get_regions(State(state): State<Arc<AdminState>>) -> Json<RegionList> {
    Json(RegionList { pools: state.regions.report() })
}

pub(super) async fn post_pin(
    State(state): State<Arc<AdminState>>,
    Query(query): Query<PinQuery>,
) -> Result<Json<RegionList>, (StatusCode, String)> {
    let pinned = state.regions.pin(&query.pool, query.region.as_deref(), &query.reason).await;
    pinned.map_err(|error| (StatusCode::NOT_FOUND, error.to_string()))?;
    Ok(Json(RegionList { pools: state.regions.report() }))
}

pub(super) async fn post_drain(
    State(state): State<Arc<AdminState>>,
    Query(query): Query<DrainQuery>,
) -> Result<Json<RegionList>, (StatusCode, String)> {
    drain(&state, &query, true).await
}

pub(super) async fn post_undrain(
    State(state): State<Arc<AdminState>>,
    Query(query): Query<DrainQuery>,
) -> Result<Json<RegionList>, (StatusCode, String)> {
    drain(&state, &query, false).await
}

async fn drain(
    state: &AdminState,
    query: &DrainQuery,
    draining: bool,
) -> Result<Json<RegionList>, (StatusCode, String)> {
    let drained = state.regions.drain(&query.backend, draining, &query.reason).await;
    drained.map_err(|error| (StatusCode::NOT_FOUND, error.to_string()))?;
    Ok(Json(RegionList { pools: state.regions.report() }))
}
