//! An answer, and how it is written to the wire.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;
use serde_json::Value;

use super::received::Port;

/// What the version in Debian 12's Werkzeug says of itself.
const SERVER: &str = "Werkzeug/2.2.2 Python/3.11.2";

/// An answer before it is written.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(Cow<'static, str>, String)>,
    pub(crate) payload: Payload,
    /// The database that answered, if it is not the selected one: RPC names its own in the body.
    pub(crate) database: Option<String>,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Payload {
    /// All of it, with a length.
    Whole(Bytes),
    /// So many bytes of filler, with a length.
    Filler(u64),
    /// Numbered lines in chunks, one each `every`, without a length.
    Drip { parts: u64, every: Duration },
}

/// What is said around an answer on the wire.
pub(crate) struct Wire<'a> {
    pub(crate) server: &'a str,
    pub(crate) port: Port,
    pub(crate) database: Option<&'a str>,
    /// HTTP/1.1 with keepalive, or HTTP/1.0 and close.
    pub(crate) modern: bool,
    pub(crate) keep: bool,
    pub(crate) date: &'a str,
    /// What the request said in `X-Stub-Mark`.
    pub(crate) mark: Option<&'a str>,
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = vec![(Cow::Borrowed("Content-Type"), content_type.to_owned())];
        Self { status, headers, payload: Payload::Whole(body.into()), database: None }
    }

    pub(crate) fn html(status: u16, body: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    /// A redirect in Odoo's way, with a small page.
    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        let page = format!(
            "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n\
             <p>You should be redirected automatically to the target URL: <a href=\"{location}\">{location}</a>.\n"
        );
        Self::html(status, page).with("Location", location)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }

    pub(crate) fn of(self, database: impl Into<String>) -> Self {
        Self { database: Some(database.into()), ..self }
    }

    /// Writes everything up to the body, and the body itself if it is whole.
    pub(crate) fn encode(&self, wire: &Wire<'_>, head_only: bool, out: &mut BytesMut) {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let version = if wire.modern { "HTTP/1.1 " } else { "HTTP/1.0 " };
        put(out, &[version, &self.status.to_string(), " ", reason.unwrap_or("Unknown"), "\r\n"]);
        put(out, &["Server: ", SERVER, "\r\nDate: ", wire.date, "\r\n"]);
        for (name, value) in &self.headers {
            put(out, &[name, ": ", value, "\r\n"]);
        }
        put(out, &["X-Stub-Server: ", wire.server, "\r\nX-Stub-Port: ", wire.port.name(), "\r\n"]);
        if let Some(mark) = wire.mark {
            put(out, &["X-Stub-Mark: ", mark, "\r\n"]);
        }
        if let Some(database) = self.database.as_deref().or(wire.database) {
            put(out, &["X-Stub-Database: ", database, "\r\n"]);
        }
        match &self.payload {
            _ if self.status == 304 || self.status == 204 || self.status < 200 => {}
            Payload::Whole(body) => put(out, &["Content-Length: ", &body.len().to_string(), "\r\n"]),
            Payload::Filler(bytes) => put(out, &["Content-Length: ", &bytes.to_string(), "\r\n"]),
            Payload::Drip { .. } if wire.modern => put(out, &["Transfer-Encoding: chunked\r\n"]),
            Payload::Drip { .. } => {}
        }
        if !wire.keep && self.status != 101 {
            put(out, &["Connection: close\r\n"]);
        }
        put(out, &["\r\n"]);
        if let Payload::Whole(body) = &self.payload
            && !head_only
        {
            out.put_slice(body);
        }
    }
}

fn put(out: &mut BytesMut, parts: &[&str]) {
    for part in parts {
        out.put_slice(part.as_bytes());
    }
}
