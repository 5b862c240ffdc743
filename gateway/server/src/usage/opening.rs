//! The store of usage, opened when the first quota asks for it.

use super::claim::Claims;
use super::delivery::Delivery;
use super::files::UsageError;
use super::store::UsageStore;
use crate::state_directory::StateDirectory;
use fleetgate_core::config::Webhook;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Folder of usage in that of what outlasts the process.
const FOLDER: &str = "usage";
/// What a loss of power takes, at most.
const KEPT_EVERY: Duration = Duration::from_secs(1);

/// Usage of tenants with quotas.
#[derive(Debug)]
pub struct Usage {
    state: StateDirectory,
    store: OnceLock<Arc<UsageStore>>,
}

impl Usage {
    /// Nothing is read or made yet.
    #[must_use]
    pub const fn new(state: StateDirectory) -> Self {
        Self { state, store: OnceLock::new() }
    }

    /// The store. When its folder cannot be used, it counts in memory and says so.
    pub fn store(&self) -> &Arc<UsageStore> {
        self.store.get_or_init(|| {
            Arc::new(match self.state.subfolder(FOLDER) {
                Ok(folder) => UsageStore::open(&folder)
                    .unwrap_or_else(|refusal| UsageStore::in_memory(&folder, refusal)),
                Err(error) => UsageStore::in_memory(Path::new(FOLDER), UsageError::Folder(error)),
            })
        })
    }

    /// The store, if a quota has asked for it.
    #[must_use]
    pub fn opened(&self) -> Option<&Arc<UsageStore>> {
        self.store.get()
    }

    /// Leaves the keeping to the process that serves from now on.
    pub fn resign(&self) {
        if let Some(store) = self.opened() {
            store.resign();
        }
    }

    /// Keeps the folder until the task is aborted.
    pub async fn keep(self: Arc<Self>) {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            let Some(store) = self.opened().map(Arc::clone) else { continue };
            if tokio::task::spawn_blocking(move || store.maintain()).await.is_err() {
                tracing::error!("the keeping of usage failed for a second");
            }
        }
    }

    /// Tells about thresholds until the task is aborted. Who is to be told may change. `claims` is where several nodes agree
    /// on who does it.
    pub async fn tell(
        self: Arc<Self>,
        webhook: impl Fn() -> Option<Webhook> + Send,
        claims: Option<Arc<dyn Claims>>,
    ) {
        let mut ticks = ticks();
        let mut delivery = Delivery::default();
        loop {
            ticks.tick().await;
            let Some(store) = self.opened() else { continue };
            let webhook = webhook();
            store.tell(webhook.is_some());
            if let Some(webhook) = webhook {
                delivery.run(store, &webhook, claims.as_deref()).await;
            }
        }
    }
}

fn ticks() -> Interval {
    let mut ticks = interval(KEPT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
