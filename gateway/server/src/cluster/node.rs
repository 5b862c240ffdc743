//! This node among the others.

use super::acts::Acts;
use super::connection::{ClusterError, Connection};
use super::exchange::{Answer, Ask, exchange};
use super::quotas::Quotas;
use super::rates::Rates;
use super::workers::Workers;
use crate::causes::with_causes;
use crate::limits::WHOLE_SHARE;
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::usage::Usage;
use fleetgate_core::cluster::{Link, LinkState, Outcome, View};
use fleetgate_core::config::Redis;
use redis::Script;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// Between two looks at whether somebody waits for a worker that another node may hold.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Looks after which everything is exchanged.
const EXCHANGE_EVERY: u32 = 5;
/// Looks after which what was used of quotas is told, too.
const QUOTAS_EVERY: u32 = 10;
/// Of looks, one after which nodes tell each other what operators did.
const ACTS_EVERY: u32 = 20;

static LEAVE: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('ZREM', KEYS[1], ARGV[1])"));

/// This node, and what it knows of the others.
#[derive(Debug)]
pub struct Cluster {
    pub(super) me: Box<str>,
    node: Box<str>,
    pub(super) connection: Connection,
    /// Zero of the clock of the link. It never goes back, whatever happens to the time of day.
    born: Instant,
    state: Mutex<NodeState>,
    counts: ExchangeCounts,
}

/// What changes from exchange to exchange.
#[derive(Debug)]
struct NodeState {
    link: Link,
    /// Since when the link is what it is.
    since: jiff::Timestamp,
    problem: Option<String>,
    nodes: Vec<Box<str>>,
    /// Nodes that rates are divided among: those that are there, or were while that was not certain.
    among: u32,
    rates: Rates,
    workers: Workers,
}

/// Exchanges by how they ended.
#[derive(Debug, Default)]
pub struct ExchangeCounts {
    answered: AtomicU64,
    late: AtomicU64,
    failed: AtomicU64,
    read_only: AtomicU64,
}

impl ExchangeCounts {
    fn of(&self, outcome: Outcome) -> &AtomicU64 {
        match outcome {
            Outcome::Answered { .. } => &self.answered,
            Outcome::Late => &self.late,
            Outcome::Failed => &self.failed,
            Outcome::ReadOnly => &self.read_only,
        }
    }

