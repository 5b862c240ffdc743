//! An open websocket: bytes both ways, a clock, and a proper end.

use super::context::RequestContext;
use super::record::{Outcome, conclude, count, describe};
use super::service::GatewayState;
use super::websocket::write_fields;
use crate::connection::{ClientStream, Paced, Transport};
use crate::snapshot::{BackendLease, OpenWebsocket, PortState, Suspension};
use crate::telemetry::access_log::AccessEvent;
use crate::usage::Charge;
use fleetgate_core::backend::stable_hash;
use fleetgate_core::websocket::{CLOSE_RESTART, CLOSE_TRY_AGAIN_LATER, FrameTracker, close_frame};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, split};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Bytes moved at once. Allocated while there is something to move, so that an idle websocket holds no buffer.
const CHUNK_BYTES: usize = 8 * 1024;
/// Status of a handshake that succeeded (RFC 6455, section 4.2.2).
const SWITCHED: u16 = 101;
/// Between two charges for the time a websocket is open.
const CHARGED_EVERY: Duration = Duration::from_secs(60);
/// For more of a frame before a close frame, and for the client's answer to that.
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
    /// Waits for the moment at which the websocket of a request is closed: the process drains, requests of its pool
    /// no longer go where it is, its backend drains or answers nobody while an equal does, or its tenant is suspended.
    async fn turn_of(
        &self,
        request_id: &str,
        left: &[CancellationToken; 2],
        port: Option<&PortState>,
        suspension: &Suspension,
    ) -> End {
        let [region_left, backend_left] = left;
        let share = u32::try_from(stable_hash(request_id.as_bytes()) % 1_000).unwrap_or(0);
        let pause = self.spread.saturating_mul(share) / 1_000;
        let ended = async {
            let end = tokio::select! {
                () = self.begun.cancelled() => End::Drained,
                () = region_left.cancelled() => End::Drained,
                () = backend_left.cancelled() => End::Drained,
                () = suspension.begins() => End::Suspended,
            };
            sleep(pause).await;
            end
        };
        tokio::select! {
            end = ended => end,
            () = abandoned(port, pause) => End::Lost,
        }
    }
}

/// Waits until a port answers nobody and an equal does, and that is still so after a pause: a backend that goes on keeps the
/// websockets that are left.
async fn abandoned(port: Option<&PortState>, pause: Duration) {
    let Some(port) = port else { return pending().await };
    loop {
        port.until_abandoned().await;
        sleep(pause).await;
        if port.is_abandoned() {
            return;
        }
    }
}

/// A websocket whose handshake Odoo has answered.
///
/// It keeps nothing of the snapshot that admitted it, or each reload would leave one behind for as long as a
/// websocket is open.
pub struct Tunnel {
    /// Taken when the event is written.
    event: Option<AccessEvent<'static>>,
    started: std::time::Instant,
    idle: Duration,
    greeting: Greeting,
    /// `None` once it runs.
    backend: Option<Transport>,
    /// What it uses of the tenant's quotas.
    charge: Option<Charge>,
    /// Counts it for its tenant until it ends.
    _open: Option<OpenWebsocket>,
    /// Cancelled when requests of the pool go to another region, and when its backend drains.
    left: [CancellationToken; 2],
    suspension: Suspension,
    /// Gives the place at the backend back when the websocket ends.
    lease: Option<BackendLease>,
    state: Arc<GatewayState>,
}

/// What the client gets first: the answer to its handshake, and frames that Odoo sent along.
struct Greeting {
    bytes: Vec<u8>,
    head_len: usize,
}

/// Why a websocket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Client,
    Backend,
    Idle,
    Drained,
    Suspended,
    /// The backend answers nobody.
    Lost,
    /// The client broke the protocol, or left, before the websocket began.
    NeverBegan,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Idle => "idle",
            Self::Drained => "drained",
            Self::Suspended => "suspended",
            Self::Lost => "lost",
            Self::NeverBegan => "never_began",
        }
    }

    /// What the client is told with a close frame of our own. Web clients of Odoo reconnect after either, with growing
    /// pauses for as long as they are refused; only 1000 would keep them away, until their page is loaded anew.
    const fn close_code(self) -> u16 {
        match self {
            Self::Suspended => CLOSE_TRY_AGAIN_LATER,
            Self::Client | Self::Backend | Self::Idle | Self::Drained | Self::Lost | Self::NeverBegan => {
                CLOSE_RESTART
            }
        }
    }
}

