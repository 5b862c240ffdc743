//! Takes the header of the PROXY protocol off a connection.

use crate::connection::Socket;
use fleetgate_core::proxy_protocol::{BYTES_MAX, Header, parse};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};

/// For the header.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before a header that arrives in pieces is looked at again.
const PAUSE: Duration = Duration::from_millis(5);

/// Takes the header off a connection. Returns the client that it names; `None` when it speaks for nobody.
///
/// # Errors
/// There is no header, it is malformed or too long, or it does not come in time.
pub(super) async fn client_of(stream: &mut Socket) -> io::Result<Option<SocketAddr>> {
    let read = timeout(TIMEOUT, read(stream)).await;
    read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn read(stream: &mut Socket) -> io::Result<Option<SocketAddr>> {
    let mut start = vec![0; BYTES_MAX];
    let mut seen_before = 0;
    loop {
        let seen = stream.peek(&mut start).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match parse(start.get(..seen).unwrap_or_default()) {
            Header::Incomplete => {
                if seen == seen_before {
                    sleep(PAUSE).await;
                }
                seen_before = seen;
            }
            Header::Whole { client, bytes } => {
                let header = start.get_mut(..bytes).unwrap_or_default();
                stream.read_exact(header).await?;
                return Ok(client);
            }
            Header::Malformed => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "no header of the PROXY protocol"));
            }
        }
    }
}
