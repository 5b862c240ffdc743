//! Asking one port of Odoo whether it is well.

use super::http::get;
use crate::snapshot::BackendTlsClient;
use fleetgate_core::health::Reading;
use fleetgate_core::odoo::OdooVersion;
use fleetgate_core::odoo::health::{gevent_path, http_path, is_well};
use fleetgate_core::traffic::BackendPort;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// What a probe saw, in words for an operator.
pub(super) type Seen = (Reading, String);

/// Asks once.
pub(super) async fn ask(
    address: SocketAddr,
    port: BackendPort,
    version: OdooVersion,
    tls: Option<&BackendTlsClient>,
    patience: Duration,
) -> Seen {
    let path = match port {
        BackendPort::Http => http_path(),
        BackendPort::Gevent => gevent_path(version),
    };
    match timeout(patience, get(address, path, tls)).await {
        Ok(Ok((status, _))) => {
            let reading = if is_well(version, status) { Reading::Pass } else { Reading::Fail };
            (reading, format!("{path} says {status}"))
        }
        Ok(Err(words)) => (Reading::Fail, words),
        Err(_) => (Reading::Fail, format!("no answer within {patience:?}")),
    }
}
