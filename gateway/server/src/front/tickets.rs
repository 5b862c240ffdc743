//! Keys of the tickets that TLS sessions are resumed by.

use rustls::crypto::{GetRandomFailed, ring};
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::interval;

/// One key. Its maker would replace it after six hours, which is the longest rotation.
#[derive(Debug)]
struct Key(Arc<dyn ProducesTickets>);

impl ProducesTickets for Key {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

/// Seals tickets with a key of this process that is replaced again and again, in a task, for as long as somebody uses it.
/// The key before still opens tickets: a session can be resumed for one rotation, and for no longer than two.
///
/// # Errors
/// The system gives no randomness.
pub(super) fn tickets(rotation: Duration) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    let seconds = u32::try_from(rotation.as_secs().max(1)).unwrap_or(u32::MAX);
    let tickets = Arc::new(TicketRotator::new(seconds, || match ring::Ticketer::new() {
        Ok(key) => Ok(Box::new(Key(key))),
        Err(_) => Err(GetRandomFailed),
    })?);
    let used = Arc::downgrade(&tickets);
    tokio::spawn(async move {
        let mut ticks = interval(rotation);
        loop {
            ticks.tick().await;
            let Some(tickets) = used.upgrade() else { return };
            // It replaces keys when it is used. While nobody connected it would keep old ones.
            drop(tickets.decrypt(&[]));
        }
    });
    Ok(tickets)
}
