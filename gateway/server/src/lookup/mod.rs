//! Looking up where names of backends lead, again and again, and having snapshots follow.

mod kept;

use self::kept::KeptAnswers;
use crate::dns::resolver;
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::state_directory::StateDirectory;
use fleetgate_core::host::HostName;
use fleetgate_core::lookup::{Leads, PAUSE_AFTER_FAILURE, pause};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// For an answer, of whichever server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// For the first answers about all names, before the process listens.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Looks up the names of a process.
pub struct NameLookup {
    store: Arc<SnapshotStore>,
    /// `Err`: there is none, and why.
    resolver: Result<TokioResolver, NetError>,
    kept: KeptAnswers,
}

impl NameLookup {
    /// Asks servers of DNS, or those of the system.
    ///
    /// Of a name with addresses of both versions of IP those of version 4 are used: a server with both is one server. The last
    /// good answers are kept in `state`.
    #[must_use]
    pub fn new(store: Arc<SnapshotStore>, servers: &[SocketAddr], state: StateDirectory) -> Arc<Self> {
        let resolver = resolver(servers, LookupIpStrategy::Ipv4thenIpv6);
        Arc::new(Self { store, resolver, kept: KeptAnswers::open(state) })
    }

    /// Looks up the names of every snapshot from now on; returns when each of the present one was looked up once, or after
    /// a while.
    pub async fn start(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(self).follow());
        let snapshot = self.store.load();
        let asked = async {
            let known = || names(&snapshot).all(|name| snapshot.addresses().facts(name).asked);
            while !known() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(FIRST_LOOK, asked).await.is_err() {
            tracing::error!(
                "not every name of a backend could be looked up; serving begins with the addresses that a process before knew, or without"
            );
        }
    }

    async fn follow(self: Arc<Self>) {
        let mut published = self.store.published();
        let mut tasks: BTreeMap<HostName, AbortHandle> = BTreeMap::new();
        loop {
            let snapshot = self.store.load();
            let wanted = |name: &HostName| names(&snapshot).any(|wanted| wanted == name);
            tasks.retain(|name, task| {
                let keep = wanted(name);
                if !keep {
                    task.abort();
                }
                keep
            });
            snapshot.addresses().retain(wanted);
            for name in names(&snapshot) {
                tasks.entry(name.clone()).or_insert_with(|| {
                    tokio::spawn(Arc::clone(&self).follow_name(name.clone())).abort_handle()
                });
            }
            drop(snapshot);
            if published.changed().await.is_err() {
                return;
            }
        }
    }

    async fn follow_name(self: Arc<Self>, name: HostName) {
        if let Some((addresses, at)) = self.kept.of(&name, jiff::Timestamp::now())
            && self.store.load().addresses().remember(&name, &addresses, at)
        {
            self.publish(&name).await;
        }
        loop {
            let answer = match &self.resolver {
                Ok(resolver) => timeout(ANSWER_TIMEOUT, resolver.lookup_ip(name.as_str())).await,
                Err(error) => Ok(Err(error.clone())),
            };
            let answer = answer.unwrap_or(Err(NetError::Timeout));
            let wait = match &answer {
                Ok(found) => pause(time_to_live(found)),
                Err(_) => PAUSE_AFTER_FAILURE,
            };
            if self.note(&name, answer.map(|found| found.iter().collect())) {
                self.publish(&name).await;
            }
            self.keep(&name).await;
            sleep(wait).await;
        }
    }

    async fn publish(self: &Arc<Self>, name: &HostName) {
        let store = Arc::clone(&self.store);
        let published = move || store.publish(Snapshot::with_present_addresses);
        if tokio::task::spawn_blocking(published).await.is_err() {
            tracing::error!(%name, "following a name panicked; its old addresses serve on");
        }
    }

    /// Keeps the last answer, if it was a good one.
    async fn keep(self: &Arc<Self>, name: &HostName) {
        let (known, now) = (self.store.load().addresses().facts(name), jiff::Timestamp::now());
        let good = known.problem.is_none() && !known.addresses.is_empty();
        if !good || !self.kept.is_news(name, &known.addresses, now) {
            return;
        }
        let (lookup, name) = (Arc::clone(self), name.clone());
        let keep = move || {
            let snapshot = lookup.store.load();
            let wanted = |kept: &str| names(&snapshot).any(|name| name.as_str() == kept);
            lookup.kept.keep(&name, &known.addresses, now, wanted);
        };
        if tokio::task::spawn_blocking(keep).await.is_err() {
            tracing::error!("where a name leads could not be kept");
        }
    }

    /// Takes an answer. Whether the name leads elsewhere now.
    fn note(&self, name: &HostName, answer: Result<Vec<IpAddr>, NetError>) -> bool {
        let (addresses, problem) = match answer {
            Ok(found) => {
                let Leads { used, refused } = Leads::of(found);
                let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
                let problem = (!refused.is_empty())
                    .then(|| format!("it leads to {}, where no backend may be", refused.join(", ")));
                (Some(used).filter(|used| !used.is_empty()), problem)
            }
            Err(error) if error.is_no_records_found() => (None, Some("it has no address".to_owned())),
            Err(error) => (None, Some(error.to_string())),
        };
        let known = self.store.load();
        let before = known.addresses().note(name, addresses.as_deref(), problem.clone());
        let now = known.addresses().of(name);
        let words =
            |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if let Some(problem) = problem.as_ref().filter(|problem| before.problem.as_ref() != Some(problem)) {
            tracing::error!(%name, problem, used = words(&now), "a name of backends cannot be followed; what it led to before is used");
        } else if before.problem.is_some() && problem.is_none() {
            tracing::warn!(%name, used = words(&now), "a name of backends is followed again");
        }
        let changed = now != before.addresses;
        if changed && !before.addresses.is_empty() {
            tracing::warn!(%name, before = words(&before.addresses), now = words(&now), "a name of backends leads elsewhere");
        }
        changed
    }
}

/// Names of backends, each at least once.
fn names(snapshot: &Snapshot) -> impl Iterator<Item = &HostName> {
    snapshot.fleet.pools.iter().flat_map(|pool| pool.names())
}

/// The least of the records that the answer is made of.
fn time_to_live(found: &LookupIp) -> Duration {
    let records = found.as_lookup().answers().iter();
    Duration::from_secs(records.map(|record| u64::from(record.ttl)).min().unwrap_or_default())
}
