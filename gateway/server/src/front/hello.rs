//! The first message of a TLS connection, read before it is decided who answers it.

use crate::connection::Socket;
use fleetgate_core::host::HostKey;
use rustls::server::{Accepted, Acceptor};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of the usual message.
const BYTES_USUAL: usize = 2 * 1024;
/// Most bytes of the message, in however many pieces and records it comes.
const BYTES_MAX: usize = 32 * 1024;

/// A client's first message.
pub(super) struct Hello {
    /// The message, understood.
    pub(super) accepted: Accepted,
    /// All bytes that have come so far.
    pub(super) bytes: Vec<u8>,
    /// The name that the client asks for.
    pub(super) server_name: Option<HostKey>,
}

/// Reads the message of a client.
///
/// # Errors
/// The client leaves, speaks no TLS, or sends too much. It has been told.
pub(super) async fn read(stream: &mut Socket) -> io::Result<Hello> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::with_capacity(BYTES_USUAL);
    loop {
        let before = bytes.len();
        if before >= BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the first message of TLS is too long"));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut new = bytes.get(before..).unwrap_or_default();
        while !new.is_empty() && acceptor.read_tls(&mut new)? > 0 {}
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let name = hello.server_name().and_then(|name| HostKey::parse(name.as_bytes()).ok());
                let server_name = name.map(|(name, _)| name);
                return Ok(Hello { accepted, bytes, server_name });
            }
            Err((error, mut alert)) => {
                let mut told = Vec::new();
                alert.write_all(&mut told)?;
                stream.write_all(&told).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}
