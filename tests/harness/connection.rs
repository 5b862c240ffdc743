//! A client's connection: several requests one after the other, or at once over HTTP/2.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::request::{Answer, Request};
use crate::wait::DEADLINE;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A connection that is kept open between requests.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

impl Connection {
    /// Connects for HTTP/1.1 with keepalive.
    ///
    /// # Errors
    /// When the connection is refused or does not come in time.
    pub async fn http1(address: SocketAddr) -> io::Result<Self> {
        Self::over(connect(address).await?).await
    }

    /// Connects for HTTP/2 without TLS (prior knowledge).
    ///
    /// # Errors
    /// When the connection is refused, does not come in time, or does not speak HTTP/2.
    pub async fn http2(address: SocketAddr) -> io::Result<Self> {
        Self::http2_over(connect(address).await?).await
    }

    /// Speaks HTTP/2 over any stream, such as one through TLS.
    ///
    /// # Errors
    /// When the stream is closed, or its other end does not speak HTTP/2.
    pub async fn http2_over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> io::Result<Self> {
        let stream = TokioIo::new(stream);
        let (sender, driver) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(io::Error::other)?;
        // How the connection ends is seen by the request that was on it.
        tokio::spawn(async move { driver.await.is_ok() });
        Ok(Self { sender: Sender::Two(sender) })
    }

    /// Speaks HTTP/1.1 over any stream, such as a unix socket.
    ///
    /// # Errors
    /// When the stream is already closed.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> io::Result<Self> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move { driver.await.is_ok() });
        Ok(Self { sender: Sender::One(sender) })
    }

    /// Another handle of the same connection; `None` over HTTP/1, where requests cannot overlap.
    pub fn another(&self) -> Option<Self> {
        match &self.sender {
            Sender::One(_) => None,
            Sender::Two(sender) => Some(Self { sender: Sender::Two(sender.clone()) }),
        }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When the connection is closed or breaks off, or the answer is not whole in time.
    pub async fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        let answer = async {
            let response = match &mut self.sender {
                Sender::One(sender) => {
                    sender.ready().await.map_err(io::Error::other)?;
                    sender.send_request(request.message(false)).await
                }
                Sender::Two(sender) => {
                    sender.ready().await.map_err(io::Error::other)?;
                    sender.send_request(request.message(true)).await
                }
            };
            let (head, body) = response.map_err(io::Error::other)?.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), version: head.version, headers: head.headers, body })
        };
        in_time("a whole answer", answer).await
    }

    /// True once the server closed the connection.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_closed(),
            Sender::Two(sender) => sender.is_closed(),
        }
    }
}

/// Connects within the deadline.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = in_time("a connection", TcpStream::connect(address)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The result of what should end soon, or a timeout that says what did not.
pub(crate) async fn in_time<T>(what: &str, done: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(DEADLINE, done).await {
        Ok(result) => result,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} did not come within {DEADLINE:?}")))
        }
    }
}
