//! Something that is so at times, and that many may wait for.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Whether it is so. Who waits costs nothing until it begins.
#[derive(Debug, Default)]
pub(super) struct Flag {
    raised: AtomicBool,
    told: Notify,
}

impl Flag {
    pub(super) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Says whether it is so from now on.
    pub(super) fn set(&self, raised: bool) {
        if self.raised.swap(raised, Ordering::AcqRel) != raised && raised {
            self.told.notify_waiters();
        }
    }

    /// Waits until it begins, which may be so already.
    pub(super) async fn until_raised(&self) {
        loop {
            // Made before the look: what is told in between is heard.
            let told = self.told.notified();
            if self.is_raised() {
                return;
            }
            told.await;
        }
    }
}