impl Tunnel {
    /// Prepares to take over the session's connection when Pingora has let go of it.
    pub(super) fn attach(
        session: &mut Session,
        context: &mut RequestContext,
        state: &Arc<GatewayState>,
        answer: &ResponseHeader,
        rest: &[u8],
        backend: Transport,
        idle: Duration,
    ) {
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
        write_fields(&mut bytes, &answer.headers);
        let head_len = bytes.len();
        bytes.extend_from_slice(rest);
        // Only a connection that is kept is handed back. Bytes sent before the 101 make Pingora drop it.
        session.set_keepalive(Some(1));
        count(context, SWITCHED, context.started.elapsed(), &state.metrics);
        let mut charge = context.charge.take();
        if let Some(charge) = &mut charge {
            charge.websocket_opens();
        }
        let backend_left = context.lease.as_ref().map(|lease| lease.backend().drained()).unwrap_or_default();
        let tunnel = Self {
            charge,
            event: Some(describe(context, session.req_header()).into_owned()),
            started: context.started,
            idle,
            greeting: Greeting { bytes, head_len },
            backend: Some(backend),
            _open: context.websocket.take(),
            left: [context.left(), backend_left],
            suspension: context.suspension(&state.store),
            lease: context.lease.take(),
            state: Arc::clone(state),
        };
        context.hand_over(tunnel);
    }

    /// Runs until one side ends it, it is idle for too long, its tenant is suspended, or the process drains.
    pub async fn run(mut self: Box<Self>, client: ClientStream) {
        let Some(backend) = self.backend.take() else { return };
        let traffic = Traffic::new();
        let mut charge = self.charge.take();
        let relayed = async {
            match client.into_paced().await {
                Ok(client) => self.relay(client, backend, &traffic).await,
                Err(error) => (End::Client, Some(error)),
            }
        };
        let (end, error) = tokio::select! {
            ended = relayed => ended,
            never = charge_each_minute(&mut charge, &traffic) => match never {},
        };
        if let Some(mut charge) = charge {
            charge.left(traffic.to_client.load(Ordering::Relaxed));
        }
        self.conclude(end, error.as_ref(), &traffic);
    }

    fn conclude(&mut self, end: End, error: Option<&io::Error>, traffic: &Traffic) {
        let Some(event) = self.event.take() else { return };
        self.state.metrics.count_websocket_end(event.pool.as_deref().unwrap_or_default(), end.as_str());
        let error = error.map(ToString::to_string);
        let outcome = Outcome {
            status: if end == End::NeverBegan { 0 } else { SWITCHED },
            bytes_in: traffic.from_client.load(Ordering::Relaxed),
            bytes_out: traffic.to_client.load(Ordering::Relaxed),
            websocket_end: Some(end.as_str()),
            error: error.as_deref(),
        };
        conclude(event, &outcome, self.started.elapsed(), &self.state.log);
    }

    async fn relay(
        &self,
        mut client: Paced,
        backend: Transport,
        traffic: &Traffic,
    ) -> (End, Option<io::Error>) {
        if let Err(error) = greet(&mut client, &self.greeting.bytes).await {
            return (End::Client, Some(error));
        }
        let mut tracker = FrameTracker::default();
        let frames = self.greeting.bytes.get(self.greeting.head_len..).unwrap_or_default();
        let _boundary = tracker.feed(frames);
        traffic.count(Direction::ToClient, frames.len());
        let (mut client_read, mut client_write) = split(client);
        let (backend_read, mut backend_write) = split(backend);
        let request_id = self.event.as_ref().map_or("", |event| &*event.request_id);
        let port = self.lease.as_ref().map(|lease| lease.backend().port(lease.port()));
        let turn = self.state.drain.turn_of(request_id, &self.left, port, &self.suspension);
        let up = pump(&mut client_read, &mut backend_write, traffic);
        let down = pump_frames(backend_read, &mut client_write, traffic, &mut tracker, turn);
        tokio::pin!(up);
        tokio::pin!(down);
        tokio::select! {
            // What Odoo still says belongs to a connection that is gone.
            ended = &mut up => (End::Client, ended.err()),
            ended = &mut down => {
                let (end, mut rest) = match ended {
                    Ok(ended) => ended,
                    Err(error) => return (End::Backend, Some(error)),
                };
                // The client answers the close frame, Odoo gets that answer, and one of them ends the conversation: the
                // client where Odoo answers nobody.
                let _answered = timeout(CLOSE_TIMEOUT, async {
                    tokio::select! {
                        _ = &mut up => {}
                        () = wait_for_end(&mut rest), if end != End::Backend => {}
                    }
                })
                .await;
                (end, None)
            }
            () = traffic.silence(self.idle) => (End::Idle, None),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.conclude(End::NeverBegan, None, &Traffic::new());
    }
}

/// Writes down how long the websocket has been open, once a minute.
async fn charge_each_minute(charge: &mut Option<Charge>, traffic: &Traffic) -> Infallible {
    let Some(charge) = charge else { return pending().await };
    loop {
        sleep(CHARGED_EVERY).await;
        charge.left(traffic.to_client.load(Ordering::Relaxed));
        charge.websocket_stays_open();
    }
}

async fn greet(client: &mut Paced, greeting: &[u8]) -> io::Result<()> {
    client.write_all(greeting).await?;
    client.flush().await
}

/// Bytes moved, and when the last of them were.
#[derive(Debug)]
struct Traffic {
    started: Instant,
    last_ms: AtomicU64,
    from_client: AtomicU64,
    to_client: AtomicU64,
}

impl Traffic {
    fn new() -> Self {
        let zero = AtomicU64::default;
        Self { started: Instant::now(), last_ms: zero(), from_client: zero(), to_client: zero() }
    }

