//! Somebody of another tenant who loads pages.

use crate::Failure;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Pages, and how long they may take together.
const PAGES: usize = 5;
const PAGES_MAX: Duration = Duration::from_secs(10);
/// For a front end to read its routes, and a worker its registry.
const READY: Duration = Duration::from_secs(60);

/// Waits for a page.
pub(super) async fn wait(front: SocketAddr) -> Result<(), Failure> {
    let ready = Instant::now() + READY;
    loop {
        match timeout(READY, page(front)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) if Instant::now() > ready => return Err(failure),
            Ok(Err(_)) => sleep(Duration::from_millis(200)).await,
            Err(_) => return Err(format!("no page within {READY:?}").into()),
        }
    }
}

/// How long pages take, one after the other.
pub(super) async fn pages(front: SocketAddr) -> String {
    let began = Instant::now();
    let mut told = Vec::new();
    for _ in 0..PAGES {
        let started = Instant::now();
        match timeout(PAGES_MAX.saturating_sub(began.elapsed()), page(front)).await {
            Ok(Ok(())) => told.push(format!("{} ms", started.elapsed().as_millis())),
            Ok(Err(failure)) => told.push(format!("{failure} after {} ms", started.elapsed().as_millis())),
            Err(_) => {
                told.push(format!("none after {} ms", started.elapsed().as_millis()));
                break;
            }
        }
    }
    told.join(", ")
}

/// Loads a page of globex.
async fn page(front: SocketAddr) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(front).await?;
    let head = "GET /web/login HTTP/1.1\r\nHost: globex.example.com\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
    Err(format!("{:?}", String::from_utf8_lossy(line)).into())
}
