//! Reloads: how long one takes, and what it costs those who are being served.

use crate::Failure;
use crate::answer::Incoming;
use crate::fleet::{Workers, backend, host};
use crate::gateway::{Gateway, State};
use crate::report::{Figure, Unit, median};
use crate::websocket::{Websocket, open_many};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

const TENANTS: u32 = 10_000;
/// The tenant whose state changes; no load asks for it.
const CHANGED: u32 = TENANTS - 1;
/// Reloads whose time is taken.
const TIMED_RELOADS: u32 = 11;
/// Reloads under load.
const LOADED_RELOADS: u32 = 100;
/// Websockets that live through them.
const WEBSOCKETS: u32 = 200;
/// Connections that ask for pages meanwhile.
const CONNECTIONS: u32 = 32;
/// Between two messages of a websocket.
const TALK_PAUSE: Duration = Duration::from_millis(200);

/// From the call of the admin API to its answer; each reload is then seen by a request.
pub(crate) async fn duration() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(TENANTS, Workers::Threaded).await?;
    let gateway = Gateway::start(TENANTS, &odoo).await?;
    gateway.ask_each_tenant().await?;
    let mut times = Vec::new();
    for turn in 0..TIMED_RELOADS {
        times.push(change(&gateway, turn).await?.as_secs_f64() * 1_000.0);
    }
    eprintln!("   each: {}", times.iter().map(|ms| format!("{ms:.1} ms")).collect::<Vec<_>>().join(", "));
    let value = median(times).ok_or("no reload was timed")?;
    Ok(vec![Figure { name: "reload_ms_10k_tenants", value, unit: Unit::Milliseconds }])
}

/// Requests without a good answer, and websockets lost, over many reloads.
pub(crate) async fn under_load() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(TENANTS, Workers::Threaded).await?;
    let gateway = Gateway::start(TENANTS, &odoo).await?;
    let sockets = open_many(gateway.address, WEBSOCKETS, CHANGED).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut talks = JoinSet::new();
    for socket in sockets {
        talks.spawn(talk(socket, Arc::clone(&stop)));
    }
    let reloads = async {
        for turn in 0..LOADED_RELOADS {
            change(&gateway, turn).await?;
        }
        Ok::<(), Failure>(())
    };
    let mut load = gateway.load(CONNECTIONS);
    load.tenants = CHANGED;
    let (reloaded, tally) = load.run_while(reloads).await?;
    reloaded?;
    stop.store(true, Ordering::Relaxed);
    let ends = talks.join_all().await;
    for problem in ends.iter().filter_map(|end| end.as_ref().err()) {
        eprintln!("   a websocket was lost: {problem}");
    }
    let lost = u32::try_from(ends.iter().filter(|end| end.is_err()).count())?;
    let messages: u32 = ends.iter().filter_map(|end| end.as_ref().ok()).sum();
    eprintln!(
        "   {LOADED_RELOADS} reloads, {} requests answered, {messages} messages of websockets came back",
        tally.done
    );
    Ok(vec![
        Figure { name: "reload_failed_requests", value: tally.failed.into(), unit: Unit::Count },
        Figure { name: "reload_lost_websockets", value: lost.into(), unit: Unit::Count },
    ])
}

/// Suspends a tenant in even turns and serves it in odd ones, and sees the change in the very next request.
async fn change(gateway: &Gateway, turn: u32) -> Result<Duration, Failure> {
    let (state, expected) =
        if turn.is_multiple_of(2) { (State::Suspended, false) } else { (State::Active, true) };
    gateway.set_state(CHANGED, state)?;
    let taken = gateway.reload().await?;
    let status = status(gateway.address, CHANGED).await?;
    if (status == 200) == expected {
        return Ok(taken);
    }
    Err(format!("after a reload a tenant that should be {state:?} answered {status}").into())
}

/// Asks for a page of a tenant on a new connection; the status of the answer.
pub(crate) async fn status(server: SocketAddr, tenant: u32) -> Result<u16, Failure> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host(tenant));
    stream.write_all(request.as_bytes()).await?;
    Ok(Incoming::new().answer(&mut stream).await?.status)
}

/// Sends messages until told to stop; how many came back, or why the websocket is lost.
async fn talk(mut socket: Websocket, stop: Arc<AtomicBool>) -> std::io::Result<u32> {
    let mut messages = 0;
    loop {
        // Asked before the last message, so that each websocket has proved itself after the last reload.
        let last = stop.load(Ordering::Relaxed);
        socket.echo(&format!("message {messages}")).await?;
        messages += 1;
        if last {
            return Ok(messages);
        }
        sleep(TALK_PAUSE).await;
    }
}
