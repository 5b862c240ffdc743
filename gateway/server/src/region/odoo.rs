//! Asking one port of Odoo whether it is well.

use super::http::get_within;
use crate::snapshot::BackendTlsClient;
use fleetgate_core::health::Reading;
use fleetgate_core::odoo::OdooVersion;
use fleetgate_core::odoo::health::{Answered, gevent_path, http_path, read};
use fleetgate_core::traffic::BackendPort;
use std::net::SocketAddr;
use std::time::Duration;

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
    match get_within(address, path, tls, patience).await {
        Ok((status, body)) => match read(version, status, &body) {
            Answered::Well => (Reading::Pass, format!("{path} says {status}")),
            Answered::Ill => (Reading::Fail, format!("{path} says {status}")),
            Answered::NotOdoo => {
                (Reading::Fail, format!("{path} says {status} with a body that is not Odoo's"))
            }
        },
        Err(words) => (Reading::Fail, words),
    }
}
