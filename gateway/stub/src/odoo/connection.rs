//! One connection: requests in, answers out, as prefork, threaded or gevent Odoo does it.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::body::{Body, FramingError};
use super::bus;
use super::head::{Head, HeadError};
use super::received::{Held, Port, count};
use super::reply::{Payload, Reply, Wire};
use super::route::{self, Exchange};
use super::server::State;

const READ_BYTES: usize = 16 * 1024;
static FILLER: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// A connection being served.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: BytesMut,
    pub(crate) state: Arc<State>,
    pub(crate) port: Port,
    pub(crate) number: u64,
    /// `X-Stub-Mark` of the request being served.
    pub(crate) mark: Option<String>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Why a connection ends without an answer.
enum End {
    Closed,
    Stalled,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl Connection {
    pub(crate) async fn serve(mut self) {
        let state = Arc::clone(&self.state);
        let _open = Held::take(&state.counters.connections_open);
        if let Err(End::Stalled) = self.requests(&state).await {
            count(&state.counters.stalled);
        }
    }

    /// True if this port serves one request a connection.
    fn prefork(&self) -> bool {
        self.port == Port::Http && !self.state.options.keep_alive
    }

    async fn requests(&mut self, state: &State) -> Result<(), End> {
        // A prefork worker owns a connection from accept to close; a thread is only taken for a request.
        let _worker = if self.prefork() { state.worker().await } else { None };
        loop {
            self.mark = None;
            let head = match self.head().await? {
                Ok(Some(head)) => head,
                Ok(None) => return Ok(()),
                Err(error) => return self.refuse(error).await,
            };
            count(&state.counters.requests);
            self.mark = head.joined("x-stub-mark").map(Cow::into_owned);
            let in_flight = Held::take(&state.counters.requests_in_flight);
            let keep = !self.prefork() && head.minor == 1 && !head.names_token("connection", "close");
            let Ok(mut body) = Body::announced(&head) else { return self.refuse(HeadError::NotHttp).await };
            let selection = state.databases.select(&head, &state.options.sessions);
            let read = self.body(&head, &mut body).await;
            state.log.add(self.port, self.number, &head, selection.database.as_deref(), &body);
            if read?.is_err() {
                return self.refuse(HeadError::NotHttp).await;
            }
            let exchange = Exchange { state, port: self.port, head: &head, body: &body, selection };
            if route::is_websocket(&exchange) {
                drop(in_flight);
                return Ok(bus::upgrade(self, &exchange).await?);
            }
            let _thread =
                if self.port == Port::Http && !self.prefork() { state.worker().await } else { None };
            let reply = route::answer(&exchange).await;
            self.write(&reply, exchange.selection.database.as_deref(), keep, head.method == "HEAD").await?;
            if !keep {
                return Ok(());
            }
        }
    }

    async fn refuse(&mut self, error: HeadError) -> Result<(), End> {
        count(&self.state.counters.malformed);
        let (status, text) = match error {
            HeadError::NotHttp => (400, "The stub received what is not one HTTP/1 request.\n"),
            HeadError::TooLarge => (431, "The stub received a head larger than 256 KiB.\n"),
        };
        self.write(&Reply::new(status, "text/plain", text), None, false, false).await?;
        Ok(())
    }

    async fn head(&mut self) -> Result<Result<Option<Head>, HeadError>, End> {
        loop {
            match Head::take(&mut self.buffer) {
                Ok(None) => {}
                taken => return Ok(taken),
            }
            let mut stopping = self.stopping.clone();
            let read = tokio::select! {
                biased;
                read = self.read_more() => read?,
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(Ok(None)),
            };
            if read == 0 {
                return Ok(Ok(None));
            }
        }
    }

    async fn body(&mut self, head: &Head, body: &mut Body) -> Result<Result<(), FramingError>, End> {
        if !body.complete && head.names_token("expect", "100-continue") {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        loop {
            if let Err(error) = body.take(&mut self.buffer) {
                return Ok(Err(error));
            }
            if body.complete {
                return Ok(Ok(()));
            }
            if self.read_more().await? == 0 {
                return Err(End::Closed);
            }
        }
    }

    async fn read_more(&mut self) -> Result<usize, End> {
        self.buffer.reserve(READ_BYTES);
        if !self.prefork() {
            return Ok(self.stream.read_buf(&mut self.buffer).await?);
        }
        let stall_max = self.state.options.stall_max;
        match tokio::time::timeout(stall_max, self.stream.read_buf(&mut self.buffer)).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(End::Stalled),
        }
    }

    /// Writes a whole answer.
    pub(crate) async fn write(
        &mut self,
        reply: &Reply,
        database: Option<&str>,
        keep: bool,
        head_only: bool,
    ) -> io::Result<()> {
        let modern = !self.prefork();
        let date = http_date();
        let server = &self.state.options.name;
        let mark = self.mark.as_deref();
        let wire = Wire { server, port: self.port, database, modern, keep, date: &date, mark };
        let mut out = BytesMut::with_capacity(1024);
        reply.encode(&wire, head_only, &mut out);
        self.stream.write_all(&out).await?;
        match &reply.payload {
            Payload::Filler(bytes) if !head_only => self.write_filler(*bytes).await?,
            Payload::Drip { parts, every } if !head_only => self.write_drip(*parts, *every, modern).await?,
            Payload::Whole(_) | Payload::Filler(_) | Payload::Drip { .. } => {}
        }
        if !keep && reply.status != 101 {
            self.stream.shutdown().await?;
        }
        Ok(())
    }

    async fn write_filler(&mut self, bytes: u64) -> io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(FILLER.len());
            self.stream.write_all(FILLER.get(..part).unwrap_or_default()).await?;
            left -= u64::try_from(part).unwrap_or(left);
        }
        Ok(())
    }

    async fn write_drip(&mut self, parts: u64, every: std::time::Duration, chunked: bool) -> io::Result<()> {
        for part in 1..=parts {
            tokio::time::sleep(every).await;
            let line = format!("part {part}\n");
            let bytes = if chunked { format!("{:x}\r\n{line}\r\n", line.len()) } else { line };
            self.stream.write_all(bytes.as_bytes()).await?;
        }
        self.stream.write_all(if chunked { b"0\r\n\r\n" } else { b"" }).await
    }

    /// What was read beyond the last request. The buffer is given up: thousands of idle websockets need none.
    pub(crate) fn unread(&mut self) -> Bytes {
        std::mem::take(&mut self.buffer).freeze()
    }
}

/// Now, as HTTP writes dates.
pub(crate) fn http_date() -> String {
    http_date_at(Timestamp::now())
}

/// A moment, as HTTP writes dates. RFC 9110, section 5.6.7.
pub(crate) fn http_date_at(moment: Timestamp) -> String {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).unwrap_or_default()
}
