//! An open websocket: bytes both ways, a clock, and a proper end.

use super::context::RequestContext;
use super::record::{Outcome, record};
use super::service::GatewayState;
use super::websocket::write_fields;
use crate::connection::ClientStream;
use fleetgate_core::backend::stable_hash;
use fleetgate_core::websocket::{CLOSE_RESTART, FrameTracker, close_frame};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Bytes moved at once. Allocated while there is something to move, so that an idle websocket holds no buffer.
const CHUNK_BYTES: usize = 8 * 1024;
/// For the client's answer to a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// When the websockets of a process are closed.
#[derive(Debug, Clone)]
pub struct DrainSchedule {
    /// Cancelled when the process begins to drain.
    pub begun: CancellationToken,
    /// Span over which websockets are closed: their clients come back at once, each loading a registry.
    pub spread: Duration,
}

impl DrainSchedule {
    /// Waits for the moment at which the websocket of a request is closed.
    async fn turn_of(&self, request_id: &str) {
        self.begun.cancelled().await;
        let share = u32::try_from(stable_hash(request_id.as_bytes()) % 1_000).unwrap_or(0);
        sleep(self.spread.saturating_mul(share) / 1_000).await;
    }
}

/// A websocket whose handshake Odoo has answered.
pub struct Tunnel {
    context: RequestContext,
    log_head: RequestHeader,
    greeting: Vec<u8>,
    backend: TcpStream,
    state: Arc<GatewayState>,
}

/// Why a websocket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Client,
    Backend,
    Idle,
    Drained,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Idle => "idle",
            Self::Drained => "drained",
        }
    }
}

impl Tunnel {
    /// Prepares to take over the session's connection when Pingora has let go of it.
    pub fn attach(
        session: &mut Session,
        context: &mut RequestContext,
        state: &Arc<GatewayState>,
        log_head: RequestHeader,
        answer: &ResponseHeader,
        rest: &[u8],
        backend: TcpStream,
    ) {
        let mut greeting = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
        write_fields(&mut greeting, &answer.headers);
        greeting.extend_from_slice(rest);
        // Only a connection that is kept is handed back. Bytes sent before the 101 make Pingora drop it.
        session.set_keepalive(Some(1));
        let snapshot = Arc::clone(&context.snapshot);
        let context_of_request = std::mem::replace(context, RequestContext::new(snapshot));
        let tunnel =
            Self { context: context_of_request, log_head, greeting, backend, state: Arc::clone(state) };
        context.hand_over(tunnel);
    }

    /// Runs until one side ends it, it is idle for too long, or the process drains.
    pub async fn run(self: Box<Self>, client: ClientStream) {
        let Self { context, log_head, greeting, backend, state } = *self;
        let counters = context.counters().cloned();
        if let Some(counters) = &counters {
            counters.open_websocket();
        }
        let traffic = Traffic::default();
        let relayed = match client.into_tcp().await {
            Ok(client) => relay(client, backend, &greeting, &context, &state, &traffic).await,
            Err(error) => (End::Client, Some(error)),
        };
        if let Some(counters) = &counters {
            counters.close_websocket();
        }
        let (end, error) = relayed;
        let error = error.map(|error| error.to_string());
        let outcome = Outcome {
            status: 101,
            bytes_in: traffic.from_client.load(Ordering::Relaxed),
            bytes_out: traffic.to_client.load(Ordering::Relaxed),
            websocket_end: Some(end.as_str()),
            error: error.as_deref(),
        };
        if let Some(pool) = context.pool() {
            state.metrics.count_websocket_end(&pool.name, end.as_str());
        }
        record(&context, &log_head, &outcome, &state.log, &state.metrics);
    }
}

/// Bytes moved, which is also the sign of life.
#[derive(Debug, Default)]
struct Traffic {
    from_client: AtomicU64,
    to_client: AtomicU64,
}

impl Traffic {
    fn total(&self) -> u64 {
        self.from_client.load(Ordering::Relaxed).wrapping_add(self.to_client.load(Ordering::Relaxed))
    }
}

