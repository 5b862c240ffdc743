//! This node's part of the workers of pools.

use super::exchange::{Ask, Granted};
use crate::admission::PoolAdmission;
use crate::snapshot::Snapshot;
use fleetgate_core::cluster::{Claim, Hold, Part, View};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of an equal part, what an idle node keeps: one of so many, rounded down.
const FLOOR_PARTS: u32 = 4;

/// Permits for the workers of pools.
#[derive(Debug, Default)]
pub(super) struct Workers {
    pools: BTreeMap<Box<str>, PoolWorkers>,
}

#[derive(Debug)]
struct PoolWorkers {
    admission: Arc<PoolAdmission>,
    part: Part,
    others: Vec<Claim>,
}

impl PoolWorkers {
    fn ask(&mut self, pool: &str, view: View<'_>, among: u32) -> Ask {
        let load = self.admission.load();
        let waiting = load.classes.iter().fold(0_u32, |sum, (_, waiting)| sum.saturating_add(*waiting));
        let in_service = load.in_service.saturating_sub(self.admission.apart());
        self.part.note_demand(u64::from(in_service.saturating_add(waiting)));
        let capacity = self.admission.whole();
        let floor = equal(capacity, among) / FLOOR_PARTS;
        let wanted = self.part.ask(&View { capacity, floor, others: &self.others, ..view });
        // Lowered before it is looked at what is in use: nothing begins in between that is not counted.
        self.admission.lease(self.part.held());
        let in_use = self.admission.load().in_service.saturating_sub(self.admission.apart()).min(capacity);
        Ask {
            name: format!("workers:{pool}"),
            capacity,
            // Nodes need not agree on how many workers are healthy.
            claim_max: u32::MAX,
            asked: wanted.max(in_use),
            in_use,
            demand: self.part.demand(),
            divide: false,
            leaves: false,
        }
    }
}

impl Workers {
    /// Whether somebody waits for a worker that another node may hold.
    pub(super) fn are_wanted(&self) -> bool {
        self.pools.values().any(|pool| {
            let load = pool.admission.load();
            let part = load.workers.saturating_sub(pool.admission.apart());
            part < pool.admission.whole() && load.classes.iter().any(|(_, waiting)| *waiting > 0)
        })
    }

    /// Gives up what is too much, and says what this node holds and asks for, one for each pool whose workers are known.
    /// `among` are the nodes that there are, or usually are.
    pub(super) fn ask(&mut self, snapshot: &Snapshot, view: View<'_>, among: u32) -> Vec<Ask> {
        self.pools.retain(|name, _| snapshot.admissions().any(|(pool, _)| pool.name == *name));
        for (pool, admission) in snapshot.admissions() {
            let held = self.pools.get(&pool.name).map(|known| known.part);
            // Where nobody says otherwise, a node begins with an equal part.
            let part = held.unwrap_or_else(|| Part::of(equal(admission.whole(), among).max(1)));
            let others = self.pools.remove(&pool.name).map(|known| known.others).unwrap_or_default();
            let admission = Arc::clone(admission);
            self.pools.insert(pool.name.clone(), PoolWorkers { admission, part, others });
        }
        self.pools.iter_mut().map(|(pool, workers)| workers.ask(pool, view, among)).collect()
    }

    /// Takes what was granted, in the order of what was asked.
    pub(super) fn take(&mut self, granted: Vec<Granted>, may_raise: bool) {
        for (pool, granted) in self.pools.values_mut().zip(granted) {
            pool.part.take(granted.units, may_raise);
            pool.others = granted.others;
            pool.admission.lease(pool.part.held());
        }
    }

    /// Goes on without Redis.
    pub(super) fn hold(&mut self, hold: Hold, among: u32) {
        for pool in self.pools.values_mut() {
            let equal = equal(pool.admission.whole(), among).max(1);
            pool.part.hold(hold, equal);
            pool.admission.lease(pool.part.held());
        }
    }
}

fn equal(workers: u32, among: u32) -> u32 {
    workers.checked_div(among).unwrap_or(workers)
}
