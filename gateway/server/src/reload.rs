//! Taking a new config while serving.
//!
//! The new snapshot is built aside, on a blocking thread, and swapped whole. Requests in flight keep the snapshot
//! they began with; counters and websockets are not touched. When nothing good can be made of the files, nothing
//! changes but a metric and a log line.

use crate::config::{FileStatus, Loader, Watch, needs_restart};
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::telemetry::metrics::{Metrics, ReloadResult};
use arc_swap::ArcSwap;
use fleetgate_core::config::{Problem, ProcessConfig};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::task::JoinHandle;

/// What the last reload did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReloadReport {
    /// `applied`, `unchanged` or `refused`.
    pub result: String,
    /// Snapshot that serves.
    pub generation: u64,
    /// Fingerprint of the files that it was made of.
    pub revision: String,
    /// Problems; the files concerned serve their last good revision.
    pub problems: Vec<ProblemNote>,
    /// Files that are not served as they are now.
    pub held_back: Vec<HeldBack>,
    /// Changed settings that wait for a restart.
    pub restart_needed: Vec<String>,
}

/// A file that is not served as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// The file.
    pub path: String,
    /// Fingerprint of the revision that serves instead; `None` when nothing of the file does.
    pub serving: Option<String>,
    /// Since when, RFC 3339 in UTC.
    pub since: String,
}

fn held_back(files: &[FileStatus]) -> Vec<HeldBack> {
    let held = files.iter().filter_map(|file| {
        let since = file.broken_since?.to_string();
        Some(HeldBack { path: file.path.display().to_string(), serving: file.revision.clone(), since })
    });
    held.collect()
}

/// A problem in one line; `fleetgate check` shows it with its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemNote {
    /// `file:line:column`.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl From<&Problem> for ProblemNote {
    fn from(problem: &Problem) -> Self {
        let key = if problem.key_path.is_empty() { String::new() } else { format!("{}: ", problem.key_path) };
        let other = problem.other_place.as_ref().map(|other| format!(", see {other}")).unwrap_or_default();
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        Self { place: problem.place.to_string(), message: format!("{key}{}{other}{hint}", problem.message) }
    }
}

/// Logs problems, errors as errors.
pub fn log_problems(problems: &[Problem]) {
    for problem in problems {
        let note = ProblemNote::from(problem);
        if problem.is_error() {
            tracing::error!(place = note.place, problem = note.message, "the config has a problem");
        } else {
            tracing::warn!(place = note.place, problem = note.message, "the config can be better");
        }
    }
}

/// Reloads the config of a process.
pub struct Reloader {
    // Held across a whole load, on a blocking thread: reloads come one after the other.
    loader: Mutex<Loader>,
    store: Arc<SnapshotStore>,
    metrics: Arc<Metrics>,
    /// Settings that the process was started with.
    process: ProcessConfig,
    report: ArcSwap<ReloadReport>,
}

impl Reloader {
    /// Starts from the load that the process was started with.
    #[must_use]
    pub fn new(
        loader: Loader,
        store: Arc<SnapshotStore>,
        metrics: Arc<Metrics>,
        process: ProcessConfig,
        problems: &[Problem],
        files: &[FileStatus],
    ) -> Self {
        log_problems(problems);
        metrics.count_reload(ReloadResult::Applied, problems.len());
        let snapshot = store.load();
        let report = ReloadReport {
            result: ReloadResult::Applied.as_str().to_owned(),
            generation: snapshot.generation,
            revision: snapshot.revision.to_string(),
            problems: problems.iter().map(ProblemNote::from).collect(),
            held_back: held_back(files),
            restart_needed: Vec::new(),
        };
        Self { loader: Mutex::new(loader), store, metrics, process, report: ArcSwap::from_pointee(report) }
    }

    /// What the last reload did.
    #[must_use]
    pub fn report(&self) -> Arc<ReloadReport> {
        self.report.load_full()
    }

    /// Reads the files and publishes what is good in them.
    pub async fn reload(self: &Arc<Self>) -> Arc<ReloadReport> {
        let reloader = Arc::clone(self);
        if tokio::task::spawn_blocking(move || reloader.reload_now()).await.is_err() {
            tracing::error!("a reload panicked; the old config serves on");
        }
        self.report()
    }

    /// Reloads whenever the files change, until the task is aborted.
    #[must_use]
    pub fn watch(self: Arc<Self>) -> JoinHandle<()> {
        let watch = self.loader.lock().unwrap_or_else(PoisonError::into_inner).watch();
        tokio::spawn(async move { self.follow(watch).await })
    }

    async fn follow(self: Arc<Self>, mut watch: Watch) {
        // Nobody told of what changed between the first load and the start of the watch.
        self.reload().await;
        while watch.changed().await {
            self.reload().await;
        }
    }

    fn reload_now(&self) {
        let started = Instant::now();
        let mut loader = self.loader.lock().unwrap_or_else(PoisonError::into_inner);
        let (result, problems, held_back, restart_needed) = match loader.load() {
            Ok(loaded) => {
                let restart: Vec<String> = needs_restart(&self.process, &loaded.config.process)
                    .into_iter()
                    .map(str::to_owned)
                    .collect();
                let previous = self.store.load();
                let result = if *previous.revision == *loaded.revision {
                    let broken = loaded.problems.iter().any(Problem::is_error);
                    if broken { ReloadResult::Refused } else { ReloadResult::Unchanged }
                } else {
                    let fleet = loaded.config.fleet;
                    self.store.publish(|previous| Snapshot::build(fleet, &loaded.revision, Some(previous)));
                    ReloadResult::Applied
                };
                (result, loaded.problems, held_back(&loaded.files), restart)
            }
            Err(problems) => {
                let last = self.report();
                (ReloadResult::Refused, problems, last.held_back.clone(), last.restart_needed.clone())
            }
        };
        let snapshot = self.store.load();
        let report = ReloadReport {
            result: result.as_str().to_owned(),
            generation: snapshot.generation,
            revision: snapshot.revision.to_string(),
            problems: problems.iter().map(ProblemNote::from).collect(),
            held_back,
            restart_needed,
        };
        self.tell(result, &problems, &report, started);
        self.report.store(Arc::new(report));
    }

    fn tell(&self, result: ReloadResult, problems: &[Problem], report: &ReloadReport, started: Instant) {
        self.metrics.count_reload(result, problems.len());
        // A problem that stays is logged once, not at each look at the files.
        let news = report.problems != self.report().problems;
        if news {
            log_problems(problems);
        }
        if result != ReloadResult::Applied && !news {
            return;
        }
        tracing::info!(
            result = result.as_str(),
            generation = report.generation,
            revision = report.revision,
            problems = problems.len(),
            restart_needed = report.restart_needed.join(" "),
            milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "reloaded"
        );
    }
}
