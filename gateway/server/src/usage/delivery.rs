//! Messages about thresholds on their way to whoever asked for them.

use super::claim::{Claim, Claims};
use super::store::UsageStore;
use crate::webhook::{back_off, send};
use fleetgate_core::config::Webhook;
use tokio::time::Instant;

/// For how long a message is tried.
const GIVEN_UP_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// Sends messages one after another, each until it has arrived or is a day old.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    failures: u32,
    next: Option<Instant>,
}

impl Delivery {
    /// Sends what waits and is due.
    pub(super) async fn run(&mut self, store: &UsageStore, webhook: &Webhook, claims: Option<&dyn Claims>) {
        let mut others = 0;
        while others < store.messages_waiting()
            && self.next.is_none_or(|next| next <= Instant::now())
            && let Some(message) = store.next_message()
        {
            if jiff::Timestamp::now().duration_since(message.time) > GIVEN_UP_AFTER {
                tracing::error!(tenant = %message.tenant, quota = %message.quota, percent = message.percent,
                    "nobody took the message about a threshold for a day; it is given up");
                store.done(&message.id);
                continue;
            }
            let claim = match claims {
                Some(claims) => claims.claim(&message.id).await,
                None => Claim::Own,
            };
            match claim {
                Claim::Own => {}
                Claim::Others => {
                    others = others.saturating_add(1);
                    store.put_last(&message.id);
                    continue;
                }
                Claim::Arrived => {
                    store.done(&message.id);
                    continue;
                }
            }
            match send(webhook, &message.id, &message).await {
                Ok(()) => {
                    if let Some(claims) = claims {
                        claims.arrived(&message.id).await;
                    }
                    store.done(&message.id);
                    *self = Self::default();
                }
                Err(error) => {
                    let wait = back_off(self.failures);
                    self.failures = self.failures.saturating_add(1);
                    self.next = Some(Instant::now() + wait);
                    store.put_last(&message.id);
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        attempts = self.failures,
                        wait_seconds = wait.as_secs(),
                        "a message about a threshold did not arrive; it is tried again"
                    );
                }
            }
        }
    }
}
