//! Whether this gateway is itself cut off: addresses outside of all sites that it reaches, or does not.

use super::share::FRESH;
use crate::snapshot::SnapshotStore;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// From one round to the next.
const EVERY: Duration = Duration::from_secs(1);
/// For a connection: one lost packet is not taken for an end of the world.
const TIMEOUT: Duration = Duration::from_millis(1_500);

/// The anchors of the config.
#[derive(Debug, Default)]
pub(super) struct Anchors(Mutex<Standing>);

#[derive(Debug, Clone, Copy, Default)]
enum Standing {
    /// None are configured.
    #[default]
    None,
    /// When one was last reached; `None`: never.
    Reached(Option<Instant>),
}

impl Anchors {
    /// Reaches for the anchors that snapshots name, until nobody asks for the outcome any more.
    pub(super) fn start(store: &Arc<SnapshotStore>) -> Arc<Self> {
        let anchors = Arc::new(Self::default());
        let (weak, store) = (Arc::downgrade(&anchors), Arc::clone(store));
        tokio::spawn(async move {
            let mut lost = false;
            while let Some(anchors) = weak.upgrade() {
                let addresses = store.load().fleet.anchors.clone();
                let reached = !addresses.is_empty() && any(addresses.clone()).await;
                anchors.note(!addresses.is_empty(), reached, &mut lost);
                drop(anchors);
                sleep(EVERY).await;
            }
        });
        anchors
    }

    /// Whether one of them was reached lately; `None` where there are none.
    pub(super) fn reached(&self) -> Option<bool> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Standing::None => None,
            Standing::Reached(at) => Some(at.is_some_and(|at| at.elapsed() <= FRESH)),
        }
    }

    /// Takes the outcome of a round. `lost`: whether it was told that none is reached.
    fn note(&self, configured: bool, reached: bool, lost: &mut bool) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = if let Standing::Reached(at) = *standing { at } else { None };
        *standing = match (configured, reached) {
            (false, _) => Standing::None,
            (true, true) => Standing::Reached(Some(Instant::now())),
            (true, false) => Standing::Reached(last),
        };
        drop(standing);
        let is_lost = self.reached() == Some(false);
        match (*lost, is_lost) {
            (false, true) => tracing::error!(
                "none of `anchors` takes a connection: this gateway is cut off, and what it does not reach says nothing about who is down"
            ),
            (true, false) => tracing::warn!("one of `anchors` takes connections again"),
            _ => {}
        }
        *lost = is_lost;
    }
}

/// Whether any of the addresses takes a connection.
async fn any(addresses: Vec<SocketAddr>) -> bool {
    let mut tries = JoinSet::new();
    for address in addresses {
        tries.spawn(async move { timeout(TIMEOUT, TcpStream::connect(address)).await });
    }
    while let Some(tried) = tries.join_next().await {
        if matches!(tried, Ok(Ok(Ok(_)))) {
            return true;
        }
    }
    false
}
