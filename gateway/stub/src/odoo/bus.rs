//! The bus: websocket on the gevent port, and what Odoo answers where it cannot be opened.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::connection::Connection;
use super::page;
use super::received::{Held, Port, count};
use super::reply::Reply;
use super::route::Exchange;
use super::server::{ENDS_MAX, State};

/// Odoo closes with 1009 beyond this. Source: Odoo 19.0 `addons/bus/websocket.py`, `MESSAGE_MAX_SIZE`.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// What Odoo says on the wrong port. Source: Odoo 19.0 `addons/bus/websocket.py`.
const WRONG_PORT: &str = "Couldn't bind the websocket. Is the connection opened on the evented port (8072)?";

/// What the owner of the server tells its websockets.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Notify { database: Arc<str>, text: Arc<str> },
    Close { code: u16, reason: Arc<str> },
}

/// How a websocket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebsocketEnd {
    /// The database it was opened on.
    pub database: String,
    /// The close code the client sent, or `None` if TCP ended without a close frame.
    pub received: Option<u16>,
    /// The reason the client sent with its code.
    pub reason: String,
    /// The close code this server sent first, or `None` if the client began.
    pub sent: Option<u16>,
}

/// Answers a websocket handshake, and serves the socket until it ends.
pub(crate) async fn upgrade(connection: &mut Connection, exchange: &Exchange<'_>) -> io::Result<()> {
    let database = exchange.selection.database.clone();
    let key = match accept_key(connection, exchange) {
        Ok(key) => key,
        Err(refusal) => return connection.write(&refusal, database.as_deref(), false, false).await,
    };
    let database = database.unwrap_or_default();
    // The handshake always saves a session. Source: Odoo 19.0 `addons/bus/websocket.py`, `_get_handshake_response`.
    let session = match (&exchange.selection.session, exchange.selection.stateless) {
        (Some(session), _) => Some(session.clone()),
        (None, false) => Some(exchange.state.options.sessions.open(&database, None)),
        (None, true) => None,
    };
    let mut reply = Reply::new(101, "text/html; charset=utf-8", Bytes::new())
        .with("Upgrade", "websocket")
        .with("Connection", "Upgrade")
        .with("Sec-WebSocket-Accept", key);
    if let Some(session) = &session {
        reply = reply.with("Set-Cookie", page::session_cookie(&session.id));
    }
    connection.write(&reply, Some(&database), true, false).await?;
    let hello = json!({
        "type": "hello",
        "database": database,
        "server": exchange.state.options.name,
        "port": exchange.port.name(),
        "version": exchange.head.query("version"),
        "login": session.and_then(|session| session.login),
    });
    Socket::open(connection, database).await.serve(hello).await;
    Ok(())
}

/// The value of `Sec-WebSocket-Accept`, or what Odoo refuses the handshake with.
fn accept_key(connection: &Connection, exchange: &Exchange<'_>) -> Result<String, Reply> {
    if connection.port == Port::Http && !exchange.state.options.keep_alive {
        return Err(Reply::html(500, page::plain("500 Internal Server Error", WRONG_PORT)));
    }
    if exchange.selection.database.is_none() {
        return Err(page::no_database(exchange));
    }
    for name in ["connection", "host", "sec-websocket-key", "sec-websocket-version", "upgrade", "origin"] {
        if exchange.head.joined(name).is_none() {
            let text = format!("Empty or missing header(s): {name}");
            return Err(Reply::html(400, page::plain("400 Bad Request", &text)));
        }
    }
    if exchange.head.joined("sec-websocket-version").as_deref() != Some("13") {
        return Err(Reply::html(
            426,
            page::plain("426 Upgrade Required", "Sec-WebSocket-Version must be 13"),
        )
        .with("Sec-WebSocket-Version", "13"));
    }
    let key = exchange.head.joined("sec-websocket-key").unwrap_or(Cow::Borrowed(""));
    Ok(derive_accept_key(key.as_bytes()))
}

struct Socket<'a> {
    socket: WebSocketStream<&'a mut TcpStream>,
    state: Arc<State>,
    orders: broadcast::Receiver<Order>,
    end: WebsocketEnd,
}

