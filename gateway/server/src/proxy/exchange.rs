//! One request and its answer between a client and a worker: the request is whole before a backend is asked, and the
//! answer is taken from the backend as fast as it comes. Pingora connects and parses; its own
//! exchange would pass a slow client's pace on to the worker.

use super::collect::{Incomplete, Intake, collect, keep};
use super::connect::BackendConnections;
use super::context::RequestContext;
use super::live::LiveBody;
use super::permit::{self, NoPermit};
use super::relay::relay;
use super::service::GatewayState;
use super::{answer, filestore, forward, headers, limit, lost, region, rpc, target};
use crate::snapshot::{BackendLease, Met};
use crate::spool::{BodySpool, BytesHeld, SpoolError};
use crate::upstream::Failure;
use bytes::Bytes;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::rpc::{RpcGuard, RpcOutcome};
use fleetgate_core::traffic::{BackendPort, TrafficClass};
use http::Version;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Interim answers (`1xx`) that a backend may send before the answer. They are not passed on.
const INTERIM_MAX: u32 = 16;
/// For the answer of a backend that stopped reading the request.
const EARLY_ANSWER: Duration = Duration::from_secs(5);

/// How Pingora calls bytes after the end of a request.
const SENT_MORE: ErrorType = ErrorType::ConnectError;

/// A connection to a backend that has begun to answer.
pub(super) struct Answering {
    /// Connection.
    pub(super) connection: HttpSession,
    /// Where it leads.
    pub(super) peer: Box<HttpPeer>,
    /// Whether the request was read to its end, so that another may follow.
    pub(super) may_be_kept: bool,
    /// Head of the answer.
    pub(super) head: Box<ResponseHeader>,
    /// Whether nothing follows the head.
    pub(super) ends: bool,
}

