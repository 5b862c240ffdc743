//! The region that a request goes to: chosen when the request is whole and about to be sent. While its pool has none, the
//! request waits, and is sent once, to the region that takes over, or is refused when the time is over.

use super::context::{RequestContext, Target};
use super::exchange::client_gone;
use super::permit::{self, NoPermit};
use crate::snapshot::PoolRoute;
use crate::telemetry::held::Held;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Attempts;
use fleetgate_core::pool::Pool;
use fleetgate_core::region::{Entry, RegionIndex, Route};
use fleetgate_core::rejection::Rejection;
use fleetgate_core::traffic::TrafficClass;
use pingora::proxy::Session;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Times that a request is sent to the back of the queue for workers because its pool has moved meanwhile.
const MOVES_MAX: u32 = 3;

/// What becomes of a request whose head has come. `Ok`: it is read, and its region is chosen when it is whole.
///
/// # Errors
/// No region serves it, and it is none that can wait.
pub(super) fn expect(context: &RequestContext, target: Target) -> Result<RegionIndex, Rejection> {
    let route = context.snapshot.route(target.pool).ok_or(Rejection::Internal)?;
    let pool = context.snapshot.fleet.pools.get(usize::from(target.pool.0)).ok_or(Rejection::Internal)?;
    if let Some(region) = open(context, pool, route) {
        return Ok(region);
    }
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
    match entry(context, pool, route, hold, Duration::ZERO).0 {
        Entry::Enter(region) => Ok(region),
        Entry::Hold(_) => Ok(pool.home()),
        Entry::Refuse(rejection) => Err(rejection),
    }
}

/// Whether a request may go to a region. One that a gateway of another site has sent is not sent on to another site: where
/// two gateways each believe that the other one's site serves, it would never end.
fn may_enter(context: &RequestContext, pool: &Pool, region: RegionIndex) -> bool {
    !(context.client.through_gateway && pool.is_far(region))
}

/// The region that takes a request now, without a lock.
fn open(context: &RequestContext, pool: &Pool, route: &PoolRoute) -> Option<RegionIndex> {
    let reads = context.retry.may_reuse_connection();
    route.open(reads).filter(|region| may_enter(context, pool, *region))
}

/// What becomes of a request that has waited for so long, and the token that is cancelled when that changes.
fn entry(
    context: &RequestContext,
    pool: &Pool,
    route: &PoolRoute,
    hold: Duration,
    waited: Duration,
) -> (Entry, CancellationToken) {
    let (entry, changed) = route.entry(context.retry.may_reuse_connection(), hold);
    let entry = match entry {
        // Here it is not known yet that the pool has moved here, or there it is known already that it will move.
        Entry::Enter(region) if !may_enter(context, pool, region) => {
            let left = hold.saturating_sub(waited);
            if left.is_zero() { Entry::Refuse(Rejection::RegionElsewhere) } else { Entry::Hold(left) }
        }
        entry @ (Entry::Enter(_) | Entry::Hold(_) | Entry::Refuse(_)) => entry,
    };
    (entry, changed)
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

/// Whether a write was answered in a region that the pool has left for another database since. It may be lost, whatever
/// the answer says.
pub(super) fn is_too_late(context: &RequestContext) -> bool {
    let route = context.target.and_then(|target| Some((context.snapshot.route(target.pool)?, target.region)));
    let writes = !context.retry.may_reuse_connection();
    writes && route.is_some_and(|(route, region)| route.has_left_behind(region))
}

/// Whether another region serves the reads of the pool now.
pub(super) fn serves_elsewhere(context: &RequestContext) -> bool {
    let (Some(target), Some(pool)) = (context.target, context.pool()) else { return false };
    let route = context.snapshot.route(target.pool);
    let serving = route.and_then(|route| route.open(true));
    serving.is_some_and(|serving| serving != target.region && may_enter(context, pool, serving))
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
    let snapshot = Arc::clone(&context.snapshot);
    let pool = snapshot.fleet.pools.get(usize::from(target.pool.0));
    let Some((pool, route)) = pool.zip(snapshot.route(target.pool)) else {
        return refused(Rejection::Internal);
    };
    if let Some(region) = open(context, pool, route) {
        enter_at(context, Target { region, ..target });
        return Ok(());
    }
    let hold = pool.failover.hold;
    let (mut place, begun) = (None, Instant::now());
    let ended = loop {
        let (entry, changed) = entry(context, pool, route, hold, begun.elapsed());
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
        metrics.count_held(&pool.name, held);
        context.held = Some(begun.elapsed());
    }
    ended
}
