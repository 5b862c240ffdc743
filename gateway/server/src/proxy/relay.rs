//! An answer on its way from a backend to a client, each at its own pace.

use super::connect::BackendConnections;
use super::context::RequestContext;
use super::exchange::{Answering, client_gone, release_place, unreadable};
use super::service::GatewayState;
use super::{headers, limit, permit};
use crate::spool::{AnswerSpool, BytesHeld, SpoolStore};
use fleetgate_core::traffic::BackendPort;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::future::{pending, ready};
use std::sync::Arc;

/// Status of answers whose body tells of a login.
const OK: u16 = 200;
/// Bytes that are written to the client at once, about.
const BATCH_BYTES: usize = 64 * 1024;

/// Passes an answer on.
///
/// # Errors
/// The client left, or the backend broke off.
pub(super) async fn relay(
    session: &mut Session,
    context: &mut RequestContext,
    state: &GatewayState,
    answering: Answering,
    tenant: &Arc<BytesHeld>,
) -> Result<()> {
    let Answering { connection, peer, may_be_kept, mut head, ends } = answering;
    limit::watch_login(context, head.status.as_u16(), None);
    headers::adopt(session, context, state, &mut head, ends)?;
    let source = Source { connection, peer, may_be_kept };
    let mut answer = Answer { source: Some(source), spool: AnswerSpool::default(), broken: None };
    if ends {
        answer.end(context, &state.backends).await;
    }
    let keep = Keep { store: &state.spool, tenant, backends: &state.backends };
    answer.take_what_is_there(context, &keep).await;
    let passed = pass(&mut answer, session, context, &keep, HttpTask::Header(head, ends)).await;
    if let Some(source) = answer.source.take() {
        permit::see_out(context, source.connection);
    }
    passed
}

/// Passes an answer on until all of it is with the client.
async fn pass(
    answer: &mut Answer,
    session: &mut Session,
    context: &mut RequestContext,
    keep: &Keep<'_>,
    head: HttpTask,
) -> Result<()> {
    let mut batch = vec![head];
    loop {
        let last = answer.fill(&mut batch, keep.store).await?;
        if !batch.is_empty() {
            context.answer_leaves(body_bytes(&batch));
            answer.write(session, context, keep, std::mem::take(&mut batch)).await?;
        }
        if last {
            return Ok(());
        }
        if answer.spool.is_empty() && answer.source.is_some() {
            tokio::select! {
                biased;
                task = answer.next() => answer.absorb(task, context, keep).await,
                gone = client_gone(session) => return Err(gone),
            }
        }
    }
}

/// Bytes of a body in a batch.
fn body_bytes(batch: &[HttpTask]) -> usize {
    let bytes =
        batch.iter().map(|task| if let HttpTask::Body(Some(piece), _) = task { piece.len() } else { 0 });
    bytes.sum()
}

/// What an answer needs while it is under way.
struct Keep<'a> {
    store: &'a SpoolStore,
    tenant: &'a Arc<BytesHeld>,
    backends: &'a BackendConnections,
}

/// A backend that still sends.
struct Source {
    connection: HttpSession,
    peer: Box<HttpPeer>,
    may_be_kept: bool,
}

struct Answer {
    /// `None` once the backend has sent everything, or failed.
    source: Option<Source>,
    spool: AnswerSpool,
    /// Why the backend failed.
    broken: Option<Box<Error>>,
}

impl Answer {
    /// The next piece from the backend; never, when there is none.
    async fn next(&mut self) -> Result<HttpTask> {
        match &mut self.source {
            Some(source) if self.spool.has_room() => source.connection.read_response_task().await,
            _ => pending().await,
        }
    }

    /// Takes what has arrived already, so that a small answer leaves in one piece.
    async fn take_what_is_there(&mut self, context: &mut RequestContext, keep: &Keep<'_>) {
        for _ in 0..4 {
            let task = tokio::select! {
                biased;
                task = self.next() => task,
                () = ready(()) => return,
            };
            self.absorb(task, context, keep).await;
        }
    }

    async fn absorb(&mut self, task: Result<HttpTask>, context: &mut RequestContext, keep: &Keep<'_>) {
        let (piece, ends) = match task {
            Ok(HttpTask::Body(piece, ends)) => (piece, ends),
            Ok(HttpTask::Done | HttpTask::Trailer(_)) => (None, true),
            Ok(HttpTask::Failed(error)) | Err(error) => return self.fail(error, context),
            Ok(HttpTask::Header(..) | HttpTask::UpgradedBody(..)) => {
                let text = "the backend sent a second head";
                return self.fail(Error::explain(ErrorType::InvalidHTTPHeader, text), context);
            }
        };
        if let Some(piece) = piece {
            limit::watch_login(context, OK, Some(&piece));
            self.spool.push(piece, keep.store, keep.tenant).await;
        }
        if ends {
            self.end(context, keep.backends).await;
        }
    }

    /// The backend is free, whatever the client does.
    async fn end(&mut self, context: &mut RequestContext, backends: &BackendConnections) {
        release_place(context);
        if let Some(Source { connection, peer, .. }) = self.source.take_if(|source| source.may_be_kept) {
            backends.release(connection, &peer).await;
        }
        self.source = None;
    }

    fn fail(&mut self, error: Box<Error>, context: &mut RequestContext) {
        if let Some(lease) = context.lease.as_ref().filter(|lease| lease.port() == BackendPort::Http) {
            lease.backend().traffic().note_broken();
        }
        release_place(context);
        self.source = None;
        self.broken = Some(error.into_up());
    }

    /// Adds to a batch what is there for the client; true when it is the last of it. The batch before has been written.
    async fn fill(&mut self, batch: &mut Vec<HttpTask>, store: &SpoolStore) -> Result<bool> {
        self.spool.left();
        let mut bytes = 0_usize;
        while bytes < BATCH_BYTES {
            let Some(piece) = self.spool.pop(store).await.map_err(unreadable)? else { break };
            bytes = bytes.saturating_add(piece.len());
            batch.push(HttpTask::Body(Some(piece), false));
        }
        if self.source.is_some() || !self.spool.is_empty() {
            return Ok(false);
        }
        match self.broken.take() {
            // What came before is written first: the error comes round again with an empty batch.
            Some(error) if !batch.is_empty() => self.broken = Some(error),
            Some(error) => return Err(error),
            None => {
                batch.push(HttpTask::Done);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes to the client, and takes from the backend meanwhile.
    async fn write(
        &mut self,
        session: &mut Session,
        context: &mut RequestContext,
        keep: &Keep<'_>,
        batch: Vec<HttpTask>,
    ) -> Result<()> {
        let written = session.write_response_tasks(batch);
        tokio::pin!(written);
        loop {
            tokio::select! {
                biased;
                done = &mut written => return done.map(|_| ()).map_err(|error| error.into_down()),
                task = self.next() => self.absorb(task, context, keep).await,
            }
        }
    }
}
