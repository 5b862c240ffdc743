//! Who of the nodes sends a message about a threshold: each node comes to the same message, with the same id.

use super::exchange::milliseconds;
use super::node::Cluster;
use crate::usage::{Claim, Claims};
use async_trait::async_trait;
use redis::Script;
use std::sync::LazyLock;
use std::time::Duration;

static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local holder = redis.call('GET', KEYS[1])
        if holder == 'arrived' then return 'arrived' end
        if holder and holder ~= ARGV[1] then return 'others' end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return 'own'",
    )
});
static ARRIVED: LazyLock<Script> =
    LazyLock::new(|| Script::new("redis.call('SET', KEYS[1], 'arrived', 'PX', ARGV[1]) return 'arrived'"));

/// For how long a node that claimed a message is waited for.
const CLAIMED_FOR: Duration = Duration::from_secs(60);
/// For how long a message is known to have arrived: longer than a month, the longest period.
const ARRIVED_FOR: Duration = Duration::from_secs(40 * 86_400);

#[async_trait]
impl Claims for Cluster {
    async fn claim(&self, message: &str) -> Claim {
        let mut script = CLAIM.prepare_invoke();
        script
            .key(self.connection.key(&format!("told:{message}")))
            .arg(&*self.me)
            .arg(milliseconds(CLAIMED_FOR));
        match self.connection.run::<String>(&script).await.as_deref() {
            Ok("others") => Claim::Others,
            Ok("arrived") => Claim::Arrived,
            Ok(_) | Err(_) => Claim::Own,
        }
    }

    async fn arrived(&self, message: &str) {
        let mut script = ARRIVED.prepare_invoke();
        script.key(self.connection.key(&format!("told:{message}"))).arg(milliseconds(ARRIVED_FOR));
        if let Err(error) = self.connection.run::<String>(&script).await {
            tracing::debug!(%error, "the other nodes do not know that a message about a threshold has arrived");
        }
    }
}
