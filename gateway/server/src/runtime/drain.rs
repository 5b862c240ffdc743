//! The end of a process: nobody new, nobody cut off, and no longer than promised.

use crate::admin::PhaseCell;
use crate::proxy::Gateway;
use pingora::apps::ServerApp;
use pingora::proxy::HttpProxy;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// For which a connection without a request is kept, so that a request already on its way is answered, with
/// `Connection: close`.
const LINGER: Duration = Duration::from_secs(1);

/// What a drain needs.
pub(super) struct Drainer {
    /// Phase of the process.
    pub(super) phase: Arc<PhaseCell>,
    /// Begins the closing of websockets.
    pub(super) drain_begun: CancellationToken,
    /// Ends the accepting of connections.
    pub(super) stop_accepting: CancellationToken,
    /// Knows when the last listener stopped accepting.
    pub(super) listeners: TaskTracker,
    /// Ends connections that have not begun a request.
    pub(super) give_up_silent: CancellationToken,
    /// Makes answers carry `Connection: close`.
    pub(super) draining: watch::Sender<bool>,
    /// Knows when the last connection ended.
    pub(super) connections: TaskTracker,
    /// Ends connections that wait for a request.
    pub(super) proxy: Arc<HttpProxy<Gateway>>,
    /// Longest drain.
    pub(super) timeout: Duration,
}

impl Drainer {
    /// Drains; returns as soon as the last connection has ended, or after the timeout.
    pub(super) async fn drain(self) {
        self.phase.drain();
        self.draining.send_replace(true);
        self.stop_accepting.cancel();
        self.drain_begun.cancel();
        self.listeners.close();
        self.listeners.wait().await;
        self.connections.close();
        tracing::info!(connections = self.connections.len(), "draining");
        let emptied = timeout(self.timeout, async {
            if timeout(LINGER, self.connections.wait()).await.is_err() {
                self.give_up_silent.cancel();
                self.proxy.cleanup().await;
                self.connections.wait().await;
            }
        });
        match emptied.await {
            Ok(()) => tracing::info!("drained"),
            Err(_) => tracing::warn!(
                cut = self.connections.len(),
                "the drain timeout has passed; raise drain.timeout if these were not to be cut"
            ),
        }
    }
}
