//! What nodes say to each other.

use super::connection::ClusterError;
use super::exchange::milliseconds;
use super::node::Cluster;
use redis::Script;
use std::sync::LazyLock;
use std::time::Duration;

static SAID: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("said.lua")));

/// Longest text in bytes.
pub const SAID_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a node said about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Which node, as [`Cluster::me`] is for this one: a process that starts anew under the same name is another.
    pub node: Box<str>,
    /// How long ago, on Redis' clock.
    pub age: Duration,
    /// What.
    pub text: String,
}

impl Cluster {
    /// Says something about a topic, in place of what this node said about it before, and returns what all nodes say about
    /// it, this one included. It counts for `lease` on Redis' clock and is then forgotten, however this node ends.
    ///
    /// A topic is a fixed word of the code, such as `regions`; nothing else grows with it.
    ///
    /// # Errors
    /// Redis cannot be asked, within a second and a half at most. What was said before may or may not be replaced.
    pub async fn say(
        &self,
        topic: &'static str,
        text: &str,
        lease: Duration,
    ) -> Result<Vec<Said>, ClusterError> {
        let mut script = SAID.prepare_invoke();
        script.key(self.connection.key(&format!("said:{topic}")));
        script.arg(&*self.me).arg(milliseconds(lease)).arg(text);
        let said: Vec<(String, u64, String)> = self.connection.run(&script).await?;
        let said = said.into_iter().filter(|(_, _, text)| text.len() <= SAID_BYTES_MAX);
        Ok(said
            .map(|(node, age_ms, text)| Said { node: node.into(), age: Duration::from_millis(age_ms), text })
            .collect())
    }
}
