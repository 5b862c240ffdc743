//! The body of a request, taken from the client before any backend is asked: a worker of Odoo serves one request at
//! a time and must not wait for a slow client (Odoo 14.0 to 19.0 `odoo/service/server.py`, `WorkerHTTP`).

use crate::spool::{BodySpool, BytesHeld, SpoolError, SpoolStore};
use bytes::Bytes;
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

/// A body on its way from the client: no longer than allowed, and no slower than the floor.
pub(super) struct Intake {
    progress: Progress,
    bytes_max: u64,
    received: u64,
}

impl Intake {
    /// Begins to take the body of a request that has one.
    ///
    /// # Errors
    /// It is announced to be longer than allowed, or the client has left.
    pub(super) async fn begin(
        session: &mut Session,
        bytes_max: u64,
        floor: Floor,
    ) -> Result<Self, Incomplete> {
        let fields = &session.req_header().headers;
        let announced =
            fields.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > bytes_max) {
            return Err(Incomplete::Refused(Rejection::BodyTooLarge));
        }
        if fields.contains_key(EXPECT) {
            let told = session.as_mut().write_continue_response().await;
            told.map_err(|error| Incomplete::Broken(error.into_down()))?;
        }
        Ok(Self { progress: Progress::new(floor), bytes_max, received: 0 })
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// See [`Incomplete`].
    pub(super) async fn next(&mut self, session: &mut Session) -> Result<Option<Bytes>, Incomplete> {
        let asked = Instant::now();
        let read = timeout(self.progress.left(), session.as_mut().read_request_body()).await;
        let Ok(read) = read else { return Err(Incomplete::Refused(Rejection::BodyTooSlow)) };
        let Some(chunk) = read.map_err(|error| Incomplete::Broken(error.into_down()))? else {
            return Ok(None);
        };
        let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.progress.waited(asked.elapsed(), bytes);
        self.received = self.received.saturating_add(bytes);
        if self.received > self.bytes_max {
            return Err(Incomplete::Refused(Rejection::BodyTooLarge));
        }
        Ok(Some(chunk))
    }
}

/// Reads a body to its end. A guard reads along; what it is sure not to let through is not kept.
pub(super) async fn collect(
    session: &mut Session,
    store: &SpoolStore,
    tenant: &Arc<BytesHeld>,
    mut intake: Intake,
    guard: &mut RpcGuard,
) -> Result<BodySpool, Incomplete> {
    let mut body = BodySpool::default();
    while let Some(chunk) = intake.next(session).await? {
        keep(&mut body, chunk, store, tenant, guard).await?;
    }
    Ok(body)
}

/// Keeps a piece of a body.
///
/// # Errors
/// There is no space left.
pub(super) async fn keep(
    body: &mut BodySpool,
    piece: Bytes,
    store: &SpoolStore,
    tenant: &Arc<BytesHeld>,
    guard: &mut RpcGuard,
) -> Result<(), Incomplete> {
    guard.feed(&piece);
    if !guard.may_forward() {
        return Ok(());
    }
    body.push(piece, store, tenant).await.map_err(|error| {
        if let SpoolError::Io(error) = &error {
            tracing::error!(%error, "a request body cannot be kept on disk; see `spool.directory`");
        }
        Incomplete::Refused(Rejection::SpoolFull)
    })
}
