//! Probes and metrics for machines.

use super::routes::AdminState;
use super::status::Phase;
use axum::Router;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fleetgate_core::config::Secret;
use std::sync::Arc;

/// Content type of the text that Prometheus scrapes.
const METRICS_TYPE: &str = "text/plain; version=0.0.4";

#[derive(Clone)]
struct Observed {
    admin: Arc<AdminState>,
    token: Option<Secret>,
}

/// `/livez`: the process runs. `/readyz`: it takes requests. `/metrics`: figures, behind a token if one is set.
pub fn observe_router(admin: Arc<AdminState>, token: Option<Secret>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Observed { admin, token })
}

async fn ready(State(observed): State<Observed>) -> (StatusCode, &'static str) {
    match observed.admin.phase.get() {
        Phase::Serving => (StatusCode::OK, "ready\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics(State(observed): State<Observed>, headers: HeaderMap) -> Response {
    if let Some(token) = &observed.token {
        let sent = headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes).unwrap_or_default();
        // Hashes are compared in constant time.
        let expected = blake3::hash(format!("Bearer {}", token.reveal()).as_bytes());
        if blake3::hash(sent) != expected {
            return (StatusCode::UNAUTHORIZED, "send the configured bearer token\n").into_response();
        }
    }
    match observed.admin.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
