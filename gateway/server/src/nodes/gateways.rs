//! The other gateways, as they were last heard.

use super::ASK_EVERY;
use super::answer::{Say, answer};
use super::credentials::Credentials;
use super::link::Link;
use super::problem::NodeProblem;
use crate::snapshot::SnapshotStore;
use arc_swap::ArcSwapOption;
use fleetgate_core::config::{NodeAddress, Nodes};
use hyper::body::Bytes;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// After a question that was not answered.
const PAUSE: Duration = Duration::from_millis(500);

/// The gateways of `nodes`.
pub struct Gateways {
    present: ArcSwapOption<Credentials>,
    heard: Mutex<BTreeMap<Box<str>, Standing>>,
    news: Notify,
    stop: CancellationToken,
}

/// What a gateway last said.
#[derive(Debug, Clone)]
pub struct Said {
    /// When it was asked: it said so later.
    pub asked: Instant,
    /// What.
    pub text: Bytes,
}

/// How another gateway does, as far as this one can tell.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// What it last said; `None`: nothing yet.
    pub said: Option<Said>,
    /// Why it is not heard now.
    pub problem: Option<Arc<NodeProblem>>,
}

impl Gateways {
    /// Gateways that are neither asked nor answered yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            present: ArcSwapOption::empty(),
            heard: Mutex::default(),
            news: Notify::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Begins to ask those that snapshots name, and to answer them.
    pub fn start(
        self: &Arc<Self>,
        store: &Arc<SnapshotStore>,
        listener: TcpListener,
        say: impl Fn() -> String + Send + Sync + 'static,
    ) {
        let mut asking = JoinSet::new();
        let mut known = None;
        self.follow(&mut asking, &mut known, store);
        let say: Say = Arc::new(say);
        tokio::spawn(answer(Arc::clone(self), listener, say, self.stop.clone()));
        let (weak, store) = (Arc::downgrade(self), Arc::clone(store));
        let mut published = store.published();
        tokio::spawn(async move {
            while published.changed().await.is_ok() {
                let Some(gateways) = weak.upgrade() else { return };
                gateways.follow(&mut asking, &mut known, &store);
            }
        });
    }

    /// Leaves the others to another process of this gateway: they are asked on, and not answered any more.
    pub fn resign(&self) {
        self.stop.cancel();
    }

    /// Waits until one of the others was heard, or was not.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// All other gateways by name.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Box<str>, Standing> {
        self.heard().clone()
    }

    /// Names of all gateways, this one included, and that of this one.
    #[must_use]
    pub fn names(&self) -> (Box<str>, Vec<Box<str>>) {
        let Some(present) = self.present.load_full() else { return Default::default() };
        let all = present.nodes.gateways.iter().map(|gateway| gateway.name.clone());
        (present.nodes.name.clone(), all.collect())
    }

    pub(super) fn credentials(&self) -> Option<Arc<Credentials>> {
        self.present.load_full()
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Standing>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks those that the present snapshot names, with the certificates that it has. One that names none any more changes
    /// nothing until a restart: gateways that decide together would lose each other.
    fn follow(self: &Arc<Self>, asking: &mut JoinSet<()>, known: &mut Option<Nodes>, store: &SnapshotStore) {
        let Some(nodes) = store.load().fleet.nodes.clone() else { return };
        if known.as_ref() == Some(&nodes) {
            return;
        }
        let credentials = match Credentials::new(&nodes) {
            Ok(credentials) => Arc::new(credentials),
            Err(error) => {
                tracing::error!(%error, "the certificates of `nodes` cannot be used; the old ones are shown on");
                return;
            }
        };
        if !credentials.fits {
            let name = &*nodes.name;
            tracing::error!(
                name,
                "the certificate of `nodes` does not hold the name of this gateway: no other gateway believes it"
            );
        }
        *known = Some(nodes);
        self.present.store(Some(Arc::clone(&credentials)));
        *asking = JoinSet::new();
        self.heard().retain(|name, _| credentials.others().any(|other| other.name == *name));
        for address in credentials.others() {
            self.heard().entry(address.name.clone()).or_default();
            let link = Link::new(Arc::clone(&credentials), address.clone());
            asking.spawn(ask(Arc::downgrade(self), link, address.clone()));
        }
    }

    fn note(&self, address: &NodeAddress, asked: Instant, answer: Result<Bytes, NodeProblem>) {
        let mut heard = self.heard();
        let Some(standing) = heard.get_mut(&address.name) else { return };
        let gateway = &*address.name;
        match answer {
            Ok(text) => {
                if standing.problem.take().is_some() {
                    tracing::warn!(gateway, "another gateway is heard again");
                }
                standing.said = Some(Said { asked, text });
            }
            Err(problem) => {
                let same = standing.problem.as_ref().is_some_and(|known| known.as_str() == problem.as_str());
                if !same {
                    tracing::error!(
                        gateway,
                        address = format_args!("{}:{}", address.host, address.port),
                        "another gateway is not heard: {problem}"
                    );
                }
                standing.problem = Some(Arc::new(problem));
            }
        }
        drop(heard);
        self.news.notify_one();
    }
}

/// Asks one of the others again and again.
async fn ask(gateways: Weak<Gateways>, mut link: Link, address: NodeAddress) {
    let mut ticks = interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let asked = Instant::now();
        let answer = link.ask().await;
        let failed = answer.is_err();
        let Some(gateways) = gateways.upgrade() else { return };
        gateways.note(&address, asked, answer);
        drop(gateways);
        if failed {
            sleep(PAUSE).await;
        }
    }
}
