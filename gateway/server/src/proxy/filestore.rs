//! Files that Odoo lets the gateway send: `X-Accel-Redirect`.

use super::answer;
use super::context::RequestContext;
use super::exchange::{Answering, release_place};
use super::headers;
use super::service::GatewayState;
use fleetgate_core::odoo::filestore::FilestoreFile;
use fleetgate_core::rejection::Rejection;
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE,
    LAST_MODIFIED, RANGE, TRANSFER_ENCODING,
};
use http::{Method, StatusCode};
use http_range_header::parse_range_header;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Bytes that are read from a file at once.
const READ_BYTES: u64 = 256 * 1024;
/// How Odoo names a file to send.
static ACCEL: HeaderName = HeaderName::from_static("x-accel-redirect");

/// Whether an answer is a file that the gateway has to send.
pub(super) fn names_a_file(head: &ResponseHeader) -> bool {
    head.headers.contains_key(&ACCEL) && head.status != StatusCode::NOT_MODIFIED
}

/// Sends the file that an answer names. The backend is done with the request.
///
/// # Errors
/// The client left, or the file cannot be read to its end.
pub(super) async fn send(
    session: &mut Session,
    context: &mut RequestContext,
    state: &GatewayState,
    answering: Answering,
) -> Result<()> {
    let Answering { connection, mut head, .. } = answering;
    drop(connection);
    release_place(context);
    let opened = open(context, &head).await;
    let (file, length) = match opened {
        Ok(opened) => opened,
        Err(rejection) => return answer::reject(session, context, rejection).await,
    };
    let range = asked_range(session.req_header(), &head, length);
    let part = set_extent(&mut head, range, length)?;
    context.answer_leaves(0);
    headers::adopt(session, context, state, &mut head, part.is_empty())?;
    let without_body = session.req_header().method == Method::HEAD || part.is_empty();
    write(session, HttpTask::Header(head, without_body)).await?;
    if without_body {
        return Ok(());
    }
    copy(session, &file, part).await
}

/// Opens the file below the pool's filestore. No part of its path may be a link or lead outside.
async fn open(
    context: &RequestContext,
    head: &ResponseHeader,
) -> std::result::Result<(Arc<File>, u64), Rejection> {
    let value = head.headers.get(&ACCEL).map_or(&[][..], |value| value.as_bytes());
    let database = context.database();
    let file = database.as_deref().and_then(|database| FilestoreFile::parse(value, database));
    let root = context.pool().and_then(|pool| pool.filestore.as_deref());
    let (Some(file), Some(root)) = (file, root) else {
        tracing::warn!(
            request_id = context.request_id.as_str(),
            configured = root.is_some(),
            "Odoo asked for a file that may not be sent; does its pool have a `filestore`, and is the file one of the database?"
        );
        return Err(Rejection::FileRefused);
    };
    let (root, relative) = (root.to_owned(), file.relative().to_owned());
    let opened = spawn_blocking(move || open_below(Path::new(&root), &relative)).await;
    match opened.map_err(io::Error::other).flatten() {
        Ok((file, length)) => Ok((Arc::new(file), length)),
        Err(error) => {
            let request_id = context.request_id.as_str();
            tracing::warn!(%error, request_id, "a file of the filestore cannot be opened");
            Err(Rejection::FileMissing)
        }
    }
}

fn open_below(root: &Path, relative: &str) -> io::Result<(File, u64)> {
    let folder = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat2(&folder, relative, flags, Mode::empty(), resolve)?);
    let facts = file.metadata()?;
    if facts.is_file() { Ok((file, facts.len())) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The part that the client asks for: `None` for all of it, `Some(None)` when there is no such part.
fn asked_range(
    request: &RequestHeader,
    head: &ResponseHeader,
    length: u64,
) -> Option<Option<RangeInclusive<u64>>> {
    let asked = request.headers.get(RANGE).filter(|_| request.method == Method::GET)?.to_str().ok()?;
    if let Some(condition) = request.headers.get(IF_RANGE) {
        let now = [head.headers.get(ETAG), head.headers.get(LAST_MODIFIED)];
        let weak = condition.as_bytes().starts_with(b"W/");
        if weak || !now.into_iter().flatten().any(|validator| validator == condition) {
            return None;
        }
    }
    let mut ranges = match parse_range_header(asked) {
        Ok(parsed) => match parsed.validate(length) {
            Ok(ranges) => ranges.into_iter(),
            Err(_) => return Some(None),
        },
        // What cannot be read is left aside (RFC 9110, section 14.2).
        Err(_) => return None,
    };
    // Several parts would need a body of several parts; a server may send everything instead.
    let only = ranges.next();
    if ranges.next().is_some() { None } else { only.map(Some) }
}

/// Says in the head what follows, and which bytes these are.
fn set_extent(
    head: &mut ResponseHeader,
    range: Option<Option<RangeInclusive<u64>>>,
    length: u64,
) -> Result<std::ops::Range<u64>> {
    for name in [&TRANSFER_ENCODING, &CONTENT_RANGE] {
        head.remove_header(name);
    }
    head.insert_header(ACCEPT_RANGES, "bytes")?;
    let (status, part) = match range {
        None => (StatusCode::OK, 0..length),
        Some(None) => {
            head.insert_header(CONTENT_RANGE, format!("bytes */{length}"))?;
            head.remove_header(&CONTENT_ENCODING);
            (StatusCode::RANGE_NOT_SATISFIABLE, 0..0)
        }
        Some(Some(range)) => {
            let (first, last) = range.into_inner();
            head.insert_header(CONTENT_RANGE, format!("bytes {first}-{last}/{length}"))?;
            (StatusCode::PARTIAL_CONTENT, first..last.saturating_add(1))
        }
    };
    head.set_status(status)?;
    head.insert_header(CONTENT_LENGTH, part.end.saturating_sub(part.start))?;
    Ok(part)
}

/// Copies a part of a file to the client, at the client's pace.
async fn copy(session: &mut Session, file: &Arc<File>, part: std::ops::Range<u64>) -> Result<()> {
    let mut at = part.start;
    while at < part.end {
        let bytes = usize::try_from(part.end.saturating_sub(at).min(READ_BYTES)).unwrap_or(0);
        let source = Arc::clone(file);
        let read = spawn_blocking(move || {
            let mut buffer = vec![0; bytes];
            source.read_exact_at(&mut buffer, at).map(|()| buffer)
        });
        let chunk = read.await.map_err(io::Error::other).flatten().map_err(|error| {
            Error::because(ErrorType::FileReadError, "reading a file of the filestore", error).into_in()
        })?;
        at = at.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        write(session, HttpTask::Body(Some(chunk.into()), at >= part.end)).await?;
    }
    Ok(())
}

async fn write(session: &mut Session, task: HttpTask) -> Result<()> {
    session.write_response_tasks(vec![task]).await.map(|_| ()).map_err(|error| error.into_down())
}
