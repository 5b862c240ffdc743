//! This gateway among those that decide with it about the regions of pools.

use super::pool::PoolWatch;
use super::word::{PoolWord, Word, millis};
use crate::causes::with_causes;
use crate::cluster::{Cluster, Said};
use crate::nodes::{ASK_EVERY, Gateways};
use fleetgate_core::health::Moment;
use fleetgate_core::pool::Pool;
use fleetgate_core::region::{Heard, LEASE, Sight};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// How old what another saw of a database may be.
pub(super) const FRESH: Duration = Duration::from_secs(3);
/// Topic among the nodes.
const TOPIC: &str = "regions";

/// How gateways that decide together hear each other.
#[derive(Clone)]
pub enum Medium {
    /// They do not: this one decides alone.
    None,
    /// Over a Redis.
    Redis(Arc<Cluster>),
    /// Directly.
    Nodes(Arc<Gateways>),
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

/// A gateway that is not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Absent {
    /// Its name; empty where it is not known who is missing.
    pub(super) node: Box<str>,
    /// Why, and what to do.
    pub(super) why: String,
}

/// The gateways that decide about a pool besides this one.
#[derive(Debug, Clone, Default)]
pub(super) struct Company {
    /// Those that are heard, or were.
    pub(super) others: Vec<Other>,
    /// Those that are not heard now.
    pub(super) absent: Vec<Absent>,
    /// How many there are in all, as far as anybody knows.
    pub(super) nodes: usize,
}

impl Company {
    /// What it comes down to, in words.
    pub(super) fn text(&self, quorum: u8, at: Duration) -> String {
        let all = self.nodes.max(usize::from(quorum)).max(self.others.len().saturating_add(1));
        let fresh = self.others.iter().filter(|other| at.saturating_sub(other.heard.at) <= LEASE).count();
        let absent = self.absent.iter().map(|absent| match &*absent.node {
            "" => absent.why.clone(),
            node => format!("{node}: {}", absent.why),
        });
        let absent: Vec<String> = absent.collect();
        let absent = if absent.is_empty() { String::new() } else { format!("; {}", absent.join("; ")) };
        format!("{} of {all} gateways are heard, this one included{absent}", fresh.saturating_add(1))
    }
}

/// What a process of another gateway said.
struct Spoken {
    /// Name of the gateway.
    node: Box<str>,
    word: Word,
    /// No later than it decided so, on this gateway's clock.
    at: Instant,
}

/// This gateway among those that it decides with.
pub(super) struct Sharing {
    medium: Medium,
    born: Instant,
    /// By process, over Redis: the least that its words were late, as far as that can be told: its age, taken from this one's.
    late: BTreeMap<Box<str>, i128>,
    /// By gateway, without Redis: what it last said, or why that cannot be used, and when it was asked.
    spoken: BTreeMap<Box<str>, (Instant, Result<Spoken, String>)>,
    /// What is wrong and was told, by gateway.
    told: BTreeMap<Box<str>, String>,
}

/// What this gateway says about pools.
pub(super) fn word(born: Instant, gateways: Vec<Box<str>>, pools: &[Arc<PoolWatch>]) -> Word {
    let words = pools.iter().filter_map(|pool| Some((pool.pool.name.clone(), pool.word()?)));
    Word::new(born.elapsed(), gateways, words)
}

impl Sharing {
    pub(super) fn new(medium: Medium, born: Instant) -> Self {
        Self { medium, born, late: BTreeMap::new(), spoken: BTreeMap::new(), told: BTreeMap::new() }
    }

    /// Tells the others about pools, and takes what they say. Returns in a second and a half at most, and not at once.
    pub(super) async fn exchange(&mut self, pools: &[Arc<PoolWatch>]) {
        match self.medium.clone() {
            _ if pools.is_empty() => sleep(ASK_EVERY).await,
            Medium::None => sleep(ASK_EVERY).await,
            Medium::Redis(cluster) => {
                let asked = Instant::now();
                let text = word(self.born, Vec::new(), pools).text();
                let (spoken, absent) = match cluster.say(TOPIC, &text, LEASE).await {
                    Ok(said) => self.over_redis(&cluster, &said, asked),
                    Err(error) => (Vec::new(), vec![Absent { node: "".into(), why: with_causes(&error) }]),
                };
                self.tell(&absent);
                hear(&spoken.iter().collect::<Vec<_>>(), &absent, pools);
                sleep(ASK_EVERY.saturating_sub(asked.elapsed())).await;
            }
            Medium::Nodes(gateways) => {
                let _heard = timeout(ASK_EVERY, gateways.news()).await;
                let absent = self.directly(&gateways);
                self.tell(&absent);
                let spoken = self.spoken.values().filter_map(|(_, spoken)| spoken.as_ref().ok());
                hear(&spoken.collect::<Vec<_>>(), &absent, pools);
            }
        }
    }

    /// What the gateways said to Redis. Another process of this one is none of the others.
    fn over_redis(&mut self, cluster: &Cluster, said: &[Said], asked: Instant) -> (Vec<Spoken>, Vec<Absent>) {
        let name = |process: &str| process.rsplit_once('/').map_or(process, |(name, _)| name).to_owned();
        let own = name(cluster.me());
        let (mut spoken, mut absent) = (Vec::new(), Vec::new());
        self.late.retain(|process, _| said.iter().any(|said| said.node == *process));
        for said in said {
            let node: Box<str> = name(&said.node).into();
            if *node == *own {
                continue;
            }
            match Word::parse(said.text.as_bytes()) {
                Ok(word) => {
                    let at = self.decided(said, word.age_ms, asked);
                    spoken.push(Spoken { node, word, at });
                }
                Err(why) => absent.push(Absent { node, why }),
            }
        }
        (spoken, absent)
    }