impl<'a> Socket<'a> {
    async fn open(connection: &'a mut Connection, database: String) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0);
        let state = Arc::clone(&connection.state);
        // Subscribed before the hello is sent, so that a client that was greeted misses no notification.
        let orders = state.orders.subscribe();
        let early = Vec::from(connection.unread());
        let stream = &mut connection.stream;
        let socket = WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
        count(&state.counters.websockets);
        let end = WebsocketEnd { database, received: None, reason: String::new(), sent: None };
        Self { socket, state, orders, end }
    }

    async fn serve(mut self, hello: Value) {
        let state = Arc::clone(&self.state);
        let _open = Held::take(&state.counters.websockets_open);
        if let Err(error) = self.talk(hello).await {
            tracing::debug!(%error, database = %self.end.database, "a websocket ended without a close");
        }
        let mut ends = state.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.len() >= ENDS_MAX {
            ends.remove(0);
        }
        ends.push(self.end);
    }

    async fn talk(&mut self, hello: Value) -> Result<(), Error> {
        self.socket.send(Message::text(hello.to_string())).await?;
        loop {
            let event = tokio::select! {
                message = self.socket.next() => Err(message),
                order = self.orders.recv() => Ok(order),
            };
            match event {
                Ok(Ok(order)) => self.obey(order).await?,
                Ok(Err(_)) => {}
                Err(None) => return Ok(()),
                Err(Some(message)) => {
                    if !self.react(message).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), Error> {
        match order {
            Order::Close { code, reason } => self.close(code, &reason).await,
            Order::Notify { database, text }
                if *database == *self.end.database && self.end.sent.is_none() =>
            {
                let notification =
                    json!({"type": "notification", "database": self.end.database, "text": &*text});
                self.socket.send(Message::text(notification.to_string())).await
            }
            Order::Notify { .. } => Ok(()),
        }
    }

    async fn close(&mut self, code: u16, reason: &str) -> Result<(), Error> {
        if self.end.sent.is_none() && self.end.received.is_none() {
            self.end.sent = Some(code);
            self.socket
                .close(Some(CloseFrame { code: CloseCode::from(code), reason: reason.into() }))
                .await?;
        }
        Ok(())
    }

    /// Answers one message; false when the connection must be cut.
    async fn react(&mut self, message: Result<Message, Error>) -> Result<bool, Error> {
        match message {
            Err(Error::Capacity(_)) => self.close(1009, "message too large").await?,
            Err(error) => return Err(error),
            Ok(Message::Close(frame)) => {
                // A close frame without a code means 1005 to whoever asks. RFC 6455, section 7.1.5.
                self.end.received = Some(frame.as_ref().map_or(1005, |frame| frame.code.into()));
                self.end.reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
            }
            Ok(_) if self.end.sent.is_some() => {}
            Ok(Message::Text(text)) => return self.command_or_echo(text.as_str()).await,
            Ok(Message::Binary(bytes)) => {
                let echo = [self.end.database.as_bytes(), b":", &bytes].concat();
                self.socket.send(Message::binary(echo)).await?;
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
        }
        Ok(true)
    }

    async fn command_or_echo(&mut self, text: &str) -> Result<bool, Error> {
        let command: Value = serde_json::from_str(text).unwrap_or_default();
        match command.get("stub").and_then(Value::as_str) {
            Some("close") => {
                let code = command.get("code").and_then(Value::as_u64).unwrap_or(1000);
                let reason = command.get("reason").and_then(Value::as_str).unwrap_or_default();
                self.close(u16::try_from(code).unwrap_or(1000), reason).await?;
            }
            Some("ping") => self.socket.send(Message::Ping(Bytes::from_static(b"odoo"))).await?,
            Some("send") => {
                let bytes = command.get("bytes").and_then(Value::as_u64).unwrap_or_default();
                let length = usize::try_from(bytes).unwrap_or_default().min(MESSAGE_BYTES_MAX);
                self.socket.send(Message::binary(vec![b'x'; length])).await?;
            }
            Some("cut") => return Ok(false),
            _ => {
                let echo = json!({"type": "echo", "database": self.end.database, "text": text});
                self.socket.send(Message::text(echo.to_string())).await?;
            }
        }
        Ok(true)
    }
}