/// Serves a request from its body to the end of its answer.
///
/// # Errors
/// The client left, or no backend gave a whole answer.
pub(super) async fn exchange(
    session: &mut Session,
    context: &mut RequestContext,
    state: &GatewayState,
) -> Result<()> {
    let Some(tenant) = context.account.as_ref().map(Arc::clone) else {
        return Error::e_explain(ErrorType::InternalError, "a request without a tenant was forwarded");
    };
    let mut body = match take(session, context, state, tenant.disk_use()).await? {
        Taken::Body(body) => body,
        Taken::Answered => return Ok(()),
    };
    let ready = region::enter(session, context, &state.metrics).await;
    if !has_worker(session, context, ready).await? {
        return Ok(());
    }
    loop {
        match ask(session, context, &state.backends, &mut body).await {
            Ok(answering) => {
                drop(body);
                if filestore::names_a_file(&answering.head) {
                    return Box::pin(filestore::send(session, context, state, answering)).await;
                }
                return relay(session, context, state, answering, tenant.disk_use()).await;
            }
            // It may be sent again: then to where its pool is now.
            Err(error) if error.retry() => {
                let ready = region::go_on(session, context, &state.metrics).await;
                if !has_worker(session, context, ready).await? {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// The body of a request.
enum Body {
    /// All of it.
    Whole(BodySpool),
    /// On its way.
    Live(LiveBody),
}

/// What became of the body.
enum Taken {
    Body(Body),
    /// The client has got an answer without a backend.
    Answered,
}

/// Takes the body from the client, or prepares to pass it on.
async fn take(
    session: &mut Session,
    context: &mut RequestContext,
    state: &GatewayState,
    tenant: &Arc<BytesHeld>,
) -> Result<Taken> {
    let mut guard = match rpc::guard(context, session.req_header()) {
        Ok(guard) => guard,
        Err(rejection) => return refuse(session, context, rejection).await,
    };
    let mut body = match receive(session, context, state, tenant, &mut guard).await {
        Ok(Received::Whole(body)) => body,
        Ok(Received::Begun(first, intake)) => {
            return Ok(Taken::Body(Body::Live(LiveBody::new(first, intake, guard))));
        }
        Err(Incomplete::Refused(rejection)) => {
            session.set_keepalive(None);
            return refuse(session, context, rejection).await;
        }
        Err(Incomplete::Broken(error)) => return Err(error),
    };
    if let Some(login) = guard.login()
        && let Err(rejection) = limit::try_login(context, login)
    {
        return refuse(session, context, rejection).await;
    }
    match guard.finish() {
        RpcOutcome::Forward { replace: None } => {}
        RpcOutcome::Forward { replace: Some(replace) } => body.replace(replace.range, replace.bytes),
        RpcOutcome::Answer(call) => {
            return Box::pin(answer::call(session, context, call)).await.map(|()| Taken::Answered);
        }
        RpcOutcome::Refuse(refusal) => return refuse(session, context, refusal.into()).await,
        RpcOutcome::Guarded(guard) => return refuse(session, context, guard.rejection()).await,
    }
    Ok(Taken::Body(Body::Whole(body)))
}

/// What has come of a body.
enum Received {
    Whole(BodySpool),
    /// The first piece of one that is passed on as it comes.
    Begun(Bytes, Intake),
}

async fn receive(
    session: &mut Session,
    context: &RequestContext,
    state: &GatewayState,
    tenant: &Arc<BytesHeld>,
    guard: &mut RpcGuard,
) -> Result<Received, Incomplete> {
    if session.as_mut().is_body_empty() {
        return Ok(Received::Whole(BodySpool::default()));
    }
    let mut intake = Intake::begin(session, context.body_bytes_max(), state.clocks.floor).await?;
    let streamed = context.is_streamed() && !rpc::is_call(context, session.req_header());
    if !streamed {
        return collect(session, &state.spool, tenant, intake, guard).await.map(Received::Whole);
    }
    // No worker is asked for a client that says nothing.
    match intake.next(session).await? {
        Some(first) if !session.as_mut().is_body_done() => Ok(Received::Begun(first, intake)),
        first => {
            let mut body = BodySpool::default();
            keep(&mut body, first.unwrap_or_default(), &state.spool, tenant, guard).await?;
            Ok(Received::Whole(body))
        }
    }
}

async fn refuse(session: &mut Session, context: &mut RequestContext, rejection: Rejection) -> Result<Taken> {
    Box::pin(answer::reject(session, context, rejection)).await.map(|()| Taken::Answered)
}

/// Whether a request may be sent; `false` when the client was told that nobody serves it.
async fn has_worker(
    session: &mut Session,
    context: &mut RequestContext,
    ready: Result<(), NoPermit>,
) -> Result<bool> {
    match ready {
        Ok(()) => Ok(true),
        Err(NoPermit::Refused(rejection)) => {
            Box::pin(answer::reject(session, context, rejection)).await.map(|()| false)
        }
        Err(NoPermit::Gone(error)) => Err(error),
    }
}

/// The head that a backend gets: HTTP/1.1, and a length instead of chunks if the body is whole.
fn backend_head(session: &mut Session, context: &RequestContext, body: &Body) -> Result<Box<RequestHeader>> {
    let had_length = session.req_header().headers.contains_key(CONTENT_LENGTH)
        || session.req_header().headers.contains_key(TRANSFER_ENCODING);
    let mut head = session.req_header().clone();
    head.set_version(Version::HTTP_11);
    headers::rewrite_whole(context, &mut head)?;
    target::drop_authority(&mut head);
    match body {
        Body::Whole(body) if had_length || !body.is_empty() => {
            head.insert_header(CONTENT_LENGTH, body.len())?
        }
        Body::Live(_) if !head.headers.contains_key(CONTENT_LENGTH) => {
            head.insert_header(TRANSFER_ENCODING, "chunked")?;
        }
        Body::Whole(_) | Body::Live(_) => {}
    }
    headers::set_connection(context, &mut head)?;
    Ok(Box::new(head))
}

/// Asks the next backend, up to the head of its answer.
async fn ask(
    session: &mut Session,
    context: &mut RequestContext,
    backends: &BackendConnections,
    body: &mut Body,
) -> Result<Answering> {
    let head = backend_head(session, context, body)?;
    let peer = forward::next_peer(context)?;
    let connected = backends.connect(&peer, context.backend_tls().map(|tls| &**tls)).await;
    let (mut connection, kept) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            let mut error = error.into_up();
            forward::note_connect_failure(context, &error);
            forward::settle(context, &mut error, Failure::Connect, false);
            return Err(error);
        }
    };
    if let Some(lease) = &context.lease {
        lease.backend().note_connected(lease.port());
    }
    if let Some(permit) = &mut context.permit {
        permit.note_used();
    }
    context.backend_begins();
    let begun = Instant::now();
    connection.read_timeout = peer.options.read_timeout;
    connection.write_timeout = peer.options.write_timeout;
    let (answered, is_lost) = answer_of(session, context, &mut connection, head, body).await;
    if !is_lost {
        let met = answered.as_ref().map(|(_, head, _)| head.status.as_u16());
        note_met(context, begun, met.map_err(|error| &**error));
    }
    match answered {
        Ok(_) if region::is_too_late(context) => {
            context.backend_ends();
            context.refused = Some(Rejection::RegionLeft);
            let text = "the pool has left the region for another database";
            Err(Error::explain(ErrorType::HTTPStatus(Rejection::RegionLeft.status()), text).into_up())
        }
        Ok((may_be_kept, head, ends)) => {
            context.first_byte.get_or_insert_with(|| context.started.elapsed());
            Ok(Answering { connection, peer, may_be_kept, head, ends })
        }
        Err(mut error) => {
            context.backend_ends();
            let (failure, whole) = match body {
                Body::Whole(_) if is_lost => (Failure::Lost, true),
                Body::Whole(_) => (Failure::BeforeAnswer, true),
                Body::Live(live) => {
                    context.refused = live.take_refusal();
                    (if live.has_begun() { Failure::Final } else { Failure::BeforeAnswer }, live.is_whole())
                }
            };
            forward::settle(context, &mut error, failure, kept);
            // A worker that never gets the end of a request is done with it when the connection ends.
            if whole && permit::is_still_busy(&error) {
                permit::see_out(context, connection);
            }
            Err(error)
        }
    }
}

/// Whether a backend read the request to its end, and the head of its answer with whether nothing follows.
type Answered = Result<(bool, Box<ResponseHeader>, bool)>;

/// Sends the request and waits for the head of its answer. The second value: the request has left a backend that answers
/// nobody.
async fn answer_of(
    session: &mut Session,
    context: &mut RequestContext,
    connection: &mut HttpSession,
    head: Box<RequestHeader>,
    body: &mut Body,
) -> (Answered, bool) {
    let may_leave = lost::may_leave(context, matches!(body, Body::Whole(_)));
    let mut answered = pin!(async {
        let may_be_kept = send(session, connection, head, body).await?;
        let (head, ends) = first_answer(session, connection).await?;
        Ok((may_be_kept, head, ends))
    });
    tokio::select! {
        biased;
        answered = &mut answered => return (answered, false),
        () = lost::found(context) => {}
    }
    lost::give_up_permit(context);
    if may_leave { (Err(lost::leave(context)), true) } else { (answered.await, false) }
}

/// Whether the outcome says something about the backend: a client that leaves says nothing.
fn says_something(error: &Error) -> bool {
    *error.esource() == ErrorSource::Upstream
}

/// Notes what a request met, for whoever watches the backend.
fn note_met(context: &RequestContext, begun: Instant, status: Result<u16, &Error>) {
    let Some(lease) = context.lease.as_ref().filter(|lease| lease.port() == BackendPort::Http) else {
        return;
    };
    let traffic = lease.backend().traffic();
    match status {
        Ok(status) => {
            // Reports and their like are as late as they are long.
            let tells = matches!(context.class(), Some(TrafficClass::Page | TrafficClass::Rpc));
            let tenant = context.account.as_ref().map_or("", |account| account.id());
            traffic.note_answer(Met { status, tenant, late: tells.then(|| begun.elapsed()) });
        }
        Err(error) if says_something(error) => traffic.note_failure(),
        Err(_) => {}
    }
}

/// Sends the request. `false` when the backend stopped reading it: its answer, if there is one, still counts.
async fn send(
    session: &mut Session,
    connection: &mut HttpSession,
    head: Box<RequestHeader>,
    body: &mut Body,
) -> Result<bool> {
    connection.write_request_header(head).await.map_err(|error| error.into_up())?;
    let whole = match body {
        Body::Whole(body) => send_whole(connection, body).await?,
        Body::Live(body) => body.pass_on(session, connection).await?,
    };
    if !whole {
        // What the client still sends is of no use to anybody.
        session.set_keepalive(None);
        connection.read_timeout = Some(EARLY_ANSWER);
    }
    Ok(whole)
}

async fn send_whole(connection: &mut HttpSession, body: &BodySpool) -> Result<bool> {
    let mut at = 0_u64;
    loop {
        let chunk = body.read(at).await.map_err(unreadable)?;
        if chunk.is_empty() {
            break;
        }
        if connection.write_body(&chunk).await.is_err() {
            return Ok(false);
        }
        at = at.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
    }
    connection.finish_body().await.map_err(|error| error.into_up())?;
    Ok(true)
}

/// Waits for the answer, as long as there is somebody to give it to.
async fn first_answer(
    session: &mut Session,
    connection: &mut HttpSession,
) -> Result<(Box<ResponseHeader>, bool)> {
    tokio::select! {
        biased;
        head = final_head(connection) => head,
        gone = client_gone(session) => Err(gone),
    }
}

async fn final_head(connection: &mut HttpSession) -> Result<(Box<ResponseHeader>, bool)> {
    for _ in 0..=INTERIM_MAX {
        let task = connection.read_response_task().await.map_err(|error| error.into_up())?;
        let HttpTask::Header(head, ends) = task else { break };
        if !is_interim(&head) {
            return Ok((head, ends));
        }
    }
    let text = "the backend sent no final answer";
    Err(Error::explain(ErrorType::InvalidHTTPHeader, text).into_up())
}

/// Switching protocols is final: nothing follows that could be read as an answer.
fn is_interim(head: &ResponseHeader) -> bool {
    head.status.is_informational() && head.status != http::StatusCode::SWITCHING_PROTOCOLS
}

/// Waits until the client leaves. A client that sends its next request early is still there: it gets the answer to this
/// one, and then the end of the connection (RFC 9112, section 9.3.2, has it send the next one again).
///
/// A client whose body is not read yet is not listened to: a look would take a byte of it.
pub(super) async fn client_gone(session: &mut Session) -> Box<Error> {
    if !session.as_mut().is_body_done() {
        return pending().await;
    }
    match session.as_mut().read_body_or_idle(true).await {
        Err(error) if *error.etype() != SENT_MORE => error.into_down(),
        Ok(_) | Err(_) => {
            session.set_keepalive(None);
            pending().await
        }
    }
}

/// A body that was kept and cannot be read again.
pub(super) fn unreadable(error: SpoolError) -> Box<Error> {
    Error::because(ErrorType::InternalError, "reading what was kept on disk", error).into_in()
}

/// Gives the place at the backend and the permit for its worker back before the request ends.
pub(super) fn release_place(context: &mut RequestContext) {
    context.permit = None;
    context.backend_ends();
    if let Some(lease) = &mut context.lease {
        BackendLease::give_back(lease);
    }
}
