//! The body of a request, taken from the client before any backend is asked: a worker of Odoo serves one request at
//! a time and must not wait for a slow client (Odoo 14.0 to 19.0 `odoo/service/server.py`, `WorkerHTTP`).

use crate::spool::{BodySpool, BytesHeld, SpoolError, SpoolStore};
use fleetgate_core::progress::{Floor, Progress};
use fleetgate_core::rejection::Rejection;
use fleetgate_core::rpc::RpcGuard;
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora::Error;
use pingora::proxy::Session;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;

/// Why there is no body.
#[derive(Debug)]
pub(super) enum Incomplete {
    /// The gateway answers.
    Refused(Rejection),
    /// The client left, or sent what cannot be read.
    Broken(Box<Error>),
}

/// Reads a body to its end, at the pace of a client that is not slower than the floor. A guard reads along; what it is sure not to let through is not kept.
pub(super) async fn collect(
    session: &mut Session,
    store: &SpoolStore,
    tenant: &Arc<BytesHeld>,
    bytes_max: u64,
    floor: Floor,
    guard: &mut RpcGuard,
) -> Result<BodySpool, Incomplete> {
    let mut body = BodySpool::default();
    if session.as_mut().is_body_empty() {
        return Ok(body);
    }
    let fields = &session.req_header().headers;
    let announced = fields.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(Incomplete::Refused(Rejection::BodyTooLarge));
    }
    if fields.contains_key(EXPECT) {
        session
            .as_mut()
            .write_continue_response()
            .await
            .map_err(|error| Incomplete::Broken(error.into_down()))?;
    }
    let mut progress = Progress::new(floor);
    let mut received = 0_u64;
    loop {
        let asked = Instant::now();
        let read = timeout(progress.left(), session.as_mut().read_request_body()).await;
        let Ok(read) = read else { return Err(Incomplete::Refused(Rejection::BodyTooSlow)) };
        let Some(chunk) = read.map_err(|error| Incomplete::Broken(error.into_down()))? else { break };
        let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        progress.waited(asked.elapsed(), bytes);
        received = received.saturating_add(bytes);
        if received > bytes_max {
            return Err(Incomplete::Refused(Rejection::BodyTooLarge));
        }
        guard.feed(&chunk);
        if !guard.may_forward() {
            continue;
        }
        body.push(chunk, store, tenant).await.map_err(|error| {
            if let SpoolError::Io(error) = &error {
                tracing::error!(%error, "a request body cannot be kept on disk; see `spool.directory`");
            }
            Incomplete::Refused(Rejection::SpoolFull)
        })?;
    }
    Ok(body)
}
