//! Twenty clients that are slow, or are not.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::interval;

/// Clients at once.
const CLIENTS: usize = 20;
/// Bytes of an upload, after its first ones: more than are sent while anybody looks.
const UPLOAD_BYTES: usize = 1_000;
/// What a slow client takes at once, ten times a second.
const SIP: usize = 10_000;
/// What a fast one takes at once.
const GULP: usize = 128 * 1024;
/// A phone's.
const RECEIVE_BUFFER: u32 = 64 * 1024;

/// What clients do.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Each uploads a kilobyte, a byte a second.
    Upload,
    /// Each downloads a file.
    Download { path: String },
}

/// How fast clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// As fast as the server.
    Fast,
    /// A byte a second up, 100 KB/s down. Uploads are slow at any pace.
    Slow,
}

/// Clients at work. Dropping them closes their connections.
#[derive(Debug)]
pub(super) struct Clients(JoinSet<io::Result<()>>);

/// Starts them.
pub(super) fn begin(front: SocketAddr, work: &Work, pace: Pace) -> Clients {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(front, work.clone(), pace));
    }
    Clients(clients)
}

impl Clients {
    /// How many the server has not ended.
    pub(super) fn left(&mut self) -> usize {
        while self.0.try_join_next().is_some() {}
        self.0.len()
    }
}

async fn client(front: SocketAddr, work: Work, pace: Pace) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    if pace == Pace::Slow {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    let stream = socket.connect(front).await?;
    stream.set_nodelay(true)?;
    match work {
        Work::Upload => upload(stream).await,
        Work::Download { path } => download(stream, &path, pace).await,
    }
}

async fn upload(mut stream: TcpStream) -> io::Result<()> {
    let begin = r#"{"params":{},"pad":""#;
    let length = begin.len() + UPLOAD_BYTES;
    let head = format!(
        "POST /web/webclient/version_info HTTP/1.1\r\nHost: acme.example.com\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{begin}"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut seconds = interval(Duration::from_secs(1));
    for _ in 0..UPLOAD_BYTES {
        seconds.tick().await;
        stream.write_all(b"a").await?;
        if stream.try_read(&mut [0; SIP]).is_ok() {
            break;
        }
    }
    Ok(())
}

async fn download(mut stream: TcpStream, path: &str, pace: Pace) -> io::Result<()> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: acme.example.com\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let (mut ticks, mut buffer) = (interval(Duration::from_millis(100)), vec![0; GULP]);
    loop {
        let most = match pace {
            Pace::Fast => GULP,
            Pace::Slow => {
                ticks.tick().await;
                SIP
            }
        };
        let room = buffer.get_mut(..most).unwrap_or_default();
        if stream.read(room).await? == 0 {
            return Ok(());
        }
    }
}
