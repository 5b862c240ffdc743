//! What each fault does to a connection.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::backend::{Fault, Seen};
use crate::odoo::body::Body;
use crate::odoo::head::Head;

const HUGE_HEADER_LINES: usize = 256;
const HUGE_BODY_BYTES: usize = 10 * 1024 * 1024;
const HUGE_HEADER_BYTES: usize = 8 * 1024;

pub(super) async fn serve(mut stream: TcpStream, fault: Fault, seen: &Seen) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if fault == Fault::ResetOnAccept {
        return stream.set_zero_linger();
    }
    let mut buffer = BytesMut::new();
    let whole = !matches!(fault, Fault::AnswersBeforeBody);
    if !read_request(&mut stream, &mut buffer, whole, seen).await? {
        return Ok(());
    }
    match fault {
        Fault::ResetOnAccept | Fault::ResetAfterRequest => stream.set_zero_linger(),
        Fault::BlackHole => hold(&mut stream).await,
        Fault::SlowHeaders { interval } => endless_head(&mut stream, interval).await,
        Fault::Garbage => finish(&mut stream, b"\x00\xff\xfe this is not HTTP\r\n\r\n").await,
        Fault::ContentLengthLies => {
            finish(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789").await
        }
        Fault::BrokenChunks => {
            let answer =
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZZ\r\nworld\r\n";
            finish(&mut stream, answer).await
        }
        Fault::HugeHeaders => finish(&mut stream, huge_answer().as_bytes()).await,
        Fault::Lies => finish(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nwelcome!").await,
        Fault::HugeBody => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {HUGE_BODY_BYTES}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            finish(&mut stream, &vec![b' '; HUGE_BODY_BYTES]).await
        }
        Fault::Redirects => {
            let answer = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
            finish(&mut stream, answer).await
        }
        Fault::HangMidBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789").await?;
            hold(&mut stream).await
        }
        Fault::AnswersBeforeBody => {
            let answer = b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge";
            finish(&mut stream, answer).await
        }
        Fault::SwitchesProtocolsUnasked => switch_protocols(&mut stream, seen).await,
        Fault::TwoResponses => answer_twice(&mut stream, &mut buffer, seen).await,
        Fault::StaleKeepAlive => go_stale(&mut stream, seen).await,
    }
}

/// Reads a request from the connection; false when the client closed before its end.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    whole: bool,
    seen: &Seen,
) -> io::Result<bool> {
    let not_http = || io::Error::from(io::ErrorKind::InvalidData);
    let head = loop {
        if let Some(head) = Head::take(buffer).map_err(|_| not_http())? {
            break head;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(false);
        }
    };
    seen.request(format!("{} {} HTTP/1.{}", head.method, head.target, head.minor));
    let mut body = Body::announced(&head).map_err(|_| not_http())?;
    loop {
        body.take(buffer).map_err(|_| not_http())?;
        if body.complete || !whole {
            return Ok(true);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(false);
        }
    }
}

/// Says nothing until the client closes.
async fn hold(stream: &mut TcpStream) -> io::Result<()> {
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

async fn finish(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await
}

async fn endless_head(stream: &mut TcpStream, interval: Duration) -> io::Result<()> {
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a')) {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(interval).await;
    }
    Ok(())
}

fn huge_answer() -> String {
    let value = "h".repeat(HUGE_HEADER_BYTES);
    let lines: String = (0..HUGE_HEADER_LINES).map(|line| format!("X-Huge-{line}: {value}\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok")
}

async fn switch_protocols(stream: &mut TcpStream, seen: &Seen) -> io::Result<()> {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nraw bytes";
    stream.write_all(answer).await?;
    let mut beyond = [0; 4096];
    loop {
        match stream.read(&mut beyond).await? {
            0 => return Ok(()),
            bytes => seen.beyond(bytes),
        }
    }
}

async fn answer_twice(stream: &mut TcpStream, buffer: &mut BytesMut, seen: &Seen) -> io::Result<()> {
    let twice = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst\
        HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
    loop {
        stream.write_all(twice).await?;
        if !read_request(stream, buffer, true, seen).await? {
            return Ok(());
        }
    }
}

async fn go_stale(stream: &mut TcpStream, seen: &Seen) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh").await?;
    let mut second = [0; 64 * 1024];
    seen.beyond(stream.read(&mut second).await?);
    stream.shutdown().await
}
