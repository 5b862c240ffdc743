//! Messages that wait, kept for a process after this one.
//!
//! Each process has a file of its own and holds a lock on another one beside it: two serve during an upgrade. Whoever gets
//! the lock of a process knows that it has ended, and goes on with what it left.

use super::messages::{Message, WAITING_MAX};
use crate::state_directory::{StateDirectory, replace_file};
use std::collections::VecDeque;
use std::fs::{File, read_dir};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

const FOLDER: &str = "verdicts";
/// Ending of the file with messages.
const MESSAGES: &str = "json";
/// Ending of the file that is locked.
const LOCK: &str = "lock";

/// What waits.
#[derive(Debug)]
pub(super) struct Shelf {
    state: StateDirectory,
    messages: Mutex<VecDeque<Message>>,
    /// Held for a write to the disk. The place of this process, once it has something to keep.
    place: Mutex<Option<Place>>,
    added: Notify,
}

/// Files of this process.
#[derive(Debug)]
struct Place {
    messages: PathBuf,
    /// Locked until the process ends.
    _lock: File,
}

impl Shelf {
    pub(super) fn new(state: StateDirectory) -> Self {
        Self { state, messages: Mutex::default(), place: Mutex::default(), added: Notify::new() }
    }

    /// Puts messages behind the others, on disk when it returns. Whether there was room for all of them.
    pub(super) async fn add(self: &Arc<Self>, mut messages: Vec<Message>) -> bool {
        let room = WAITING_MAX.saturating_sub(self.lock().len());
        let all = messages.len() <= room;
        messages.truncate(room);
        self.lock().extend(messages);
        self.save().await;
        self.added.notify_one();
        all
    }

    /// Waits until a message was put there.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    /// The oldest message.
    pub(super) fn first(&self) -> Option<Message> {
        self.lock().front().cloned()
    }

    /// Takes a message away.
    pub(super) async fn done(self: &Arc<Self>, id: &str) {
        self.lock().retain(|message| message.id != id);
        self.save().await;
    }

    /// Goes on with what processes left that have ended.
    pub(super) async fn adopt(self: &Arc<Self>) {
        let shelf = Arc::clone(self);
        let adopted = move || {
            let left = left_behind(&shelf.state.path(FOLDER));
            if left.is_empty() {
                return;
            }
            {
                let mut messages = shelf.lock();
                messages.extend(left.iter().flat_map(|(_, messages)| messages.iter().cloned()));
                messages.make_contiguous().sort_by_key(|message| message.time);
                messages.truncate(WAITING_MAX);
            }
            shelf.write();
            // Only now: what is lost between is told twice at most, and its id says so.
            for (file, _) in left {
                for ending in [MESSAGES, LOCK] {
                    let _gone = std::fs::remove_file(file.with_extension(ending));
                }
            }
        };
        if tokio::task::spawn_blocking(adopted).await.is_err() {
            tracing::error!("messages about verdicts of a process before could not be read");
        }
    }

    async fn save(self: &Arc<Self>) {
        let shelf = Arc::clone(self);
        if tokio::task::spawn_blocking(move || shelf.write()).await.is_err() {
            tracing::error!("messages about verdicts could not be kept");
        }
    }

    /// A disk that is full costs the memory of messages, not their delivery.
    fn write(&self) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = self.lock().clone();
        let mut written = || -> Result<(), String> {
            let text = serde_json::to_vec(&messages).map_err(|error| error.to_string())?;
            if place.is_none() && !messages.is_empty() {
                let folder = self.state.subfolder(FOLDER).map_err(|error| error.to_string())?;
                *place = Some(Place::take(&folder).map_err(|error| error.to_string())?);
            }
            let Some(place) = place.as_ref() else { return Ok(()) };
            replace_file(&place.messages, &text).map_err(|error| error.to_string())
        };
        if let Err(error) = written() {
            tracing::warn!(
                error,
                "cannot keep messages about verdicts: a restart would forget those that wait"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn take(folder: &Path) -> io::Result<Self> {
        let messages = folder.join(uuid::Uuid::now_v7().simple().to_string()).with_extension(MESSAGES);
        // It is seen once it is locked, and not before.
        let hidden = messages.with_extension("new");
        let lock = File::create(&hidden)?;
        lock.lock()?;
        std::fs::rename(&hidden, messages.with_extension(LOCK))?;
        Ok(Self { messages, _lock: lock })
    }
}

/// Messages of processes that have ended, with their files.
fn left_behind(folder: &Path) -> Vec<(PathBuf, Vec<Message>)> {
    let Ok(entries) = read_dir(folder) else { return Vec::new() };
    let files = entries.flatten().map(|entry| entry.path());
    let locks = files.filter(|file| file.extension().is_some_and(|ending| ending == LOCK));
    let ended = locks.filter(|file| File::open(file).is_ok_and(|lock| lock.try_lock().is_ok()));
    let read = ended.map(|file| {
        let messages = std::fs::read(file.with_extension(MESSAGES)).ok();
        let messages = messages.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        (file, messages.unwrap_or_default())
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str) -> Message {
        let event = serde_json::json!({ "subject": "route", "to": "serve" });
        Message { id: id.to_owned(), time: jiff::Timestamp::now(), gateway: "here".to_owned(), event }
    }

    #[tokio::test]
    async fn messages_that_wait_are_known_to_the_next_process_in_order_and_those_that_arrived_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Arc::new(Shelf::new(StateDirectory::new(folder.path(), "state")));
        let (shelf, first, second) = (open(), message("1"), message("2"));
        assert!(shelf.add(vec![first, second.clone(), message("3")]).await);
        shelf.done("1").await;
        let next = open();
        next.adopt().await;
        assert_eq!(next.first(), None, "the process before still serves");
        drop(shelf);
        next.adopt().await;
        assert_eq!(next.first(), Some(second));
        next.done("2").await;
        drop(next);
        let last = open();
        last.adopt().await;
        assert_eq!(last.first().map(|message| message.id), Some("3".to_owned()));
    }

    #[tokio::test]
    async fn so_many_messages_wait_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Arc::new(Shelf::new(StateDirectory::new(folder.path(), "state")));
        assert!(shelf.add(vec![message("1")]).await);
        assert!(!shelf.add((0..WAITING_MAX).map(|at| message(&at.to_string())).collect()).await);
        assert_eq!(shelf.lock().len(), WAITING_MAX);
    }
}
