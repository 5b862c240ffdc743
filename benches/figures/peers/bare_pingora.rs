//! Pingora with nothing of ours on top.

use super::Peer;
use crate::Failure;
use crate::build::program;
use crate::machine::measured;
use crate::process::free_address;
use fleetgate_stub::StubOdoo;

/// Starts it before a backend.
pub(crate) async fn start(backend: &StubOdoo) -> Result<Peer, Failure> {
    let address = free_address()?;
    let mut command = measured(&program("bare-pingora")?);
    command.arg(address.to_string()).arg(backend.http_addr().to_string());
    Peer::start(command, address, tempfile::tempdir()?).await
}
