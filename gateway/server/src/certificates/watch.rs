//! Noticing that certificates changed.

use super::store::CertificateStore;
use notify::{EventKind, RecursiveMode, Watcher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// Quiet time after an event: a certificate and its key are two files.
const SETTLE: Duration = Duration::from_millis(250);
/// Time between looks that no event asked for: network file systems tell of none, and ends come near.
const POLL: Duration = Duration::from_secs(60);

impl CertificateStore {
    /// Looks at the folder again whenever it changes, and now and then.
    pub async fn follow(self: Arc<Self>) {
        let (changed, mut changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let only_read = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !only_read {
                // A full channel holds a wake-up already.
                let _full = changed.try_send(());
            }
        });
        let watching = watcher.and_then(|mut watcher| {
            watcher.watch(self.folder(), RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        if let Err(error) = &watching {
            tracing::warn!(%error, folder = %self.folder().display(), "cannot watch certificates; they are looked at every minute");
        }
        loop {
            // Without a watcher the channel is closed, and only the clock wakes.
            match timeout(POLL, changes.recv()).await {
                Ok(None) => sleep(POLL).await,
                Ok(Some(())) => sleep(SETTLE).await,
                Err(_) => {}
            }
            while changes.try_recv().is_ok() {}
            let store = Arc::clone(&self);
            if spawn_blocking(move || store.reload()).await.is_err() {
                tracing::error!("looking at certificates panicked; the old ones serve on");
            }
        }
    }
}
