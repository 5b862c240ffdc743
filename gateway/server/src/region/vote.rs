//! The vote of this gateway, which one of its processes has at a time.
//!
//! What gateways decide together counts gateways. In an upgrade there are two processes of one, and if both let regions be
//! used, one of them and the process of another gateway would be a majority that is none. The vote is a lock on a file,
//! which the kernel takes back from a process however it ends. A process that gives it up in order leaves behind what it
//! let be used, so that the next one goes on with that at once.

use crate::state_directory::StateDirectory;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

const FOLDER: &str = "regions";
const FILE: &str = "vote";
/// For a process that is replaced to give up the vote: longer than its successor has to begin to serve.
const SUCCESSION_MAX: Duration = Duration::from_secs(90);
/// Longest that is read of the file: a thousand pools with long names.
const BYTES_MAX: u64 = 1024 * 1024;

/// The region that is let be used, by pool.
pub(super) type Grants = BTreeMap<Box<str>, Box<str>>;

/// The vote, held by this process or not.
#[derive(Debug)]
pub(super) struct Vote {
    state: StateDirectory,
    held: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<File>,
    given_up: bool,
    /// Since when another process has it.
    waits: Option<Instant>,
    problem: Option<String>,
}

impl Vote {
    pub(super) fn new(state: StateDirectory) -> Self {
        Self { state, held: AtomicBool::new(false), inner: Mutex::default() }
    }

    /// Whether this process has it.
    pub(super) fn held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Why no process of this gateway has it.
    pub(super) fn problem(&self) -> Option<String> {
        self.inner().problem.clone()
    }

    /// Takes the vote, unless this or another process has it. What the one before let be used, if it gave it up in order.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Grants> {
        if self.held() || self.inner().given_up {
            return None;
        }
        let vote = Arc::clone(self);
        spawn_blocking(move || vote.try_take()).await.ok().flatten()
    }

    fn try_take(&self) -> Option<Grants> {
        let taken = self.lock();
        let mut inner = self.inner();
        if inner.given_up {
            return None;
        }
        match taken {
            Ok(Some((file, grants))) => {
                *inner = Inner { file: Some(file), ..Inner::default() };
                drop(inner);
                self.held.store(true, Ordering::Release);
                Some(grants)
            }
            Ok(None) => {
                let waits = *inner.waits.get_or_insert_with(Instant::now);
                if waits.elapsed() > SUCCESSION_MAX {
                    inner.note("another process has it: no two gateways may share a `state_directory`");
                }
                None
            }
            Err(error) => {
                inner.note(&error);
                None
            }
        }
    }

    /// The file, locked, and what was left in it, which is then gone. `None` while another process has the vote.
    fn lock(&self) -> Result<Option<(File, Grants)>, String> {
        let folder = self.state.subfolder(FOLDER).map_err(|error| crate::causes::with_causes(&error))?;
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(FILE));
        let mut file = options.map_err(|error| error.to_string())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error.to_string()),
        }
        let left = take_left(&mut file).map_err(|error| error.to_string())?;
        Ok(Some((file, left)))
    }

    /// Gives the vote up for good. From now on nothing is let be used; then `grants` is asked what was.
    pub(super) fn give_up(&self, grants: impl FnOnce() -> Grants) {
        self.held.store(false, Ordering::Release);
        let mut inner = self.inner();
        inner.given_up = true;
        let Some(mut file) = inner.file.take() else { return };
        drop(inner);
        let left = serde_json::to_vec(&grants()).unwrap_or_default();
        if let Err(error) = file.write_all(&left) {
            tracing::debug!(%error, "the next process of this gateway waits for a lease");
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Says why there is no vote, once.
    fn note(&mut self, problem: &str) {
        if self.problem.is_none() {
            tracing::error!("this gateway has no vote about regions: {problem}");
        }
        self.problem = Some(format!("this gateway has no vote: {problem}"));
    }
}

/// Reads what a process left, and removes it: it counts once.
fn take_left(file: &mut File) -> io::Result<Grants> {
    let mut left = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut left)?;
    file.set_len(0)?;
    file.rewind()?;
    Ok(serde_json::from_slice(&left).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_process_has_the_vote_and_the_next_goes_on_with_what_it_leaves_once() {
        let folder = tempfile::tempdir().unwrap();
        let vote = || Arc::new(Vote::new(StateDirectory::new(folder.path(), "state")));
        let (first, second) = (vote(), vote());
        assert_eq!(first.take().await, Some(Grants::new()));
        assert_eq!((second.take().await, second.held(), first.held()), (None, false, true));

        let left: Grants = [("shared".into(), "paris".into())].into();
        first.give_up(|| left.clone());
        assert_eq!((first.held(), first.take().await), (false, None));
        assert_eq!(second.take().await, Some(left));
        // One that is killed leaves nothing, and what was left before is gone.
        drop(second);
        assert_eq!(vote().take().await, Some(Grants::new()));
    }

    #[tokio::test]
    async fn without_a_folder_there_is_no_vote_and_the_reason_is_known() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("taken"), "a file").unwrap();
        let vote = Arc::new(Vote::new(StateDirectory::new(folder.path(), "taken")));
        assert_eq!((vote.take().await, vote.held()), (None, false));
        assert!(vote.problem().unwrap().contains("`state_directory`"), "{:?}", vote.problem());
    }
}
