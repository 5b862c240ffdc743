//! Noticing that the files changed.
//!
//! Folders are watched, not files: editors rename over a file, and Kubernetes swaps a link beside it. A look at
//! the files' stamps now and then finds what no event tells of, such as a change on a network file system.

use super::files::{self, Stamp, is_tenant_file};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Clocks of the watch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    /// Quiet time after an event, so that a copy of many files is one change.
    pub(super) settle: Duration,
    /// Longest wait for quiet: files that are written all the time must not keep a change back.
    pub(super) settle_max: Duration,
    /// Time between looks at the files.
    pub(super) poll: Duration,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(50),
            settle_max: Duration::from_secs(5),
            poll: Duration::from_secs(30),
        }
    }
}

/// What is watched. The loader changes it when the main file names another folder.
#[derive(Debug)]
pub(super) struct Targets {
    main: PathBuf,
    tenants: Option<PathBuf>,
    /// Files that those of the config refer to.
    referred: BTreeSet<PathBuf>,
    signals: Option<Arc<Signals>>,
}

/// Tells of changes, at least one after each change, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::Receiver<()>,
    stop: Arc<Signals>,
}

impl Watch {
    pub(super) fn start(targets: Arc<Mutex<Targets>>, clocks: Clocks) -> Self {
        let (wake, woken) = sync_channel(1);
        let (changed, changes) = mpsc::channel(1);
        let signals =
            Arc::new(Signals { wake, relevant: AtomicBool::new(false), stopped: AtomicBool::new(false) });
        let stop = Arc::clone(&signals);
        targets.lock().unwrap_or_else(PoisonError::into_inner).signals = Some(Arc::clone(&signals));
        // Folders are armed here, so that no change after this call can be missed.
        let mut lookout = Lookout::new(targets, signals, clocks);
        lookout.arm();
        lookout.seen = lookout.fingerprint();
        let spawned = std::thread::Builder::new()
            .name("config-watch".into())
            .spawn(move || lookout.run(&woken, &changed));
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot watch the config; reload it by signal or `fleetgate reload`");
        }
        Self { changes, stop }
    }

    /// Waits for the next change. `false` when nobody watches any more.
    pub async fn changed(&mut self) -> bool {
        self.changes.recv().await.is_some()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.stopped.store(true, Ordering::Release);
        self.stop.wake();
    }
}

/// What the thread is told, by events and by the handle.
#[derive(Debug)]
struct Signals {
    wake: SyncSender<()>,
    /// An event was about a file of the config, so no stamps need to be compared.
    relevant: AtomicBool,
    stopped: AtomicBool,
}

impl Signals {
    fn wake(&self) {
        // A full channel holds a wake-up already.
        let _full = self.wake.try_send(()).is_err();
    }
}

struct Lookout {
    targets: Arc<Mutex<Targets>>,
    signals: Arc<Signals>,
    clocks: Clocks,
    watcher: Option<RecommendedWatcher>,
    /// Folders under watch, and which folder the path was then.
    armed: BTreeMap<PathBuf, Stamp>,
    /// Fingerprint of the files when a change was last told.
    seen: u64,
}

