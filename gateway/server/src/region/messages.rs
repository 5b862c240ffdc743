//! Verdicts that change, told to whoever asked for it.

use super::event::VerdictEvent;
use crate::snapshot::SnapshotStore;
use crate::webhook::{back_off, send};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;

/// Messages that wait; one more is in the log alone.
const WAITING_MAX: usize = 1_000;
/// For how long a message is tried.
const GIVEN_UP_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// The body of a message.
#[derive(Debug, Serialize)]
struct Message {
    id: String,
    /// When, RFC 3339.
    time: jiff::Timestamp,
    /// Machine of the gateway that says so.
    gateway: String,
    #[serde(flatten)]
    event: VerdictEvent,
}

/// Takes events to be told.
#[derive(Debug, Clone)]
pub(super) struct Messages(Sender<VerdictEvent>);

impl Messages {
    /// Tells, one after another, for as long as somebody may have something to tell.
    pub(super) fn start(store: Arc<SnapshotStore>) -> Self {
        let (sender, receiver) = channel(WAITING_MAX);
        tokio::spawn(deliver(receiver, store));
        Self(sender)
    }

    /// Takes an event. It never waits.
    pub(super) fn take(&self, event: VerdictEvent) {
        if self.0.try_send(event).is_err() {
            tracing::warn!(
                "too many messages about verdicts wait for their receiver; one is in the log alone"
            );
        }
    }
}

async fn deliver(mut events: Receiver<VerdictEvent>, store: Arc<SnapshotStore>) {
    let gateway = rustix::system::uname().nodename().to_string_lossy().into_owned();
    while let Some(event) = events.recv().await {
        let (id, time) = (uuid::Uuid::now_v7().simple().to_string(), jiff::Timestamp::now());
        tell(&store, &Message { id, time, gateway: gateway.clone(), event }).await;
    }
}

/// Tells until it has arrived, nobody wants to know any more, or it is a day old.
async fn tell(store: &SnapshotStore, message: &Message) {
    let mut failures = 0;
    loop {
        let Some(webhook) = store.load().fleet.verdict_webhook.clone() else { return };
        let Err(error) = send(&webhook, &message.id, message).await else { return };
        if jiff::Timestamp::now().duration_since(message.time) > GIVEN_UP_AFTER {
            tracing::error!("nobody took a message about a verdict for a day; it is given up");
            return;
        }
        let wait = back_off(failures);
        failures = failures.saturating_add(1);
        complain(&error, failures, wait);
        sleep(wait).await;
    }
}

fn complain(error: &(dyn std::error::Error + 'static), attempts: u32, wait: Duration) {
    let wait_seconds = wait.as_secs();
    tracing::warn!(
        error,
        attempts,
        wait_seconds,
        "a message about a verdict did not arrive; it is tried again"
    );
}
