//! Who reads and writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fleetgate_tests::Request;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::sites::Fleet;

/// Who writes and who reads at each gateway.
const CLIENTS: usize = 4;
/// Between two requests of one of them.
const PACE: Duration = Duration::from_millis(25);

/// What a client knows of one of its requests.
pub(super) struct Sent {
    pub(super) gateway: usize,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    /// Who answered it with 200.
    pub(super) by: Option<String>,
    pub(super) writes: bool,
}

pub(super) type Ledger = BTreeMap<String, Sent>;

/// Reads and writes, each once, until told to stop.
pub(super) fn clients(fleet: &Fleet, stop: &Arc<AtomicBool>) -> JoinSet<Ledger> {
    let mut clients = JoinSet::new();
    for (gateway, node) in fleet.gateways.iter().enumerate() {
        for client in 0..2 * CLIENTS {
            let (address, stop, writes) = (node.address(), Arc::clone(stop), client % 2 == 0);
            clients.spawn(async move {
                let (mut ledger, mut paced) = (Ledger::new(), interval(PACE));
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    paced.tick().await;
                    let target = format!("/stub/echo?{gateway}-{client}-{number}");
                    let request = match writes {
                        true => Request::post("acme.test", &target, "x"),
                        false => Request::get("globex.test", &target),
                    };
                    let begun = Instant::now();
                    let answer = request.try_send(address).await.ok().filter(|answer| answer.status == 200);
                    let by = answer.and_then(|answer| answer.server().map(str::to_owned));
                    ledger.insert(target, Sent { gateway, begun, ended: Instant::now(), by, writes });
                }
                ledger
            });
        }
    }
    clients
}