impl Lookout {
    fn new(targets: Arc<Mutex<Targets>>, signals: Arc<Signals>, clocks: Clocks) -> Self {
        let (told, events) = (Arc::clone(&signals), Arc::clone(&targets));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) if matches!(event.kind, EventKind::Access(_)) && !event.need_rescan() => {}
            Ok(event) => {
                let targets = events.lock().unwrap_or_else(PoisonError::into_inner);
                if event.need_rescan() || event.paths.iter().any(|path| targets.names(path)) {
                    told.relevant.store(true, Ordering::Release);
                }
                told.wake();
            }
            Err(_) => told.wake(),
        });
        let watcher = watcher
            .inspect_err(
                |error| tracing::warn!(%error, poll = ?clocks.poll, "no file events; the config is polled"),
            )
            .ok();
        Self { targets, signals, clocks, watcher, armed: BTreeMap::new(), seen: 0 }
    }

    fn run(mut self, woken: &Receiver<()>, changed: &mpsc::Sender<()>) {
        loop {
            let event = match woken.recv_timeout(self.clocks.poll) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if event && !self.signals.stopped.load(Ordering::Acquire) {
                self.settle(woken);
            }
            if self.signals.stopped.load(Ordering::Acquire) {
                return;
            }
            // Armed before the look: what changes in between is seen by one of the two.
            self.arm();
            let relevant = self.signals.relevant.swap(false, Ordering::AcqRel);
            let now = self.fingerprint();
            if relevant || now != self.seen {
                self.seen = now;
                if let Err(mpsc::error::TrySendError::Closed(())) = changed.try_send(()) {
                    return;
                }
            }
        }
    }

    /// Waits until nothing happens.
    fn settle(&self, woken: &Receiver<()>) {
        let start = Instant::now();
        while start.elapsed() < self.clocks.settle_max {
            match woken.recv_timeout(self.clocks.settle) {
                Ok(()) if self.signals.stopped.load(Ordering::Acquire) => return,
                Ok(()) => {}
                Err(_) => return,
            }
        }
    }

    /// Watches the folders of today. A folder that was replaced is watched anew.
    fn arm(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeMap<PathBuf, Stamp> = {
            let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
            targets
                .folders()
                .into_iter()
                .filter_map(|folder| Stamp::of(&folder).map(|stamp| (folder, stamp)))
                .collect()
        };
        let stale = |(path, armed): (&PathBuf, &Stamp)| {
            let same = wanted.get(path).is_some_and(|stamp| stamp.same_file(armed));
            (!same).then(|| path.clone())
        };
        for path in self.armed.iter().filter_map(stale).collect::<Vec<_>>() {
            // A folder that is gone took its watch along, so a failure says nothing.
            let _gone = watcher.unwatch(&path).is_err();
            self.armed.remove(&path);
        }
        for (path, stamp) in wanted {
            if self.armed.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.armed.insert(path, stamp);
                }
                Err(error) => {
                    tracing::warn!(folder = %path.display(), %error, "no file events; the folder is polled")
                }
            }
        }
    }

    /// Names and stamps of all files, in one number.
    fn fingerprint(&self) -> u64 {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let (main, folder) = (targets.main.clone(), targets.tenants.clone());
        let referred = targets.referred.clone();
        drop(targets);
        let mut hasher = DefaultHasher::new();
        Stamp::of(&main).hash(&mut hasher);
        referred.iter().for_each(|path| Stamp::of(path).hash(&mut hasher));
        for path in folder.and_then(|folder| files::tenant_files(&folder).ok()).unwrap_or_default() {
            path.hash(&mut hasher);
            Stamp::of(&path).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Targets {
    /// The main file, and no folder of tenants yet.
    pub(super) fn new(main: &Path) -> Self {
        Self { main: main.to_owned(), tenants: None, referred: BTreeSet::new(), signals: None }
    }

    /// Takes note of the folder that the main file names now.
    pub(super) fn follow(&mut self, tenants: Option<PathBuf>) {
        if self.tenants != tenants {
            self.tenants = tenants;
            self.signals.iter().for_each(|signals| signals.wake());
        }
    }

    /// Takes note of the files that the config refers to now.
    pub(super) fn refer(&mut self, referred: BTreeSet<PathBuf>) {
        if self.referred != referred {
            self.referred = referred;
            self.signals.iter().for_each(|signals| signals.wake());
        }
    }

    /// Folders in which a change may show: those of the paths, and those that links lead to.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![folder_of(&self.main)];
        folders.extend(self.main.canonicalize().ok().map(|main| folder_of(&main)));
        folders.extend(self.tenants.clone());
        folders.extend(self.referred.iter().map(|path| folder_of(path)));
        folders
    }

    /// Whether a path is a file of the config.
    fn names(&self, path: &Path) -> bool {
        let tenants = self.tenants.as_ref().is_some_and(|folder| path.parent() == Some(folder));
        path == self.main
            || self.referred.contains(path)
            || tenants && path.file_name().is_some_and(is_tenant_file)
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
