//! Pingora's phases, each in a few lines.

use super::admit::{Decision, decide};
use super::connect::BackendConnections;
use super::context::RequestContext;
use super::exchange::exchange;
use super::record::{Outcome, cause_of, conclude, count, describe};
use super::{answer, forward, headers, limit, rpc, tunnel, websocket};
use crate::acme::Answers;
use crate::snapshot::SnapshotStore;
use crate::spool::SpoolStore;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::RequestId;
use crate::usage::Usage;
use async_trait::async_trait;
use fleetgate_core::config::Connections;
use fleetgate_core::traffic::TrafficClass;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::sync::watch;

/// Most bytes that are written at once, about; smaller pieces get the same time.
const PIECE_BYTES_MAX: u64 = 64 * 1024;

/// The gateway as Pingora calls it.
pub struct Gateway {
    state: Arc<GatewayState>,
}

/// What requests share.
pub struct GatewayState {
    /// Snapshots.
    pub store: Arc<SnapshotStore>,
    /// Access log.
    pub log: AccessLog,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// What tenants use of their quotas.
    pub usage: Arc<Usage>,
    /// Where bodies wait for the slower side.
    pub spool: Arc<SpoolStore>,
    /// Proofs that a server of ACME asks for.
    pub answers: Arc<Answers>,
    /// Connections to the HTTP ports of backends.
    pub backends: BackendConnections,
    /// How slow clients may be.
    pub clocks: Connections,
    /// Whether connections are being given up.
    pub draining: watch::Receiver<bool>,
    /// When websockets are closed during a drain.
    pub drain: tunnel::DrainSchedule,
}

impl Gateway {
    /// Wraps the shared state.
    #[must_use]
    pub const fn new(state: Arc<GatewayState>) -> Self {
        Self { state }
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::new(self.state.store.load())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut RequestContext) -> Result<bool> {
        let peer = peer_address(session);
        let mut decision = decide(context, session, peer, &self.state.answers);
        let inbound = session.req_header().headers.get(headers::REQUEST_ID).map(http::HeaderValue::as_bytes);
        context.request_id = RequestId::new(inbound.filter(|_| context.client.through_trusted_proxy));
        // What a gateway of another site sends was charged there.
        if decision == Decision::Forward
            && !context.client.through_gateway
            && let Err(rejection) = limit::charge(session, context, &self.state.usage)
        {
            decision = Decision::Reject(rejection);
        }
        // HTTP/1.0, or a body with two lengths: Pingora has decided to close, and that stands.
        if session.get_keepalive().is_some() {
            let idle = self.state.clocks.idle_timeout.as_secs().max(1);
            session.set_keepalive((!*self.state.draining.borrow()).then_some(idle));
        }
        set_clocks(session, &self.state.clocks);
        // Only an exchange reads bodies, so every call is one.
        let is_call = decision == Decision::Forward && rpc::is_call(context, session.req_header());
        match decision {
            Decision::Forward
                if !is_call
                    && context.class() == Some(TrafficClass::Websocket)
                    && websocket::asks(session) =>
            {
                Box::pin(websocket::open(session, context, &self.state)).await
            }
            Decision::Forward => {
                headers::forget_spelling(session.req_header_mut())?;
                exchange(session, context, &self.state).await.map(|()| true)
            }
            Decision::Prove(text) | Decision::Tell(text) => {
                answer::tell(session, context, &text).await.map(|()| true)
            }
            Decision::Secure => answer::secure(session, context).await.map(|()| true),
            Decision::Redirect(host) => answer::redirect(session, context, &host).await.map(|()| true),
            Decision::Reject(rejection) => answer::reject(session, context, rejection).await.map(|()| true),
        }
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut RequestContext) -> Result<Box<HttpPeer>> {
        // Every request has its answer before Pingora would make an exchange of its own.
        Error::e_explain(ErrorType::InternalError, "a request was not answered")
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut RequestContext,
    ) -> FailToProxy {
        let rejection = context.refused.or_else(|| forward::rejection_for(error));
        let rejection = rejection.filter(|_| !has_answer(session));
        let error_code = rejection.map_or(0, fleetgate_core::rejection::Rejection::status);
        if let Some(rejection) = rejection {
            // The request's body may be half read: the connection must not be used again.
            session.set_keepalive(None);
            if answer::reject(session, context, rejection).await.is_err() {
                tracing::debug!("the client left before it was told about a failure");
            }
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut RequestContext) {
        if context.becomes_websocket() {
            // The tunnel writes the event when the websocket ends.
            return;
        }
        let error = error.map(cause_of);
        let outcome = Outcome {
            status: session
                .response_written()
                .filter(|_| has_answer(session))
                .map_or(0, |head| head.status.as_u16()),
            bytes_in: u64::try_from(session.body_bytes_read()).unwrap_or(u64::MAX),
            bytes_out: u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX),
            websocket_end: None,
            error: error.as_deref(),
        };
        if let Some(charge) = &mut context.charge {
            charge.left(outcome.bytes_out);
        }
        let duration = context.started.elapsed();
        limit::charge_bytes(context, outcome.bytes_out);
        count(context, outcome.status, duration, &self.state.metrics);
        conclude(describe(context, session.req_header()), &outcome, duration, &self.state.log);
    }

    fn persist_connection_context(
        &self,
        _session: &Session,
        context: &RequestContext,
    ) -> Option<Box<dyn Any + Send + Sync>> {
        let tunnel: Box<dyn Any + Send + Sync> = context.take_tunnel()?;
        Some(tunnel)
    }

    fn suppress_error_log(&self, _session: &Session, _context: &RequestContext, _error: &Error) -> bool {
        // The access event has the error.
        true
    }
}

/// How slowly the client may take and give what Pingora writes and reads by itself. The connection has clocks of its own,
/// but one of HTTP/2 carries many requests, and each has a window that its client may keep shut.
fn set_clocks(session: &mut Session, clocks: &Connections) {
    let floor = clocks.floor;
    session.set_write_timeout(Some(floor.longest(PIECE_BYTES_MAX)));
    session.set_total_drain_timeout(Some(floor.patience));
}

/// Whether the client has got a part of the answer. `100 Continue` is none.
fn has_answer(session: &Session) -> bool {
    session.response_written().is_some_and(|head| !head.status.is_informational())
}

fn peer_address(session: &Session) -> IpAddr {
    let address = session.client_addr().and_then(|address| address.as_inet());
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip().to_canonical())
}
