//! The region that a request goes to: chosen when the request is whole and about to be sent. While its pool has none, the
//! request waits, and is sent once, to the region that takes over, or is refused when the time is over.

use super::context::{RequestContext, Target};
use super::exchange::client_gone;
use super::permit::{self, NoPermit};
use crate::telemetry::held::Held;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Attempts;
use fleetgate_core::region::{Entry, RegionIndex, Route};
use fleetgate_core::rejection::Rejection;
use fleetgate_core::traffic::TrafficClass;
use pingora::proxy::Session;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Times that a request is sent to the back of the queue for workers because its pool has moved meanwhile.
const MOVES_MAX: u32 = 3;

/// What becomes of a request whose head has come. `Ok`: it is read, and its region is chosen when it is whole.
///
/// # Errors
/// No region serves it, and it is none that can wait.
pub(super) fn expect(context: &RequestContext, target: Target) -> Result<RegionIndex, Rejection> {
    let route = context.snapshot.route(target.pool).ok_or(Rejection::Internal)?;
    if let Some(region) = route.open(context.retry.may_reuse_connection()) {
        return Ok(region);
    }
    let pool = context.snapshot.fleet.pools.get(usize::from(target.pool.0)).ok_or(Rejection::Internal)?;
    // Odoo's clients open a lost websocket again by themselves, and what is streamed cannot wait anywhere.
    let waits = match target.class {
        Some(TrafficClass::Websocket | TrafficClass::Longpolling) | None => false,
        Some(
            TrafficClass::Page
            | TrafficClass::Rpc
            | TrafficClass::Static
            | TrafficClass::Report
            | TrafficClass::Integration,
        ) => !target.streamed,
    };
    let hold = if waits { pool.failover.hold } else { Duration::ZERO };
    match route.entry(context.retry.may_reuse_connection(), hold).0 {
        Entry::Enter(region) => Ok(region),
        Entry::Hold(_) => Ok(pool.home()),
        Entry::Refuse(rejection) => Err(rejection),
    }
}

/// Gets a region and a worker there.
///
/// # Errors
/// There is none in time, or nobody who waits.
pub(super) async fn enter(
    session: &mut Session,
    context: &mut RequestContext,
    metrics: &Metrics,
) -> Result<(), NoPermit> {
    for _ in 0..MOVES_MAX {
        choose(session, context, metrics).await?;
        permit::obtain(session, context, metrics).await?;
        if !has_moved(context) {
            return Ok(());
        }
        context.permit = None;
    }
    Err(NoPermit::Refused(Rejection::RegionUnwritable))
}

/// Whether the pool has left the region that was chosen. A request that some backend may have seen stays where it is.
pub(super) fn has_moved(context: &RequestContext) -> bool {
    let route = context.target.and_then(|target| Some((context.snapshot.route(target.pool)?, target.region)));
    route.is_some_and(|(route, region)| match route.get() {
        Route::Serve(serving) | Route::Fenced(serving) => serving != region,
        Route::Unwritable | Route::Agreeing(_) | Route::Isolated => true,
    })
}

/// Whether another region serves the reads of the pool now.
pub(super) fn serves_elsewhere(context: &RequestContext) -> bool {
    let route = context.target.and_then(|target| Some((context.snapshot.route(target.pool)?, target.region)));
    route.is_some_and(|(route, region)| route.open(true).is_some_and(|serving| serving != region))
}

/// Gets what another attempt needs: where the pool has moved, a region and a worker there, else a worker in place of one
/// that is still at work on the last attempt.
///
/// # Errors
/// There is none in time, or nobody who waits.
pub(super) async fn go_on(
    session: &mut Session,
    context: &mut RequestContext,
    metrics: &Metrics,
) -> Result<(), NoPermit> {
    if !has_moved(context) {
        if context.permit.is_none() {
            permit::obtain(session, context, metrics).await?;
        }
        if !has_moved(context) {
            return Ok(());
        }
    }
    context.permit = None;
    enter(session, context, metrics).await
}

fn enter_at(context: &mut RequestContext, target: Target) {
    context.attempts = Attempts::default();
    context.target = Some(target);
}

/// Chooses the region, and waits for one.
async fn choose(
    session: &mut Session,
    context: &mut RequestContext,
    metrics: &Metrics,
) -> Result<(), NoPermit> {
    let refused = |rejection| Err(NoPermit::Refused(rejection));
    let Some(target) = context.target else { return refused(Rejection::Internal) };
    let Some(route) = context.snapshot.route(target.pool) else { return refused(Rejection::Internal) };
    let reads = context.retry.may_reuse_connection();
    if let Some(region) = route.open(reads) {
        enter_at(context, Target { region, ..target });
        return Ok(());
    }
    let route = Arc::clone(route);
    let Some((hold, pool)) = context.pool().map(|pool| (pool.failover.hold, pool.name.clone())) else {
        return refused(Rejection::Internal);
    };
    let (mut place, begun) = (None, Instant::now());
    let ended = loop {
        let (entry, changed) = route.entry(reads, hold);
        match entry {
            Entry::Enter(region) => {
                enter_at(context, Target { region, ..target });
                break Ok(());
            }
            Entry::Refuse(rejection) => break refused(rejection),
            Entry::Hold(left) => {
                if place.is_none() {
                    place = route.hold();
                }
                if place.is_none() {
                    break refused(Rejection::RegionUnwritable);
                }
                tokio::select! {
                    biased;
                    () = changed.cancelled() => {}
                    gone = client_gone(session) => break Err(NoPermit::Gone(gone)),
                    () = sleep(left) => {}
                }
            }
        }
    };
    if place.is_some() {
        let held = match &ended {
            Ok(()) => Held::Served,
            Err(NoPermit::Refused(_)) => Held::Refused,
            Err(NoPermit::Gone(_)) => Held::Left,
        };
        metrics.count_held(&pool, held);
        context.held = Some(begun.elapsed());
    }
    ended
}
