//! Waiting for a condition instead of for time.

use std::time::Duration;

use tokio::time::Instant;

/// How long a test waits for what should happen at once, on a slow and busy machine.
pub const DEADLINE: Duration = Duration::from_secs(45);

const INTERVAL: Duration = Duration::from_millis(5);

/// Waits until a condition holds, asking every 5 ms; panics with `what` when it does not hold in time.
///
/// ```ignore
/// wait_for("the backend is asked", DEADLINE, async || stub.counts().requests == 1).await;
/// ```
pub async fn wait_for(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + deadline;
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        if condition().await {
            return;
        }
        if Instant::now() >= end {
            panic!("not within {deadline:?}: {what}");
        }
    }
}
