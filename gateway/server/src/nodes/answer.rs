//! Answering the other gateways.

use super::PATH;
use super::credentials::Credentials;
use super::gateways::Gateways;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Connections at once: each of the others has one, and strangers come and go.
const CONNECTIONS_MAX: usize = 256;
/// For a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// For the next question on a connection: the others ask four times a second.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a connection that could not be taken, as when no file can be opened.
const PAUSE: Duration = Duration::from_millis(100);

/// What this gateway says when it is asked.
pub(super) type Say = Arc<dyn Fn() -> String + Send + Sync>;

/// Answers until it is told to stop. What is open then is closed, so that the others come back to whoever listens now.
pub(super) async fn answer(
    gateways: Arc<Gateways>,
    listener: TcpListener,
    say: Say,
    stop: CancellationToken,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the other gateways cannot be answered; restart this one");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (gateways, say) = (Arc::clone(&gateways), Arc::clone(&say));
        connections.spawn(async move {
            serve(&gateways, stream, say).await;
            drop(place);
        });
    }
}

async fn serve(gateways: &Arc<Gateways>, stream: TcpStream, say: Say) {
    let Some(credentials) = gateways.credentials() else { return };
    let shaken = timeout(HANDSHAKE_TIMEOUT, credentials.acceptor.accept(stream)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "somebody came as a gateway, and shook no hands"),
        Err(_) => return tracing::debug!("somebody came as a gateway, and did not finish its handshake"),
    };
    let whose = credentials.whose(stream.get_ref().1.peer_certificates().unwrap_or_default());
    if whose.is_none() {
        tracing::warn!(
            "somebody with a certificate of the right authority came as a gateway, and is none of `nodes.gateways`"
        );
    }
    let service = service_fn(|request: Request<Incoming>| {
        let answer = respond(gateways, &credentials, whose.as_deref(), &request, &say);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection of another gateway broke");
    }
}

fn respond(
    gateways: &Gateways,
    credentials: &Arc<Credentials>,
    whose: Option<&str>,
    request: &Request<Incoming>,
    say: &Say,
) -> Response<Full<Bytes>> {
    let present = gateways.credentials();
    let same = present.as_ref().is_some_and(|present| Arc::ptr_eq(present, credentials));
    let known = |name: &str| present.iter().any(|present| present.others().any(|node| *node.name == *name));
    let (status, text) = if !whose.is_some_and(known) {
        (StatusCode::FORBIDDEN, "no gateway of `nodes.gateways`".to_owned())
    } else if request.uri().path() != PATH || request.method() != hyper::Method::GET {
        (StatusCode::NOT_FOUND, String::new())
    } else {
        (StatusCode::OK, say())
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // With other certificates, who comes is proved anew.
    if status == StatusCode::FORBIDDEN || !same {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