async fn relay(
    mut client: TcpStream,
    mut backend: TcpStream,
    greeting: &[u8],
    context: &RequestContext,
    state: &GatewayState,
    traffic: &Traffic,
) -> (End, Option<io::Error>) {
    let idle = context.pool().map_or(Duration::from_secs(120), |pool| pool.websocket.idle);
    if let Err(error) = client.write_all(greeting).await {
        return (End::Client, Some(error));
    }
    let mut tracker = FrameTracker::default();
    let head_end =
        greeting.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at.saturating_add(4));
    let _boundary = tracker.feed(head_end.and_then(|at| greeting.get(at..)).unwrap_or_default());
    let (client_read, mut client_write) = client.split();
    let (backend_read, mut backend_write) = backend.split();
    let turn = state.drain.turn_of(context.request_id.as_str());
    let up = pump(&client_read, &mut backend_write, &traffic.from_client);
    let down = pump_frames(&backend_read, &mut client_write, &traffic.to_client, &mut tracker, turn);
    tokio::pin!(up);
    tokio::pin!(down);
    tokio::select! {
        ended = &mut up => {
            // The client is done; what Odoo still says belongs to a connection that is gone.
            (End::Client, ended.err())
        }
        ended = &mut down => match ended {
            Ok(Ended::AtTurn) => {
                // The client answers our close frame; Odoo gets that answer as the end of the conversation.
                let _answered = timeout(CLOSE_TIMEOUT, &mut up).await;
                (End::Drained, None)
            }
            Ok(Ended::AtEnd) => {
                let _answered = timeout(CLOSE_TIMEOUT, &mut up).await;
                (End::Backend, None)
            }
            Err(error) => (End::Backend, Some(error)),
        },
        () = silence(traffic, idle) => (End::Idle, None),
    }
}

/// Waits until no byte has moved for a time.
async fn silence(traffic: &Traffic, idle: Duration) {
    loop {
        let before = traffic.total();
        sleep_until(Instant::now() + idle).await;
        if traffic.total() == before {
            return;
        }
    }
}

async fn pump(from: &ReadHalf<'_>, to: &mut WriteHalf<'_>, moved: &AtomicU64) -> io::Result<()> {
    while let Some(chunk) = next_chunk(from).await? {
        write(to, &chunk, moved).await?;
    }
    to.shutdown().await
}

/// How the frames of a backend ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    AtEnd,
    AtTurn,
}

/// Moves frames to the client until the backend ends them, or until it is this websocket's turn to be closed: then
/// a close frame goes out after the frame that is on its way.
async fn pump_frames(
    from: &ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    moved: &AtomicU64,
    tracker: &mut FrameTracker,
    turn: impl Future<Output = ()>,
) -> io::Result<Ended> {
    tokio::pin!(turn);
    let mut closing = false;
    loop {
        if closing && tracker.at_boundary() {
            return close(to, moved, tracker).await;
        }
        let chunk = tokio::select! {
            chunk = next_chunk(from) => chunk?,
            () = &mut turn, if !closing => { closing = true; continue }
        };
        let Some(chunk) = chunk else {
            to.shutdown().await?;
            return Ok(Ended::AtEnd);
        };
        match tracker.feed(&chunk) {
            Some(boundary) if closing => {
                write(to, chunk.get(..boundary).unwrap_or(&chunk), moved).await?;
                return close(to, moved, tracker).await;
            }
            _ => write(to, &chunk, moved).await?,
        }
    }
}

async fn close(to: &mut WriteHalf<'_>, moved: &AtomicU64, tracker: &FrameTracker) -> io::Result<Ended> {
    if !tracker.closed() {
        write(to, &close_frame(CLOSE_RESTART), moved).await?;
    }
    Ok(Ended::AtTurn)
}

async fn next_chunk(from: &ReadHalf<'_>) -> io::Result<Option<Vec<u8>>> {
    loop {
        from.readable().await?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        match from.try_read_buf(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(chunk)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], moved: &AtomicU64) -> io::Result<()> {
    to.write_all(bytes).await?;
    moved.fetch_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
    Ok(())
}
