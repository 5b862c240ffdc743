//! Which of several nodes sends a message about a threshold.

use async_trait::async_trait;

/// What a node may do about a message that all nodes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Send it.
    Own,
    /// Wait: another node is sending it.
    Others,
    /// Forget it: it has arrived.
    Arrived,
}

/// Where nodes agree on who sends a message.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Claims a message for a while. Where nobody can be asked, it is the node's own: it may then arrive twice, with the
    /// same id.
    async fn claim(&self, message: &str) -> Claim;

    /// The message has arrived.
    async fn arrived(&self, message: &str);
}
