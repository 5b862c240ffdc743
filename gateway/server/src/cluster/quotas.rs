//! What the nodes use of quotas together.

use super::connection::ClusterError;
use super::node::Cluster;
use crate::usage::UsageStore;
use fleetgate_core::quota::{NodeUse, QuotaKey};
use redis::Script;
use std::sync::{Arc, LazyLock};

static USAGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("usage.lua")));

/// Tenants of which a node tells, and of which it hears, in one step at most.
const TENANTS_MAX: usize = 250;

/// How far this node has told and heard.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// Name under which usage of this node is counted.
    name: String,
    /// When the Redis began that was told.
    born: String,
    /// Number of the change that was heard last.
    heard: i64,
}

type Raw = (i64, String, Vec<(String, Vec<String>)>);

impl Quotas {
    /// Tells and hears once.
    pub(super) async fn exchange(
        &mut self,
        cluster: &Cluster,
        store: &Arc<UsageStore>,
    ) -> Result<(), ClusterError> {
        if self.name.is_empty() {
            self.name = format!("{}/{}", cluster.node(), store.epoch());
        }
        let told = store.take_untold(TENANTS_MAX);
        let mut script = USAGE.prepare_invoke();
        for key in ["used:last", "used", "born"] {
            script.key(cluster.connection.key(key));
        }
        script.arg(cluster.connection.key("used:")).arg(&self.name).arg(self.heard).arg(TENANTS_MAX);
        for usage in &told {
            let uses = usage.node_uses();
            script.arg(&**usage.id()).arg(uses.len());
            for (key, used) in uses {
                script.arg(key.as_str()).arg(used.to_text());
            }
        }
        let answer: Result<Raw, _> = cluster.connection.run(&script).await;
        let (last, born, tenants) =
            answer.inspect_err(|_| told.iter().for_each(|usage| store.tell_again(usage)))?;
        if born != self.born {
            // Another Redis, or one that forgot: it is told everything.
            (self.born, self.heard) = (born, 0);
            store.share();
            return Ok(());
        }
        self.heard = last;
        for (tenant, rows) in tenants {
            let Some(usage) = store.known(&tenant) else { continue };
            let (pairs, _) = rows.as_chunks::<2>();
            let uses = pairs.iter().filter_map(|[field, text]| {
                let (node, key) = field.rsplit_once(' ')?;
                (node != self.name).then_some(())?;
                Some((node.into(), QuotaKey::parse(key)?, NodeUse::parse(text)?))
            });
            usage.note_elsewhere(store, &uses.collect::<Vec<_>>());
        }
        Ok(())
    }
}
