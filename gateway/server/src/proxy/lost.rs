//! Leaving a backend that froze: its kernel still takes connections and requests, and nobody there reads them.

use super::context::RequestContext;
use super::region;
use crate::upstream::Failure;
use pingora::{Error, ErrorType};
use std::future::pending;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks for somebody else who serves.
const LOOK: Duration = Duration::from_millis(500);

/// Waits until probes have found that the backend of a request answers nobody, and somebody else could.
pub(super) async fn found(context: &RequestContext) {
    let Some(lease) = &context.lease else { return pending().await };
    loop {
        lease.backend().port(lease.port()).until_lost().await;
        // Among backends that all look lost a wrong guess must not cut anybody off.
        if context.may_try_better(context.attempts.forgiving_others()) || region::serves_elsewhere(context) {
            return;
        }
        sleep(LOOK).await;
    }
}

/// Gives the permit of such a request up. Its worker is none of those that serve, and does not become one before it is done
/// with the request: until then the place at the backend says so.
pub(super) fn give_up_permit(context: &mut RequestContext) {
    if let (Some(permit), Some(lease)) = (context.permit.take(), &mut context.lease) {
        lease.set_apart();
        permit.give_up();
    }
}

/// Whether such a request may leave. One that may not be asked twice waits on: the backend may go on and carry it out.
/// `whole` says that all of it could be sent again.
pub(super) fn may_leave(context: &RequestContext, whole: bool) -> bool {
    whole && context.retry.allows(Failure::Lost)
}

/// Prepares a request that leaves for its next attempt, and says what became of this one.
pub(super) fn leave(context: &mut RequestContext) -> Box<Error> {
    context.attempts = context.attempts.forgiving_others();
    let backend = context.lease.as_ref().map(|lease| lease.address().to_string()).unwrap_or_default();
    Error::explain(ErrorType::ReadTimedout, format!("probes found that {backend} answers nobody")).into_up()
}
