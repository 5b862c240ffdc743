//! The access log: one JSON object a request on standard output.
//!
//! Requests never wait for it: see [`Lines`].

use super::json::JsonLine;
use super::lines::{Lines, LinesGuard};
use std::borrow::Cow;
use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

/// Bytes of most lines.
const LINE_BYTES_USUAL: usize = 768;

/// One request, as the log shows it. Never holds a query, a cookie, a token or a body.
#[derive(Debug)]
pub struct AccessEvent<'a> {
    /// When the answer ended, RFC 3339 in UTC.
    pub time: jiff::Timestamp,
    /// Always `request`.
    pub event: &'static str,
    /// Same id as in the answer's `X-Request-Id`.
    pub request_id: Cow<'a, str>,
    /// Trace that the request belongs to (W3C Trace Context).
    pub trace_id: Option<Cow<'a, str>>,
    /// Client, behind trusted proxies.
    pub client: IpAddr,
    /// Certificate of the client, when the tenant asks for one.
    pub certificate: Option<CertificateEvent<'a>>,
    /// `http` or `https`, as the client used it.
    pub scheme: &'static str,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub protocol: &'static str,
    /// Method.
    pub method: Cow<'a, str>,
    /// Canonical host; empty when there was none.
    pub host: Cow<'a, str>,
    /// Path without query, tokens masked.
    pub path: Cow<'a, str>,
    /// Tenant id.
    pub tenant: Option<Cow<'a, str>>,
    /// Database.
    pub database: Option<Cow<'a, str>>,
    /// Pool.
    pub pool: Option<Cow<'a, str>>,
    /// Traffic class.
    pub class: Option<&'static str>,
    /// Backend that answered, or was asked last.
    pub backend: Option<std::net::SocketAddr>,
    /// Backends that were asked.
    pub attempts: u8,
    /// Status of the answer; 0 when the client left before one began.
    pub status: u16,
    /// Code of the rejection when the gateway answered.
    pub rejection: Option<&'static str>,
    /// What exactly was wrong with a malformed request, or the guard that refused.
    pub reason: Option<&'static str>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the request's head to the end of the answer.
    pub duration: Duration,
    /// How long the request waited for a worker.
    pub queued: Option<Duration>,
    /// How long the request waited for its pool to have a region.
    pub held: Option<Duration>,
    /// From the request's head to the first byte of the backend's answer.
    pub first_byte: Option<Duration>,
    /// Why a websocket ended.
    pub websocket_end: Option<&'static str>,
    /// What went wrong between the gateway and the backend or client.
    pub error: Option<Cow<'a, str>>,
    /// Snapshot that decided.
    pub generation: u64,
}

/// The certificate of a client. Names are what it says, at most 256 bytes; empty when there is none.
#[derive(Debug)]
pub struct CertificateEvent<'a> {
    /// `verified`, or what is wrong: `absent`, `unknown_authority`, `expired`, `unusable`.
    pub result: &'static str,
    /// Whose it is.
    pub subject: Cow<'a, str>,
    /// Who signed it.
    pub issuer: Cow<'a, str>,
    /// SHA-256 in hexadecimal digits.
    pub fingerprint: Cow<'a, str>,
}

impl CertificateEvent<'_> {
    fn write(&self, line: &mut JsonLine) {
        let Self { result, subject, issuer, fingerprint } = self;
        line.text("result", result);
        line.text("subject", subject);
        line.text("issuer", issuer);
        line.text("fingerprint", fingerprint);
    }
}

impl AccessEvent<'_> {
    /// The event as one line of JSON, its fields in the order above and those without a value left out.
    fn to_line(&self) -> Vec<u8> {
        // Taken apart, so that no field is forgotten.
        let Self {
            time,
            event,
            request_id,
            trace_id,
            client,
            certificate,
            scheme,
            protocol,
            method,
            host,
            path,
            tenant,
            database,
            pool,
            class,
            backend,
            attempts,
            status,
            rejection,
            reason,
            bytes_in,
            bytes_out,
            duration,
            queued,
            held,
            first_byte,
            websocket_end,
            error,
            generation,
        } = self;
        let mut line = JsonLine::with_capacity(LINE_BYTES_USUAL);
        line.shown("time", time);
        line.text("event", event);
        line.text("request_id", request_id);
        line.maybe_text("trace_id", trace_id.as_deref());
        line.address("client", *client);
        if let Some(certificate) = certificate {
            line.object("certificate", |line| certificate.write(line));
        }
        line.text("scheme", scheme);
        line.text("protocol", protocol);
        line.text("method", method);
        line.text("host", host);
        line.text("path", path);
        line.maybe_text("tenant", tenant.as_deref());
        line.maybe_text("database", database.as_deref());
        line.maybe_text("pool", pool.as_deref());
        line.maybe_text("class", *class);
        if let Some(backend) = backend {
            line.socket("backend", *backend);
        }
        line.number("attempts", u64::from(*attempts));
        line.number("status", u64::from(*status));
        line.maybe_text("rejection", *rejection);
        line.maybe_text("reason", *reason);
        line.number("bytes_in", *bytes_in);
        line.number("bytes_out", *bytes_out);
        line.milliseconds("duration_ms", *duration);
        line.maybe_milliseconds("queue_ms", *queued);
        line.maybe_milliseconds("held_ms", *held);
        line.maybe_milliseconds("first_byte_ms", *first_byte);
        line.maybe_text("websocket_end", *websocket_end);
        line.maybe_text("error", error.as_deref());
        line.number("generation", *generation);
        line.end()
    }

    /// The same event without borrowing from the request: what an open websocket keeps.
    #[must_use]
    pub fn into_owned(self) -> AccessEvent<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        AccessEvent {
            request_id: owned(self.request_id),
            trace_id: self.trace_id.map(owned),
            method: owned(self.method),
            host: owned(self.host),
            path: owned(self.path),
            tenant: self.tenant.map(owned),
            database: self.database.map(owned),
            pool: self.pool.map(owned),
            certificate: self.certificate.map(|certificate| CertificateEvent {
                subject: owned(certificate.subject),
                issuer: owned(certificate.issuer),
                fingerprint: owned(certificate.fingerprint),
                ..certificate
            }),
            error: self.error.map(owned),
            ..self
        }
    }
}

/// Where access events go.
#[derive(Debug, Clone)]
pub struct AccessLog(Lines);

impl AccessLog {
    /// Starts the writer. The guard writes what waits when it is dropped.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(output: impl Write + Send + 'static) -> io::Result<(Self, LinesGuard)> {
        Lines::start(output).map(|(lines, guard)| (Self(lines), guard))
    }

    /// Queues an event.
    pub fn write(&self, event: &AccessEvent<'_>) {
        self.0.push(&event.to_line());
    }

    /// The lines themselves, which know how many were dropped.
    #[must_use]
    pub fn lines(&self) -> Lines {
        self.0.clone()
    }
}
