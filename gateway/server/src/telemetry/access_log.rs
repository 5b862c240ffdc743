//! The access log: one JSON object a request on standard output.
//!
//! Requests never wait for it: see [`Lines`].

use super::lines::{Lines, LinesGuard};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};
use std::net::IpAddr;

/// Bytes of most lines.
const LINE_BYTES_USUAL: usize = 768;

/// One request, as the log shows it. Never holds a query, a cookie, a token or a body.
#[derive(Debug, Serialize)]
pub struct AccessEvent<'a> {
    /// When the answer ended, RFC 3339 in UTC.
    pub time: jiff::Timestamp,
    /// Always `request`.
    pub event: &'static str,
    /// Same id as in the answer's `X-Request-Id`.
    pub request_id: Cow<'a, str>,
    /// Trace that the request belongs to (W3C Trace Context).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Cow<'a, str>>,
    /// Client, behind trusted proxies.
    pub client: IpAddr,
    /// Certificate of the client, when the tenant asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Cow<'a, str>>,
    /// Database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Cow<'a, str>>,
    /// Pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Cow<'a, str>>,
    /// Traffic class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// Backend that answered, or was asked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<std::net::SocketAddr>,
    /// Backends that were asked.
    pub attempts: u8,
    /// Status of the answer; 0 when the client left before one began.
    pub status: u16,
    /// Code of the rejection when the gateway answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejection: Option<&'static str>,
    /// What exactly was wrong with a malformed request, or the guard that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the request's head to the end of the answer, in milliseconds.
    pub duration_ms: f64,
    /// How long the request waited for a worker, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<f64>,
    /// From the request's head to the first byte of the backend's answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<f64>,
    /// Why a websocket ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket_end: Option<&'static str>,
    /// What went wrong between the gateway and the backend or client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'a, str>>,
    /// Snapshot that decided.
    pub generation: u64,
}

/// The certificate of a client. Names are what it says, at most 256 bytes; empty when there is none.
#[derive(Debug, Serialize)]
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

impl AccessEvent<'_> {
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
        let mut line = Vec::with_capacity(LINE_BYTES_USUAL);
        if serde_json::to_writer(&mut line, event).is_ok() {
            line.push(b'\n');
            self.0.push(&line);
        }
    }

    /// The lines themselves, which know how many were dropped.
    #[must_use]
    pub fn lines(&self) -> Lines {
        self.0.clone()
    }
}
