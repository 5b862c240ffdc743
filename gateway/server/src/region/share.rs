//! What gateways tell each other about the regions of a pool.
//!
//! A word is what one gateway saw of each database, and which region it lets everybody use. It carries the age of the
//! process that said it: a word that lay somewhere on its way, in a Redis that stood still, is known to be old.

use super::pool::PoolWatch;
use crate::cluster::{Cluster, Said};
use fleetgate_core::health::{DatabaseReading, Instance, Moment, Role};
use fleetgate_core::pool::Pool;
use fleetgate_core::region::{Heard, RegionIndex, Sight};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long what a gateway said counts.
pub(super) const LEASE: Duration = Duration::from_secs(5);
/// How old what another saw of a database may be.
pub(super) const FRESH: Duration = Duration::from_secs(3);
/// Between two exchanges.
pub(super) const EVERY: Duration = Duration::from_millis(250);
/// Topic among the nodes.
const TOPIC: &str = "regions";

/// What one gateway says about all pools.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Word {
    /// Age of the process in milliseconds when it decided what it says.
    age_ms: u64,
    pools: BTreeMap<String, PoolWord>,
}

/// What one gateway says about a pool.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct PoolWord {
    /// Region that it lets everybody use.
    grants: Option<String>,
    /// What it saw, by region.
    sights: BTreeMap<String, SightWord>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SightWord {
    /// System, server, timeline, and how far a standby is behind; nothing of a database that is silent.
    seen: Option<(u64, u64, u32, Option<u64>)>,
    age_ms: u64,
    anchored: bool,
}

/// What another gateway last said about a pool.
#[derive(Debug, Clone)]
pub(super) struct Other {
    /// Its name.
    pub(super) node: Box<str>,
    /// What it grants.
    pub(super) heard: Heard,
    /// What it saw, by region.
    pub(super) sights: Vec<Option<Sight>>,
}

impl PoolWord {
    pub(super) fn new(
        pool: &Pool,
        grants: Option<RegionIndex>,
        sights: &[Option<Sight>],
        now: Moment,
    ) -> Self {
        let named = pool.regions.iter().zip(sights);
        let word = |sight: &Sight| SightWord {
            seen: sight.seen.map(|seen| {
                let behind = if let Role::Standby { lag_ms } = seen.role { Some(lag_ms) } else { None };
                (seen.instance.system, seen.instance.server, seen.timeline, behind)
            }),
            age_ms: millis(now.saturating_sub(sight.at)),
            anchored: sight.anchored,
        };
        Self {
            grants: grants.and_then(|region| pool.regions.get(region)).map(|region| region.name.to_string()),
            sights: named
                .filter_map(|(region, sight)| Some((region.name.to_string(), word(sight.as_ref()?))))
                .collect(),
        }
    }

    /// What a gateway said at a moment on this gateway's clock.
    fn read(&self, node: &str, pool: &Pool, at: Moment) -> Other {
        let sight = |word: &SightWord| Sight {
            seen: word.seen.map(|(system, server, timeline, behind)| DatabaseReading {
                instance: Instance { system, server },
                timeline,
                role: behind.map_or(Role::Writable, |lag_ms| Role::Standby { lag_ms }),
            }),
            at: at.saturating_sub(Duration::from_millis(word.age_ms)),
            anchored: word.anchored,
        };
        let place = |name: &str| pool.regions.iter().position(|region| *region.name == *name);
        Other {
            node: node.into(),
            heard: Heard { at, grants: self.grants.as_ref().and_then(|name| place(name)) },
            sights: pool.regions.iter().map(|region| self.sights.get(&*region.name).map(sight)).collect(),
        }
    }
}

/// This gateway among those that it decides with.
pub(super) struct Sharing {
    cluster: Arc<Cluster>,
    born: Instant,
    /// By node: the least that its words were late, as far as that can be told: its age, taken from this one's.
    late: BTreeMap<Box<str>, i128>,
    problem: bool,
}

impl Sharing {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, born: Instant::now(), late: BTreeMap::new(), problem: false }
    }

    /// Tells the others about pools, and takes what they say. Returns in a second and a half at most.
    pub(super) async fn exchange(&mut self, pools: &[Arc<PoolWatch>]) {
        let asked = Instant::now();
        let words = pools.iter().map(|pool| (pool.pool.name.to_string(), pool.word()));
        let word = Word { age_ms: millis(self.born.elapsed()), pools: words.collect() };
        let Ok(text) = serde_json::to_string(&word) else { return };
        match self.cluster.say(TOPIC, &text, LEASE).await {
            Ok(said) => {
                self.tell(None);
                self.hear(&said, asked, pools);
            }
            Err(error) => self.tell(Some(&error)),
        }
    }

    fn tell(&mut self, error: Option<&(dyn std::error::Error + 'static)>) {
        match error {
            Some(error) if !self.problem => tracing::error!(
                error,
                "the other gateways cannot be told about regions; after 5 s without them this one serves no pool with a `quorum`"
            ),
            None if self.problem => tracing::warn!("the other gateways are told about regions again"),
            _ => {}
        }
        self.problem = error.is_some();
    }

    fn hear(&mut self, said: &[Said], asked: Instant, pools: &[Arc<PoolWatch>]) {
        let others = said.iter().filter(|said| *said.node != *self.cluster.me());
        let words: Vec<(&Said, Word)> =
            others.filter_map(|said| Some((said, serde_json::from_str(&said.text).ok()?))).collect();
        self.late.retain(|node, _| words.iter().any(|(said, _)| said.node == *node));
        let mut moments = Vec::with_capacity(words.len());
        for (said, word) in &words {
            // Asked before Redis looked at its clock, so this is no later than the word came to Redis.
            let came = asked.checked_sub(said.age).unwrap_or(self.born);
            let offset = signed(millis(came.saturating_duration_since(self.born))) - signed(word.age_ms);
            let least = self.late.entry(said.node.clone()).or_insert(offset);
            *least = offset.min(*least);
            let decided = u64::try_from(signed(word.age_ms) + *least).unwrap_or(0);
            moments
                .push(self.born.checked_add(Duration::from_millis(decided)).unwrap_or(self.born).min(came));
        }
        for pool in pools {
            let others = words.iter().zip(&moments).filter_map(|((said, word), at)| {
                let word = word.pools.get(&*pool.pool.name)?;
                Some(word.read(&said.node, &pool.pool, pool.moment(*at)))
            });
            pool.hear(others.collect());
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn signed(millis: u64) -> i128 {
    i128::from(millis)
}
