//! Verdicts that change, told to whoever asked for it.

use super::event::VerdictEvent;
use super::shelf::Shelf;
use crate::snapshot::SnapshotStore;
use crate::state_directory::StateDirectory;
use crate::webhook::{back_off, send};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;

/// Messages that wait; one more is in the log alone.
pub(super) const WAITING_MAX: usize = 1_000;
/// For how long a message is tried.
const GIVEN_UP_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// Between two looks for what a process has left behind that ended.
const LOOK: Duration = Duration::from_secs(60);

/// The body of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) id: String,
    /// When, RFC 3339.
    pub(super) time: jiff::Timestamp,
    /// Machine of the gateway that says so.
    pub(super) gateway: String,
    #[serde(flatten)]
    pub(super) event: Value,
}

/// Takes events to be told.
#[derive(Debug, Clone)]
pub(super) struct Messages(Sender<VerdictEvent>);

impl Messages {
    /// Tells, one after another, for as long as somebody may have something to tell. What waits is kept in `state`.
    pub(super) fn start(store: Arc<SnapshotStore>, state: StateDirectory) -> Self {
        let (sender, receiver) = channel(WAITING_MAX);
        let shelf = Arc::new(Shelf::new(state));
        let delivery = tokio::spawn(deliver(Arc::clone(&store), Arc::clone(&shelf)));
        tokio::spawn(async move {
            keep(receiver, &store, &shelf).await;
            delivery.abort();
        });
        Self(sender)
    }

    /// Takes an event. It never waits.
    pub(super) fn take(&self, event: VerdictEvent) {
        if self.0.try_send(event).is_err() {
            complain_of_many();
        }
    }
}

fn complain_of_many() {
    tracing::warn!("too many messages about verdicts wait for their receiver; one is in the log alone");
}

/// Puts events on the shelf while somebody wants to know of them.
async fn keep(mut events: Receiver<VerdictEvent>, store: &SnapshotStore, shelf: &Arc<Shelf>) {
    let gateway = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut taken = Vec::new();
    while events.recv_many(&mut taken, WAITING_MAX).await > 0 {
        let wanted = store.load().fleet.verdict_webhook.is_some();
        let messages = taken.drain(..).filter(|_| wanted).filter_map(|event| {
            let (id, time) = (uuid::Uuid::now_v7().simple().to_string(), jiff::Timestamp::now());
            let event = serde_json::to_value(event).ok()?;
            Some(Message { id, time, gateway: gateway.clone(), event })
        });
        let messages: Vec<Message> = messages.collect();
        if !messages.is_empty() && !shelf.add(messages).await {
            complain_of_many();
        }
    }
}

/// Tells each message until it has arrived, nobody wants to know any more, or it is a day old.
async fn deliver(store: Arc<SnapshotStore>, shelf: Arc<Shelf>) {
    shelf.adopt().await;
    let mut failures = 0;
    loop {
        let Some(message) = shelf.first() else {
            // What another process left comes to light here, as one that was replaced and has ended.
            if tokio::time::timeout(LOOK, shelf.added()).await.is_err() {
                shelf.adopt().await;
            }
            continue;
        };
        let webhook = store.load().fleet.verdict_webhook.clone();
        let sent = match &webhook {
            Some(webhook) => send(webhook, &message.id, &message).await,
            None => Ok(()),
        };
        let Err(error) = sent else {
            failures = 0;
            shelf.done(&message.id).await;
            continue;
        };
        if jiff::Timestamp::now().duration_since(message.time) > GIVEN_UP_AFTER {
            tracing::error!("nobody took a message about a verdict for a day; it is given up");
            shelf.done(&message.id).await;
            continue;
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
