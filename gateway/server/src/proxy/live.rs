//! A body that is passed on as it comes, where the pool's `stream_paths` or the bus say so: no worker of Odoo waits for it
//! there, or the operator wants it to. What the client owes is the same as elsewhere.

use super::collect::{Incomplete, Intake};
use bytes::Bytes;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::rpc::{RpcGuard, RpcOutcome};
use pingora::protocols::http::v1::client::HttpSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

/// A body that has not been read yet.
pub(super) struct LiveBody {
    intake: Intake,
    /// What has come already.
    first: Option<Bytes>,
    /// Reads along; `None` at the end.
    guard: Option<RpcGuard>,
    /// Why it may not go on.
    refused: Option<Rejection>,
    begun: bool,
    whole: bool,
}

impl LiveBody {
    /// A body whose first piece has come.
    pub(super) const fn new(first: Bytes, intake: Intake, guard: RpcGuard) -> Self {
        Self { intake, first: Some(first), guard: Some(guard), refused: None, begun: false, whole: false }
    }

    /// Whether a backend has all of it.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether a part of it was taken from the client, which cannot be sent again.
    pub(super) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Why it may not go on, if the gateway is to say so.
    pub(super) fn take_refusal(&mut self) -> Option<Rejection> {
        self.refused.take()
    }

    /// Passes the body on. `false` when the backend stopped reading it: its answer, if there is one, still counts.
    ///
    /// # Errors
    /// The client left, or may not go on. The backend never gets the end of such a body, so it does nothing.
    pub(super) async fn pass_on(
        &mut self,
        session: &mut Session,
        connection: &mut HttpSession,
    ) -> Result<bool> {
        self.begun = true;
        while let Some(piece) = self.next(session).await? {
            if connection.write_body(&piece).await.is_err() {
                return Ok(false);
            }
        }
        connection.finish_body().await.map_err(|error| error.into_up())?;
        self.whole = true;
        Ok(true)
    }

    /// The next piece that a backend may have.
    async fn next(&mut self, session: &mut Session) -> Result<Option<Bytes>> {
        let piece = match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.intake.next(session).await,
        };
        let piece = match piece {
            Ok(piece) => piece,
            Err(Incomplete::Refused(rejection)) => return Err(self.refuse(rejection)),
            Err(Incomplete::Broken(error)) => return Err(error),
        };
        let Some(guard) = &mut self.guard else { return Ok(piece) };
        guard.feed(piece.as_deref().unwrap_or_default());
        if piece.is_none() || !guard.may_forward() {
            let outcome = self.guard.take().map(RpcGuard::finish);
            if let Some(rejection) = outcome.and_then(refusal_of) {
                return Err(self.refuse(rejection));
            }
        }
        Ok(piece)
    }

    fn refuse(&mut self, rejection: Rejection) -> Box<Error> {
        self.refused = Some(rejection);
        Error::explain(ErrorType::HTTPStatus(rejection.status()), "the body may not go on").into_down()
    }
}

/// A fault of the client's protocol is for calls, and calls are never streamed.
fn refusal_of(outcome: RpcOutcome) -> Option<Rejection> {
    match outcome {
        RpcOutcome::Forward { .. } => None,
        RpcOutcome::Answer(answer) => answer.denial.map(Rejection::RpcDenied),
        RpcOutcome::Refuse(refusal) => Some(refusal.into()),
        RpcOutcome::Guarded(guard) => Some(guard.rejection()),
    }
}
