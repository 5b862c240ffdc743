//! Whose a connection is, as a balancer says in front of it. Source: HAProxy's `doc/proxy-protocol.txt`, 2020/03/05.

use ppp::{HeaderResult, PartialResult, v1, v2};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// For the header.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest header: version 2 with the extensions that balancers send.
const BYTES_MAX: usize = 4_096;
/// Pause before a header that arrives in pieces is looked at again.
const PAUSE: Duration = Duration::from_millis(5);

/// Takes the header off a connection. Returns the client that it names; the balancer itself when it speaks for nobody.
///
/// # Errors
/// There is no header, it is malformed or too long, or it does not come in time.
pub(super) async fn client_of(stream: &mut TcpStream, balancer: SocketAddr) -> io::Result<SocketAddr> {
    let read = timeout(TIMEOUT, read(stream, balancer)).await;
    read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn read(stream: &mut TcpStream, balancer: SocketAddr) -> io::Result<SocketAddr> {
    let mut start = vec![0; BYTES_MAX];
    let mut seen_before = 0;
    loop {
        let seen = stream.peek(&mut start).await?;
        let bytes = start.get(..seen).unwrap_or_default();
        let header = HeaderResult::parse(bytes);
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if header.is_incomplete() && seen < BYTES_MAX {
            if seen == seen_before {
                sleep(PAUSE).await;
            }
            seen_before = seen;
            continue;
        }
        let (client, length) = match header {
            HeaderResult::V1(Ok(header)) => (v1_client(&header.addresses), header.header.len()),
            HeaderResult::V2(Ok(header)) => (v2_client(&header), header.len()),
            HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "no header of the PROXY protocol"));
            }
        };
        let mut header = vec![0; length];
        stream.read_exact(&mut header).await?;
        return Ok(client.unwrap_or(balancer));
    }
}

fn v1_client(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(tcp) => Some((tcp.source_address, tcp.source_port).into()),
        v1::Addresses::Tcp6(tcp) => Some((tcp.source_address, tcp.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

/// A health check of the balancer speaks for nobody (`LOCAL`).
fn v2_client(header: &v2::Header<'_>) -> Option<SocketAddr> {
    match (header.command, &header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
        _ => None,
    }
}
