//! The handshake of a websocket with Odoo's gevent port.
//!
//! Websockets do not go through Pingora's exchange: after the handshake the client's connection is handed to a
//! [`Tunnel`], so that an open websocket costs a few KiB, is told apart from HTTP in every count and clock, and
//! can be closed with a proper frame.

use super::answer;
use super::context::RequestContext;
use super::cookies::harden_session;
use super::forward;
use super::headers;
use super::lost;
use super::service::GatewayState;
use super::target;
use super::tunnel::Tunnel;
use crate::connection::Transport;
use crate::upstream::{DialError, dial, tls_cause};
use bytes::BytesMut;
use fleetgate_core::pool::WebsocketTimeouts;
use fleetgate_core::rejection::Rejection;
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_EXTENSIONS, TRANSFER_ENCODING, UPGRADE};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Largest head of a handshake's answer, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Header fields of a handshake's answer at most.
const HEAD_FIELDS_MAX: usize = 64;
/// Largest body of a refused handshake that is passed on, in bytes. Odoo answers with one sentence.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// For the body of a refused handshake.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a request asks for a websocket that HTTP/1.1 can carry (RFC 6455, section 4.1).
pub(super) fn asks(session: &Session) -> bool {
    let head = session.req_header();
    let upgrade =
        head.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    upgrade
        && head.version == http::Version::HTTP_11
        && head.method == http::Method::GET
        && !head.headers.contains_key(CONTENT_LENGTH)
        && !head.headers.contains_key(TRANSFER_ENCODING)
}

/// Shakes hands with a backend. On success the context holds a tunnel that takes over the connection; a refusal by
/// Odoo is passed on; when no backend answers, the gateway does.
pub(super) async fn open(
    session: &mut Session,
    context: &mut RequestContext,
    state: &Arc<GatewayState>,
) -> Result<bool> {
    let Some(timeouts) = context.pool().map(|pool| pool.websocket) else {
        return answer::reject(session, context, Rejection::Internal).await.map(|()| true);
    };
    let request = handshake_request(session.req_header(), context)?;
    match shake_hands(context, timeouts, &request).await {
        Ok((mut answer, rest, backend)) => {
            context.first_byte = Some(context.started.elapsed());
            if let Some(pool) = context.pool() {
                harden_session(&mut answer, pool.session_cookie)?;
            }
            headers::adopt_answer(context, &mut answer)?;
            context.backend_begins();
            context.answer_leaves(0);
            if answer.status == http::StatusCode::SWITCHING_PROTOCOLS {
                Tunnel::attach(session, context, state, &answer, &rest, backend, timeouts.idle);
            } else {
                refuse(session, answer, rest, backend).await?;
            }
        }
        Err(rejection) => answer::reject(session, context, rejection).await?,
    }
    Ok(true)
}

fn handshake_request(head: &RequestHeader, context: &RequestContext) -> Result<Vec<u8>> {
    let mut head = head.clone();
    headers::rewrite(context, &mut head)?;
    target::drop_authority(&mut head);
    // Odoo negotiates no extension and refuses frames that use one.
    head.remove_header(&SEC_WEBSOCKET_EXTENSIONS);
    head.insert_header(CONNECTION, "Upgrade")?;
    head.insert_header(UPGRADE, "websocket")?;
    let mut wire = Vec::with_capacity(1_024);
    wire.extend_from_slice(b"GET ");
    wire.extend_from_slice(head.raw_path());
    wire.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields(&mut wire, &head.headers);
    Ok(wire)
}

/// Writes header fields and the empty line that ends a head.
pub(super) fn write_fields(wire: &mut Vec<u8>, fields: &http::HeaderMap) {
    for (name, value) in fields {
        wire.extend_from_slice(name.as_str().as_bytes());
        wire.extend_from_slice(b": ");
        wire.extend_from_slice(value.as_bytes());
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"\r\n");
}

type Answered = (ResponseHeader, BytesMut, Transport);

