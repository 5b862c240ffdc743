//! What operators do about quotas on one node, told to all.

use super::connection::ClusterError;
use super::node::Cluster;
use crate::snapshot::{Plans, Snapshot};
use crate::usage::{Act, Deed, UsageStore};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Topic among the nodes.
const TOPIC: &str = "acts";
/// Acts that a node tells and takes at once, the newest ones: each node remembers many more, so none is done twice.
const ACTS_MAX: usize = 100;
/// For how long what a node told is told on when it has ended.
const LEASE: Duration = Duration::from_secs(3_600);

/// For how long what could not be done is left alone while nothing changes.
const AGAIN: Duration = Duration::from_secs(60);

/// What other nodes did and this one could not, when it was last tried.
#[derive(Default)]
pub(super) struct Acts {
    left: Vec<Act>,
    /// When, and by which config.
    tried: Option<(Instant, u64)>,
}

impl Acts {
    /// Tells what was done here, or heard of here, and does what was done on other nodes. What cannot be done, because the
    /// config does not know the tenant perhaps, is tried again.
    pub(super) async fn exchange(
        &mut self,
        cluster: &Cluster,
        store: &Arc<UsageStore>,
        snapshot: &Snapshot,
    ) -> Result<(), ClusterError> {
        if !store.is_keeper() {
            return Ok(());
        }
        let known = store.acts();
        let told = known.iter().rev().filter(|act| act.deed.id().is_some()).take(ACTS_MAX);
        let text = serde_json::to_string(&told.collect::<Vec<_>>()).unwrap_or_default();
        let said = cluster.say(TOPIC, &text, LEASE).await?;
        let others = said.iter().filter(|said| *said.node != *cluster.me());
        // What cannot be read was said by another version, or by nobody.
        let acts = others.filter_map(|said| serde_json::from_str::<Vec<Act>>(&said.text).ok());
        let mut unknown: Vec<Act> =
            acts.flat_map(|acts| acts.into_iter().take(ACTS_MAX)).filter(|act| is_new(act, store)).collect();
        unknown.sort_by_key(|act| act.time);
        let as_before = |(at, generation): (Instant, u64)| {
            generation == snapshot.generation && unknown == self.left && at.elapsed() < AGAIN
        };
        if unknown.is_empty() || self.tried.is_some_and(as_before) {
            return Ok(());
        }
        let plans = Plans::of(snapshot);
        for act in &unknown {
            take(act, store, snapshot, &plans);
        }
        unknown.retain(|act| is_new(act, store));
        (self.left, self.tried) = (unknown, Some((Instant::now(), snapshot.generation)));
        Ok(())
    }
}

fn is_new(act: &Act, store: &UsageStore) -> bool {
    let over = matches!(act.deed, Deed::Grant { expires, .. } if expires <= jiff::Timestamp::now());
    act.deed.id().is_some() && !over && !store.knows(act)
}

fn take(act: &Act, store: &Arc<UsageStore>, snapshot: &Snapshot, plans: &Plans<'_>) {
    let Some(terms) = plans.terms(&act.tenant) else { return };
    let usage = store.tenant(&act.tenant);
    let views = usage.views(store, snapshot.generation, terms);
    let Some(view) = views.iter().find(|view| view.quota == act.deed.quota()) else { return };
    // A period that is over by now was not meant.
    if matches!(&act.deed, Deed::Reset { period, .. } if *period != view.period) {
        return;
    }
    if let Err(error) = usage.act(store, act) {
        tracing::error!(tenant = %act.tenant, "what was done about a quota on another node is not done here: {error}");
    }
}