    fn count(&self, direction: Direction, bytes: usize) {
        let counter = match direction {
            Direction::FromClient => &self.from_client,
            Direction::ToClient => &self.to_client,
        };
        counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    /// Waits until no byte has moved for a time.
    async fn silence(&self, idle: Duration) {
        loop {
            let end = self.last() + idle;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    FromClient,
    ToClient,
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    traffic: &Traffic,
) -> io::Result<()> {
    while let Some(chunk) = next_chunk(from).await? {
        to.write_all(&chunk).await?;
        to.flush().await?;
        traffic.count(Direction::FromClient, chunk.len());
    }
    to.shutdown().await
}

/// Moves frames to the client until the backend ends them, or until it is this websocket's turn to be closed: then
/// a close frame goes out after the frame that is on its way. Where the rest of that does not come, the client meets an end
/// without one.
async fn pump_frames<R: AsyncRead + Unpin>(
    mut from: R,
    to: &mut (impl AsyncWrite + Unpin),
    traffic: &Traffic,
    tracker: &mut FrameTracker,
    turn: impl Future<Output = End>,
) -> io::Result<(End, R)> {
    tokio::pin!(turn);
    let (mut closing, mut patience) = (None, None);
    loop {
        if let Some(end) = closing.filter(|_| tracker.at_boundary()) {
            return close(to, traffic, tracker, end).await.map(|()| (end, from));
        }
        let chunk = tokio::select! {
            chunk = next_chunk(&mut from) => chunk?,
            end = &mut turn, if closing.is_none() => {
                // A frame that has begun comes to its end, as long as there is more of it.
                (closing, patience) = (Some(end), Some(Box::pin(sleep(CLOSE_TIMEOUT))));
                continue
            }
            end = passed(&mut patience, closing) => {
                to.shutdown().await?;
                return Ok((end, from));
            }
        };
        let Some(chunk) = chunk else {
            to.shutdown().await?;
            return Ok((End::Backend, from));
        };
        if let Some(patience) = &mut patience {
            patience.as_mut().reset(Instant::now() + CLOSE_TIMEOUT);
        }
        match (tracker.feed(&chunk), closing) {
            (Some(boundary), Some(end)) => {
                send(to, chunk.get(..boundary).unwrap_or(&chunk), traffic).await?;
                return close(to, traffic, tracker, end).await.map(|()| (end, from));
            }
            _ => send(to, &chunk, traffic).await?,
        }
    }
}

/// Waits until there is no more patience for the end of a websocket that is closed.
async fn passed(patience: &mut Option<Pin<Box<Sleep>>>, closing: Option<End>) -> End {
    match (patience, closing) {
        (Some(patience), Some(end)) => {
            patience.await;
            end
        }
        _ => pending().await,
    }
}

async fn close(
    to: &mut (impl AsyncWrite + Unpin),
    traffic: &Traffic,
    tracker: &FrameTracker,
    end: End,
) -> io::Result<()> {
    if !tracker.closed() {
        send(to, &close_frame(end.close_code()), traffic).await?;
    }
    // Nobody else ends such a connection.
    if end == End::Lost { to.shutdown().await } else { Ok(()) }
}

/// Waits until a side that was said goodbye to has nothing more to say.
async fn wait_for_end(from: &mut (impl AsyncRead + Unpin)) {
    while let Ok(Some(_)) = next_chunk(from).await {}
}

/// Reads what is there, through TLS or without. Nothing is held while there is nothing.
async fn next_chunk(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    poll_fn(|cx| {
        let mut space = [MaybeUninit::uninit(); CHUNK_BYTES];
        let mut space = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *from).poll_read(cx, &mut space))?;
        let bytes = space.filled();
        Poll::Ready(Ok((!bytes.is_empty()).then(|| bytes.to_vec())))
    })
    .await
}

async fn send(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], traffic: &Traffic) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await?;
    traffic.count(Direction::ToClient, bytes.len());
    Ok(())
}