/// Asks one backend after the other. A handshake is a GET: it may be repeated until one answers.
async fn shake_hands(
    context: &mut RequestContext,
    timeouts: WebsocketTimeouts,
    request: &[u8],
) -> Result<Answered, Rejection> {
    let mut rejection = Rejection::BackendUnreachable;
    while let Some(lease) = context.next_backend() {
        let backend = Arc::clone(lease.backend());
        let port = lease.port();
        let address = lease.address();
        let connected =
            timeout(timeouts.connect, dial(address, context.backend_tls().map(|tls| &**tls))).await;
        let mut stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(DialError::Tls(error))) => {
                note_failing(context, tls_cause(&error));
                rejection = Rejection::BackendUntrusted;
                continue;
            }
            Ok(Err(DialError::Connect(_))) | Err(_) => {
                note_failing(context, None);
                continue;
            }
        };
        backend.note_connected(port);
        let answered = tokio::select! {
            biased;
            answered = timeout(timeouts.handshake, exchange(&mut stream, request)) => answered,
            () = lost::found(context) => {
                rejection = Rejection::BackendTimeout;
                context.attempts = context.attempts.forgiving_others();
                continue;
            }
        };
        rejection = match answered {
            Ok(Ok((head, rest))) => return Ok((head, rest, stream)),
            Ok(Err(error)) if tls_cause(&error).is_some() => {
                note_failing(context, tls_cause(&error));
                Rejection::BackendUntrusted
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Rejection::BackendInvalid,
            Ok(Err(_)) => Rejection::BackendReset,
            // A gevent process that is silent is busy; asking a second one would only double its load.
            Err(_) => return Err(Rejection::BackendTimeout),
        };
    }
    Err(rejection)
}

fn note_failing(context: &RequestContext, tls: Option<&rustls::Error>) {
    if let Some(lease) = &context.lease {
        forward::note_failing(context, lease, tls);
    }
}

async fn exchange(stream: &mut Transport, request: &[u8]) -> io::Result<(ResponseHeader, BytesMut)> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut buffer = BytesMut::with_capacity(1_024);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((head, len)) = parse_head(&buffer)? {
            let rest = buffer.split_off(len);
            return Ok((head, rest));
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<(ResponseHeader, usize)>> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(len) = parsed.parse(bytes).map_err(|_| io::ErrorKind::InvalidData)? else {
        return Ok(None);
    };
    let code = parsed.code.ok_or(io::ErrorKind::InvalidData)?;
    let mut head = ResponseHeader::build(code, Some(parsed.headers.len())).map_err(invalid)?;
    for field in parsed.headers.iter() {
        head.append_header(field.name.to_owned(), field.value).map_err(invalid)?;
    }
    let switches = code != 101
        || head.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if switches { Ok(Some((head, len))) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Passes on the answer of a backend that did not switch, with as much of its body as arrives in time.
async fn refuse(
    session: &mut Session,
    mut head: ResponseHeader,
    rest: BytesMut,
    backend: Transport,
) -> Result<()> {
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let max = u64::try_from(REFUSAL_BYTES_MAX).unwrap_or(u64::MAX);
    let mut body = rest.to_vec();
    if head.headers.contains_key(TRANSFER_ENCODING) {
        // The status says it all; a body in chunks is not worth a decoder here.
        body.clear();
    } else {
        let missing = length.unwrap_or(max).min(max).saturating_sub(u64::try_from(body.len()).unwrap_or(max));
        let _in_time = timeout(REFUSAL_TIMEOUT, backend.take(missing).read_to_end(&mut body)).await;
    }
    for name in [CONNECTION, UPGRADE, TRANSFER_ENCODING] {
        head.remove_header(&name);
    }
    head.insert_header(CONTENT_LENGTH, body.len().to_string())?;
    session.write_response_header(Box::new(head), false).await?;
    session.write_response_body(Some(body.into()), true).await
}
