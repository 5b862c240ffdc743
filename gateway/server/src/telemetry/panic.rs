//! A panic fails one request. It is counted and logged, and nothing else happens.

use std::sync::atomic::{AtomicU64, Ordering};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts and logs panics from now on.
pub fn watch() {
    std::panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a task panicked; its request failed; please report this as a bug");
    }));
}

/// Panics since the process started.
#[must_use]
pub fn count() -> u64 {
    PANICS.load(Ordering::Relaxed)
}
