//! The regions of pools, and pins.

use super::routes::AdminState;
use crate::region::{Order, OrderError, PoolReport};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Answer of `GET /v1/regions`.
#[derive(Debug, Serialize, Deserialize)]
pub struct RegionList {
    /// Pools that are watched; of a dry run, those that would change.
    pub pools: Vec<PoolReport>,
    /// Whether nothing was changed, and this is how it would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// Query of `POST /v1/regions/pin`.
#[derive(Debug, Deserialize)]
pub(super) struct PinQuery {
    pool: String,
    /// Left out, the pool is let go.
    region: Option<String>,
    #[serde(default)]
    author: String,
    #[serde(default)]
    reason: String,
    expires: Option<jiff::Timestamp>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    force: bool,
}

/// Query of `POST /v1/regions/drain` and `/v1/regions/undrain`.
#[derive(Debug, Deserialize)]
pub(super) struct DrainQuery {
    backend: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

type Told = Result<Json<RegionList>, (StatusCode, String)>;

pub(super) async fn get_regions(State(state): State<Arc<AdminState>>) -> Json<RegionList> {
    Json(RegionList { pools: state.regions.report(), dry_run: false })
}

/// What this gateway says to the others, for the other process of it in an upgrade.
pub(super) async fn get_said(
    State(state): State<Arc<AdminState>>,
) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "application/json")], state.regions.say())
}

pub(super) async fn post_pin(State(state): State<Arc<AdminState>>, Query(query): Query<PinQuery>) -> Told {
    let PinQuery { pool, region, author, reason, expires, dry_run, force } = query;
    let order = Order { author, reason, expires, dry_run, force };
    told(state.regions.pin(&pool, region.as_deref(), &order).await, dry_run)
}

pub(super) async fn post_drain(
    State(state): State<Arc<AdminState>>,
    Query(query): Query<DrainQuery>,
) -> Told {
    drain(&state, query, true).await
}

pub(super) async fn post_undrain(
    State(state): State<Arc<AdminState>>,
    Query(query): Query<DrainQuery>,
) -> Told {
    drain(&state, query, false).await
}

async fn drain(state: &AdminState, query: DrainQuery, draining: bool) -> Told {
    let DrainQuery { backend, author, reason, dry_run } = query;
    let order = Order { author, reason, dry_run, ..Order::default() };
    told(state.regions.drain(&backend, draining, &order).await, dry_run)
}

fn told(done: Result<Vec<PoolReport>, OrderError>, dry_run: bool) -> Told {
    match done {
        Ok(pools) => Ok(Json(RegionList { pools, dry_run })),
        Err(error @ (OrderError::Unready { .. } | OrderError::Over(_))) => {
            Err((StatusCode::CONFLICT, error.to_string()))
        }
        Err(error) => Err((StatusCode::NOT_FOUND, error.to_string())),
    }
}
