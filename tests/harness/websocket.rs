//! A websocket client.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::tungstenite::{Error, handshake::client::Request as Handshake};

use crate::connection::{connect, in_time};
use crate::request::Answer;

/// An open websocket. Pings are answered while something is read.
#[derive(Debug)]
pub struct Websocket {
    stream: WebSocketStream<TcpStream>,
    /// What the server answered the handshake with.
    pub handshake: Answer,
}

/// Opens a websocket as a browser does, with an `Origin` of the host unless `headers` has one. Panics if refused.
pub async fn ws_connect(address: SocketAddr, host: &str, path: &str, headers: &[(&str, &str)]) -> Websocket {
    match Websocket::try_open(address, host, path, headers).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(answer)) => panic!("the websocket was refused with {}: {}", answer.status, answer.text()),
        Err(error) => panic!("no websocket: {error}"),
    }
}

impl Websocket {
    /// Opens a websocket, or returns the answer that refused it.
    ///
    /// # Errors
    /// When there is no connection, it breaks off, or the answer is no HTTP.
    pub async fn try_open(
        address: SocketAddr,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Result<Self, Answer>> {
        let request = handshake(host, path, headers).map_err(io::Error::other)?;
        let stream = connect(address).await?;
        let opened = async { Ok(tokio_tungstenite::client_async(request, stream).await) };
        match in_time("the answer to a handshake", opened).await? {
            Ok((stream, response)) => Ok(Ok(Self { stream, handshake: answer(response) })),
            Err(Error::Http(response)) => Ok(Err(answer(*response))),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// When the websocket is closed.
    pub async fn send(&mut self, text: &str) -> io::Result<()> {
        self.send_message(Message::text(text)).await
    }

    /// Sends any message.
    ///
    /// # Errors
    /// When the websocket is closed.
    pub async fn send_message(&mut self, message: Message) -> io::Result<()> {
        self.stream.send(message).await.map_err(io::Error::other)
    }

    /// The next message; `None` when the connection ended after a close frame.
    ///
    /// # Errors
    /// When the connection broke off without a close frame, or nothing comes in time.
    pub async fn next(&mut self) -> io::Result<Option<Message>> {
        let next = async { self.stream.next().await.transpose().map_err(io::Error::other) };
        in_time("a websocket message", next).await
    }

    /// The next text message as JSON, past pings and pongs. Panics when something else comes.
    pub async fn json(&mut self) -> Value {
        loop {
            match self.next().await {
                Ok(Some(Message::Text(text))) => {
                    return serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"));
                }
                Ok(Some(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a text message, got {other:?}"),
            }
        }
    }

    /// Reads until the close frame and to the end of the connection: its code (1005 if it had none) and reason, or
    /// `None` when the connection ended without a close frame.
    pub async fn closed(&mut self) -> Option<(u16, String)> {
        let mut close = None;
        loop {
            match self.next().await {
                Ok(Some(Message::Close(Some(frame)))) => {
                    close = Some((frame.code.into(), frame.reason.to_string()))
                }
                Ok(Some(Message::Close(None))) => close = Some((1005, String::new())),
                Ok(Some(_)) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => panic!("{error}"),
                Ok(None) | Err(_) => return close,
            }
        }
    }

    /// Starts the closing handshake.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn close(&mut self, code: u16, reason: &str) -> io::Result<()> {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.stream.close(Some(frame)).await.map_err(io::Error::other)
    }
}

fn handshake(host: &str, path: &str, headers: &[(&str, &str)]) -> Result<Handshake, Error> {
    let mut request = format!("ws://{host}{path}").into_client_request()?;
    let origin = HeaderValue::from_str(&format!("http://{host}")).map_err(http::Error::from)?;
    request.headers_mut().insert("Origin", origin);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(http::Error::from)?;
        request.headers_mut().insert(name, HeaderValue::from_str(value).map_err(http::Error::from)?);
    }
    Ok(request)
}

fn answer(response: http::Response<Option<Vec<u8>>>) -> Answer {
    let (head, body) = response.into_parts();
    let body = Bytes::from(body.unwrap_or_default());
    Answer { status: head.status.as_u16(), version: head.version, headers: head.headers, body }
}