    /// Names and counts.
    #[must_use]
    pub fn all(&self) -> [(&'static str, u64); 4] {
        let Self { answered, late, failed, read_only } = self;
        [("answered", answered), ("late", late), ("failed", failed), ("read_only", read_only)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

/// What people are told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// This node's name.
    pub node: String,
    /// How Redis does: `ok`, `slow`, `gone` or `read_only`.
    pub redis: String,
    /// Since when.
    pub since: jiff::Timestamp,
    /// What is wrong, and what to do.
    pub problem: Option<String>,
    /// Nodes that are there, this one included; while Redis is away, that were there.
    pub nodes: Vec<String>,
    /// Tenants whose rates are divided by demand, because they are near a limit somewhere.
    pub divided_tenants: usize,
}

impl Cluster {
    /// The node that a config describes. Nothing is asked yet.
    #[must_use]
    pub fn new(config: Redis, main_folder: &Path) -> Self {
        let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned().into();
        let node: Box<str> = config.node.clone().unwrap_or_else(machine);
        // What a process before this one holds under the same name is its own until its lease ends.
        let process = uuid::Uuid::now_v7().simple().to_string().chars().skip(24).collect::<String>();
        let state = NodeState {
            link: Link::default(),
            since: jiff::Timestamp::now(),
            problem: None,
            nodes: Vec::new(),
            among: u32::from(config.usual_nodes.max(1)),
            rates: Rates::default(),
            workers: Workers::default(),
        };
        Self {
            me: format!("{node}/{process}").into(),
            node,
            connection: Connection::new(config, main_folder),
            born: Instant::now(),
            state: Mutex::new(state),
            counts: ExchangeCounts::default(),
        }
    }

    /// How this process is called among all nodes.
    #[must_use]
    pub fn me(&self) -> &str {
        &self.me
    }

    /// Exchanges by how they ended.
    #[must_use]
    pub const fn counts(&self) -> &ExchangeCounts {
        &self.counts
    }

    /// What people are told.
    #[must_use]
    pub fn facts(&self) -> ClusterFacts {
        let state = self.lock();
        ClusterFacts {
            node: self.node.to_string(),
            redis: state.link.state().as_str().to_owned(),
            since: state.since,
            problem: state.problem.clone(),
            nodes: state.nodes.iter().map(ToString::to_string).collect(),
            divided_tenants: state.rates.len(),
        }
    }

    /// This node's name, the same for all processes that run under it.
    pub(super) const fn node(&self) -> &str {
        &self.node
    }

    /// Exchanges with the others until the task is aborted.
    pub async fn keep(self: Arc<Self>, store: Arc<SnapshotStore>, usage: Arc<Usage>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut quotas, mut acts, mut turn) = (Quotas::default(), Acts::default(), 0_u32);
        loop {
            ticks.tick().await;
            turn = turn.wrapping_add(1);
            let of_all = turn.is_multiple_of(EXCHANGE_EVERY);
            if of_all || (self.answers() && self.lock().workers.are_wanted()) {
                self.exchange(&store.load(), of_all).await;
            }
            if turn.is_multiple_of(QUOTAS_EVERY)
                && self.answers()
                && let Some(usage) = usage.opened()
                && let Err(error) = quotas.exchange(&self, usage).await
            {
                tracing::debug!(error = with_causes(&error), "what was used of quotas was not exchanged");
            }
            if turn.is_multiple_of(ACTS_EVERY)
                && self.answers()
                && let Some(usage) = usage.opened()
                && let Err(error) = acts.exchange(&self, usage, &store.load()).await
            {
                tracing::debug!(
                    error = with_causes(&error),
                    "what operators did was not told to the other nodes"
                );
            }
        }
    }

    fn answers(&self) -> bool {
        self.lock().link.state() == LinkState::Ok
    }

    /// Tells and hears once: of workers, and of all else if `of_all`. It takes no longer than Redis is waited for.
    pub async fn exchange(&self, snapshot: &Snapshot, of_all: bool) {
        let began = self.born.elapsed();
        let (asks, pools) = self.lock().ask(&self.me, snapshot, began, of_all);
        let answer = exchange(&self.connection, &self.me, &asks).await;
        let outcome = match &answer {
            Ok(answer) => Outcome::Answered { known: answer.heard.known, age_ms: answer.heard.age_ms },
            Err(error) => error.outcome(),
        };
        self.counts.of(outcome).fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        let now = self.born.elapsed();
        if let Some(changed) = state.link.note(outcome, began, now) {
            state.since = jiff::Timestamp::now();
            log(changed, answer.as_ref().err());
        }
        match answer {
            Ok(answer) => state.take(answer, snapshot, now, pools, of_all),
            Err(error) => state.hold(&error, snapshot, now),
        }
    }

    /// Says goodbye, so that what this node held is free at once.
    pub async fn leave(&self) {
        let mut script = LEAVE.prepare_invoke();
        script.key(self.connection.key("nodes")).arg(&*self.me);
        if let Err(error) = self.connection.run::<i64>(&script).await {
            tracing::debug!(%error, "the other nodes were not told; what this one held is free when its lease has ended");
        }
    }

    fn lock(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeState {
    /// The part of rates that nobody is near to.
    fn equal(&self) -> u32 {
        WHOLE_SHARE.checked_div(self.among).unwrap_or(WHOLE_SHARE)
    }

    /// What to ask for, and how much of it is about workers.
    fn ask(&mut self, me: &str, snapshot: &Snapshot, now: Duration, of_all: bool) -> (Vec<Ask>, usize) {
        let (equal, accounts) = (self.equal(), snapshot.accounts());
        accounts.shares().set_equal(equal);
        let may_raise = self.link.may_raise(now);
        let view = View { capacity: 0, floor: 0, me, nodes: &self.nodes, others: &[], may_raise };
        let mut asks = self.workers.ask(snapshot, view, self.among);
        let pools = asks.len();
        if of_all {
            asks.extend(self.rates.ask(accounts, view, equal));
        }
        (asks, pools)
    }

    fn take(&mut self, answer: Answer, snapshot: &Snapshot, now: Duration, pools: usize, of_all: bool) {
        let Answer { heard, divided, granted: mut workers } = answer;
        let there = u32::try_from(heard.nodes.len()).unwrap_or(u32::MAX);
        let may_raise = self.link.may_raise(now);
        self.among = if may_raise { there } else { self.among.max(there) };
        self.nodes = heard.nodes;
        self.problem = None;
        let (equal, accounts) = (self.equal(), snapshot.accounts());
        accounts.shares().set_equal(equal);
        let rates = workers.split_off(pools.min(workers.len()));
        self.workers.take(workers, may_raise);
        if of_all {
            self.rates.take(accounts, &divided, rates, may_raise, equal);
        }
    }

    fn hold(&mut self, error: &ClusterError, snapshot: &Snapshot, now: Duration) {
        self.problem = Some(with_causes(error));
        let hold = self.link.hold(now);
        self.workers.hold(hold, self.among);
        self.rates.hold(snapshot.accounts(), hold, self.equal());
    }
}

fn log(state: LinkState, error: Option<&ClusterError>) {
    let error = error.map(|error| with_causes(error));
    match state {
        LinkState::Ok => tracing::info!("Redis answers; parts of limits are divided among the nodes again"),
        LinkState::Slow => tracing::warn!(error, "Redis is slow; each node goes on with the part it has"),
        LinkState::Gone => tracing::error!(error, "Redis is gone; each node goes on with the part it has"),
        LinkState::ReadOnly => {
            tracing::error!(error, "Redis takes no writes; each node goes on with the part it has");
        }
    }
}