    /// When a process decided what lay in Redis since, no earlier than that.
    fn decided(&mut self, said: &Said, age_ms: u64, asked: Instant) -> Instant {
        // Asked before Redis looked at its clock, so this is no later than the word came to Redis.
        let came = asked.checked_sub(said.age).unwrap_or(self.born);
        let offset = signed(millis(came.saturating_duration_since(self.born))) - signed(age_ms);
        let least = self.late.entry(said.node.clone()).or_insert(offset);
        *least = offset.min(*least);
        let decided = u64::try_from(signed(age_ms) + *least).unwrap_or(0);
        self.born.checked_add(Duration::from_millis(decided)).unwrap_or(self.born).min(came)
    }

    /// What the gateways answered. Whom this one does not hear.
    fn directly(&mut self, gateways: &Gateways) -> Vec<Absent> {
        let all = gateways.all();
        self.spoken.retain(|node, _| all.contains_key(node));
        let mut absent = Vec::new();
        for (node, standing) in all {
            if let Some(said) = standing.said
                && self.spoken.get(&node).is_none_or(|(asked, _)| *asked != said.asked)
            {
                let word = Word::parse(&said.text);
                let spoken = word.map(|word| Spoken { node: node.clone(), word, at: said.asked });
                self.spoken.insert(node.clone(), (said.asked, spoken));
            }
            let useless = self.spoken.get(&node).and_then(|(_, spoken)| spoken.as_ref().err());
            let why = standing.problem.map(|problem| problem.to_string()).or_else(|| useless.cloned());
            absent.extend(why.map(|why| Absent { node, why }));
        }
        let (_, names) = gateways.names();
        absent
            .extend(self.spoken.values().filter_map(|(_, spoken)| other_list(&names, spoken.as_ref().ok()?)));
        absent
    }

    /// Says what is wrong, once.
    fn tell(&mut self, absent: &[Absent]) {
        // What the connection to another gateway meets is told where it is met.
        let direct = matches!(self.medium, Medium::Nodes(_));
        let before = std::mem::take(&mut self.told);
        for Absent { node, why } in absent {
            if !direct && before.get(node) != Some(why) {
                tracing::error!(
                    gateway = &**node,
                    "the gateways that decide together do not all hear each other: {why}; after 5 s without more than half of them this one serves no pool with a `quorum`"
                );
            }
            self.told.insert(node.clone(), why.clone());
        }
        if absent.is_empty() && !before.is_empty() {
            tracing::warn!("the other gateways are heard again");
        }
    }
}

/// What is wrong where another gateway names others than this one does.
fn other_list(names: &[Box<str>], spoken: &Spoken) -> Option<Absent> {
    let (own, its): (BTreeSet<&Box<str>>, BTreeSet<&Box<str>>) =
        (names.iter().collect(), spoken.word.gateways.iter().collect());
    let differs: Vec<&str> = own.symmetric_difference(&its).map(|name| &***name).collect();
    (!differs.is_empty()).then(|| Absent {
        node: spoken.node.clone(),
        why: format!(
            "it is heard, and names other gateways than this one ({}): `nodes.gateways` has to be the same on all",
            differs.join(", ")
        ),
    })
}

/// Takes what was said into each pool.
fn hear(spoken: &[&Spoken], absent: &[Absent], pools: &[Arc<PoolWatch>]) {
    let named: BTreeSet<&Box<str>> = spoken.iter().flat_map(|spoken| &spoken.word.gateways).collect();
    for pool in pools {
        let mut company = Company { others: Vec::new(), absent: absent.to_vec(), nodes: named.len() };
        let mut by_node: BTreeMap<&str, Vec<(&PoolWord, Instant)>> = BTreeMap::new();
        for spoken in spoken {
            let words = by_node.entry(&spoken.node).or_default();
            words.extend(spoken.word.pools.get(&pool.pool.name).map(|word| (word, spoken.at)));
        }
        for (node, words) in by_node {
            let quorums = words.iter().map(|(word, _)| usize::from(word.quorum()));
            company.nodes = quorums.fold(company.nodes, usize::max);
            match other(node, &pool.pool, &words, |at| pool.moment(at)) {
                Some(other) => company.others.push(other),
                None => company.absent.push(Absent {
                    node: node.into(),
                    why: format!(
                        "it does not decide about a pool `{}` with others: is its config another one?",
                        pool.pool.name
                    ),
                }),
            }
        }
        pool.hear(company);
    }
}

/// What the processes of a gateway say together: there are two of them in an upgrade, and one has the vote.
fn other(
    node: &str,
    pool: &Pool,
    words: &[(&PoolWord, Instant)],
    moment: impl Fn(Instant) -> Moment,
) -> Option<Other> {
    let heard: Vec<Heard> = words.iter().map(|(word, at)| word.heard(pool, moment(*at))).collect();
    let granting = heard.iter().filter(|heard| heard.grants.is_some()).max_by_key(|heard| heard.at);
    let latest = heard.iter().max_by_key(|heard| heard.at)?;
    // Two that let different regions be used are two gateways under one name: nobody can count them.
    let disagree = granting.is_some_and(|granting| {
        heard.iter().any(|heard| heard.grants.is_some() && heard.grants != granting.grants)
    });
    let heard = match granting {
        Some(granting) if !disagree => *granting,
        _ => Heard { at: latest.at, grants: None },
    };
    let (newest, at) = words.iter().max_by_key(|(_, at)| *at)?;
    Some(Other { node: node.into(), heard, sights: newest.sights(pool, moment(*at)) })
}

fn signed(millis: u64) -> i128 {
    i128::from(millis)
}
