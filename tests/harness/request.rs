//! A request as a client writes it, and the answer as it reads it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use crate::connection::Connection;

/// A request to one host. Sent over HTTP/1.1 unless [`http2`](Self::http2) is called.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: RequestBody,
    http2: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum RequestBody {
    Whole(Bytes),
    Parts { parts: Vec<Bytes>, every: Duration },
}

impl Request {
    /// A request with any method. `target` is a path with its query.
    pub fn new(method: &str, host: &str, target: &str) -> Self {
        let method = Method::from_bytes(method.as_bytes());
        Self {
            method: method.unwrap_or_else(|error| panic!("{error}")),
            host: host.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: RequestBody::Whole(Bytes::new()),
            http2: false,
        }
    }

    /// A GET.
    pub fn get(host: &str, target: &str) -> Self {
        Self::new("GET", host, target)
    }

    /// A POST with a whole body.
    pub fn post(host: &str, target: &str, body: impl Into<Bytes>) -> Self {
        Self::new("POST", host, target).body(body)
    }

    /// A JSON-RPC call in Odoo's envelope.
    pub fn call(host: &str, target: &str, params: &Value) -> Self {
        let body = serde_json::json!({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params});
        Self::post(host, target, body.to_string()).header("Content-Type", "application/json")
    }

    /// A call that every Odoo answers, whatever its databases: `common.version` by JSON-RPC.
    pub fn version(host: &str) -> Self {
        Self::call(
            host,
            "/jsonrpc",
            &serde_json::json!({"service": "common", "method": "version", "args": []}),
        )
    }

    /// Adds a header line; a name may be given again. Use a raw connection for names that no library would send.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes())) {
            (Ok(name), Ok(value)) => self.headers.push((name, value)),
            (name, value) => panic!("not a header line: {name:?}: {value:?}"),
        }
        self
    }

    /// Gives it a body, sent with its length.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: RequestBody::Whole(body.into()), ..self }
    }

    /// Gives it a body in parts, sent without a length, with a pause before each part.
    pub fn body_in_parts(self, parts: Vec<Bytes>, every: Duration) -> Self {
        Self { body: RequestBody::Parts { parts, every }, ..self }
    }

    /// The same request to another host.
    pub fn at(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    /// The same request to another path.
    pub fn to(self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self }
    }

    /// Sends it over HTTP/2 without TLS and without asking first (RFC 9113, prior knowledge).
    pub fn http2(self) -> Self {
        Self { http2: true, ..self }
    }

    /// Sends it on a connection of its own and reads the whole answer.
    pub async fn send(&self, address: SocketAddr) -> Answer {
        let answer = self.try_send(address).await;
        answer.unwrap_or_else(|error| panic!("{} {} of {address}: {error}", self.method, self.target))
    }

    /// Sends it on a connection of its own and reads the whole answer.
    ///
    /// # Errors
    /// When there is no connection, it breaks off, or the answer does not come in time.
    pub async fn try_send(&self, address: SocketAddr) -> io::Result<Answer> {
        let connection =
            if self.http2 { Connection::http2(address).await } else { Connection::http1(address).await };
        connection?.ask(self).await
    }

    pub(crate) fn message(&self, absolute: bool) -> http::Request<UnsyncBoxBody<Bytes, Infallible>> {
        let mut message = http::Request::builder().method(self.method.clone());
        if absolute {
            message = message.version(Version::HTTP_2).uri(format!("http://{}{}", self.host, self.target));
        } else {
            message = message.uri(&self.target).header("Host", &self.host);
        }
        for (name, value) in &self.headers {
            message = message.header(name, value);
        }
        let body = match self.body.clone() {
            RequestBody::Whole(bytes) => Full::new(bytes).boxed_unsync(),
            RequestBody::Parts { parts, every } => {
                let frames = futures_util::stream::iter(parts).then(move |part| async move {
                    tokio::time::sleep(every).await;
                    Ok::<_, Infallible>(Frame::data(part))
                });
                StreamBody::new(frames).boxed_unsync()
            }
        };
        message.body(body).unwrap_or_else(|error| panic!("not a request: {error}"))
    }
}

/// GET of a path on a host, on a connection of its own.
pub async fn http_get(address: SocketAddr, host: &str, path: &str) -> Answer {
    Request::get(host, path).send(address).await
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The version of HTTP it came in.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The first value of a header; `None` also if it is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Every value of a header that is text, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the body if it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} without JSON: {}", self.status, self.text()))
    }

    /// The database that a stand-in Odoo says it answered from.
    pub fn database(&self) -> Option<&str> {
        self.header("x-stub-database")
    }

    /// The stand-in Odoo that answered.
    pub fn server(&self) -> Option<&str> {
        self.header("x-stub-server")
    }

    /// `name=value` of a cookie that the answer sets.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.values("set-cookie");
        let pairs = cookies.iter().filter_map(|line| line.split(';').next());
        let mut named = pairs.filter(|pair| pair.split_once('=').is_some_and(|(key, _)| key.trim() == name));
        named.next().map(|pair| pair.trim().to_owned())
    }
}
