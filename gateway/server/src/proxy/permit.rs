//! A request's permit for a worker: asked for when the request is whole, and held for as long as the worker is busy with
//! it, whether or not anybody still waits for the answer.

use super::admit::raw_path;
use super::context::RequestContext;
use super::exchange::client_gone;
use super::limit::jittered;
use crate::admission::{Asked, Permit, PoolAdmission};
use crate::snapshot::BackendLease;
use crate::telemetry::metrics::Metrics;
use crate::upstream::reach;
use fleetgate_core::admission::{Arrival, Refusal, RouteGroup, TenantKey, WorkClass, wait_max};
use fleetgate_core::limit::Limits;
use fleetgate_core::odoo::agents::{is_crawler, is_wkhtmltopdf};
use fleetgate_core::path::NormalPath;
use fleetgate_core::rejection::Rejection;
use http::header::USER_AGENT;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;

/// Bytes of an answer that are read for nobody; then the connection is closed, and Odoo's next write fails.
const UNWANTED_BYTES_MAX: usize = 1024 * 1024;

/// Why a request has no permit.
#[derive(Debug)]
pub(super) enum NoPermit {
    /// The gateway answers.
    Refused(Rejection),
    /// The client left.
    Gone(Box<Error>),
}

/// Gets a permit, if the pool has a known number of workers and the request takes one.
///
/// # Errors
/// There is none in time, or nobody who waits.
pub(super) async fn obtain(
    session: &mut Session,
    context: &mut RequestContext,
    metrics: &Metrics,
) -> Result<(), NoPermit> {
    // Gateways of another site have queues of their own.
    let pool = context.admission().filter(|_| !context.goes_far());
    let Some(pool) = pool.map(Arc::clone) else { return Ok(()) };
    let Some(class) = context.class() else { return Ok(()) };
    let crawler = user_agent(session).is_some_and(is_crawler);
    let Some(work) = WorkClass::of(class, crawler) else { return Ok(()) };
    let route = NormalPath::new(raw_path(session.req_header()));
    let route = route.map(|path| RouteGroup::of(class, &path)).unwrap_or_default();
    if is_called_back(session, context)
        && let Some(permit) = pool.ask_beside(route)
    {
        context.permit = Some(permit);
        return Ok(());
    }
    let arrival = Arrival {
        tenant: TenantKey::of(&context.tenant_id().unwrap_or_default()),
        weight: weight_of(context),
        reach: reach_of(context),
        class: work,
        route,
        wait_max: wait_max(class, crawler),
    };
    let asked = Instant::now();
    let permit = wait(&pool, &arrival, session).await;
    let waited = asked.elapsed();
    let name = context.pool().map_or("", |pool| &*pool.name);
    match permit {
        Ok(permit) => {
            metrics.count_permit(name, class, waited);
            context.queued = Some(waited);
            context.permit = Some(permit);
            Ok(())
        }
        Err(Wait::Refused(refusal)) => {
            metrics.count_shed(name, class, refusal.shortage);
            context.queued = Some(waited);
            Err(NoPermit::Refused(overloaded(context, refusal)))
        }
        Err(Wait::Gone(error)) => {
            context.queued = Some(waited);
            Err(NoPermit::Gone(error))
        }
    }
}

enum Wait {
    Refused(Refusal),
    Gone(Box<Error>),
}

/// Waits for as long as there is somebody to wait for.
async fn wait(pool: &Arc<PoolAdmission>, arrival: &Arrival, session: &mut Session) -> Result<Permit, Wait> {
    match pool.ask(arrival) {
        Asked::Permit(permit) => Ok(permit),
        Asked::Refused(refusal) => Err(Wait::Refused(refusal)),
        Asked::Waiting(waiting) => tokio::select! {
            biased;
            permit = waiting.permit() => permit.map_err(Wait::Refused),
            gone = client_gone(session) => Err(Wait::Gone(gone)),
        },
    }
}

fn overloaded(context: &RequestContext, refusal: Refusal) -> Rejection {
    let whole =
        refusal.retry_after.as_secs().saturating_add(u64::from(refusal.retry_after.subsec_nanos() > 0));
    let retry_after_seconds = jittered(context, u32::try_from(whole).unwrap_or(u32::MAX));
    Rejection::Overloaded { shortage: refusal.shortage, retry_after_seconds }
}

fn user_agent(session: &Session) -> Option<&[u8]> {
    session.req_header().headers.get(USER_AGENT).map(http::HeaderValue::as_bytes)
}

/// Whether a worker waits for this request: it prints, and its `wkhtmltopdf` asks for what the page needs.
fn is_called_back(session: &Session, context: &RequestContext) -> bool {
    let of_backend = || {
        let (address, target) = (context.client.address, context.target);
        let mut regions = target.into_iter().flat_map(|target| context.snapshot.regions(target.pool));
        regions.any(|backends| backends.iter().any(|backend| backend.http.address.ip() == address))
    };
    user_agent(session).is_some_and(is_wkhtmltopdf) && of_backend()
}

fn reach_of(context: &RequestContext) -> u32 {
    let (Some(target), Some(pool)) = (context.target, context.pool()) else { return 0 };
    let tenant = context.tenant_id().unwrap_or_default();
    reach(context.snapshot.backends(target.pool, target.region), &tenant, pool.backends_per_tenant)
}

/// The tenant's weight, of its plan.
fn weight_of(context: &RequestContext) -> NonZeroU16 {
    let limits = context.tenant().map(|tenant| Limits::at(&context.snapshot.fleet.limits, tenant.limits));
    limits.and_then(|limits| limits.worker_weight).unwrap_or(Arrival::WEIGHT_USUAL)
}

/// Whether the worker may be at work on a request that failed in this way: Odoo does not notice that a client is gone
/// before it writes the answer, and a worker that is silent is busy.
pub(super) fn is_still_busy(error: &Error) -> bool {
    *error.esource() == ErrorSource::Downstream || *error.etype() == ErrorType::ReadTimedout
}

/// Holds permit, if it was not given up, and place until a worker is done with a request whose answer nobody wants any more,
/// for as long as the pool lets Odoo be silent.
pub(super) fn see_out(context: &mut RequestContext, connection: HttpSession) {
    let permit = context.permit.take();
    if permit.is_none() && !context.lease.as_ref().is_some_and(BackendLease::is_apart) {
        return;
    }
    let held = (permit, context.lease.as_mut().map(BackendLease::hand_over));
    let Some(patience) = context.pool().map(|pool| pool.http.read) else { return };
    tokio::spawn(async move {
        // How it ends is nobody's business any more; that it ends is.
        let _ended = timeout(patience, read_on(connection)).await;
        drop(held);
    });
}

async fn read_on(mut connection: HttpSession) {
    connection.read_timeout = None;
    let mut bytes = 0_usize;
    while bytes <= UNWANTED_BYTES_MAX {
        match connection.read_response_task().await {
            Ok(HttpTask::Header(_, false)) => {}
            Ok(HttpTask::Body(piece, false)) => {
                bytes = bytes.saturating_add(piece.map_or(0, |piece| piece.len()));
            }
            Ok(
                HttpTask::Header(_, true)
                | HttpTask::Body(_, true)
                | HttpTask::UpgradedBody(..)
                | HttpTask::Trailer(_)
                | HttpTask::Done
                | HttpTask::Failed(_),
            )
            | Err(_) => return,
        }
    }
}
