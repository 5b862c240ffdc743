//! The journal of one process: a file laid out in advance, of which each frame takes its own place.
//!
//! Places are handed out by one atomic addition and written by one `pwrite`, from any thread and without a lock. Once that
//! call has returned, the frame outlives the process, however it ends: the bytes are the kernel's. As the space is there
//! before, a full disk is met when a journal is made, never in the middle of one.

use super::books::FORMAT;
use super::files::{CHECKPOINT, UsageError, checkpoint_through, journal_path};
use super::record::{Note, note_frame, synced_frame};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of a journal: some three hundred thousand requests.
const JOURNAL_BYTES: u64 = 16 * 1024 * 1024;
/// Numbers that are tried when another process takes one at the same moment.
const NUMBERS_TRIED: u64 = 100;

/// A file that this process writes to.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    file: File,
    end: AtomicU64,
    writers: AtomicU32,
    closed: AtomicBool,
    dirty: AtomicBool,
}

/// How writing a frame went.
#[derive(Debug)]
pub(super) enum Written {
    /// It outlives the process.
    Done,
    /// There is no place left.
    Full,
    /// The system refused.
    Failed(io::Error),
}

impl Journal {
    /// Makes the next journal of a folder.
    ///
    /// It gets its name when it is laid out and locked, so that nobody takes it for one that has ended.
    pub(super) fn create(folder: &Path, after: u64) -> Result<Self, UsageError> {
        let unnamed = folder.join(format!(".new-{}", std::process::id()));
        let failed = |source| UsageError::Io { path: unnamed.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&unnamed).map_err(failed)?;
        let named = Self::prepare(&file, folder, &unnamed, after);
        // Whatever has become of it, it is known by its number or not at all.
        std::fs::remove_file(&unnamed).map_err(failed)?;
        let (number, end) = named?;
        Ok(Self {
            number,
            path: journal_path(folder, number),
            file,
            end: AtomicU64::new(end),
            writers: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            dirty: AtomicBool::new(true),
        })
    }

    /// Lays a journal out and gives it a number that was never used.
    fn prepare(file: &File, folder: &Path, unnamed: &Path, after: u64) -> Result<(u64, u64), UsageError> {
        let failed = |source| UsageError::Io { path: unnamed.to_owned(), source };
        file.try_lock().map_err(|error| failed(error.into()))?;
        fallocate(file, FallocateFlags::empty(), 0, JOURNAL_BYTES).map_err(|error| failed(error.into()))?;
        let begin = note_frame(&Note::Begin { format: FORMAT, through: 0 });
        file.write_all_at(&begin, 0).map_err(failed)?;
        let mut number = after;
        for _ in 0..NUMBERS_TRIED {
            number = number.saturating_add(1);
            let path = journal_path(folder, number);
            match std::fs::hard_link(unnamed, &path) {
                // The number of a journal that was folded meanwhile: what is in a checkpoint is not read again.
                Ok(()) if checkpoint_through(&folder.join(CHECKPOINT))? >= number => {
                    std::fs::remove_file(&path).map_err(failed)?;
                }
                Ok(()) => return Ok((number, u64::try_from(begin.len()).unwrap_or(u64::MAX))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Writes a frame at a place of its own.
    pub(super) fn write(&self, frame: &[u8]) -> Written {
        self.writers.fetch_add(1, Ordering::SeqCst);
        let written = self.write_counted(frame);
        self.writers.fetch_sub(1, Ordering::SeqCst);
        written
    }

    fn write_counted(&self, frame: &[u8]) -> Written {
        let length = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        if self.closed.load(Ordering::SeqCst) {
            return Written::Full;
        }
        let at = self.end.fetch_add(length, Ordering::Relaxed);
        if at.checked_add(length).is_none_or(|end| end > JOURNAL_BYTES) {
            return Written::Full;
        }
        match self.file.write_all_at(frame, at) {
            Ok(()) => {
                self.dirty.store(true, Ordering::Release);
                Written::Done
            }
            Err(error) => Written::Failed(error),
        }
    }

    /// Ends it: when this returns, nobody writes to it any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        while self.writers.load(Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Brings to disk what was written: a loss of power takes no more than what comes after.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.file.sync_data()?;
            if let Written::Failed(error) = self.write(&synced_frame()) {
                return Err(error);
            }
            self.dirty.store(false, Ordering::Release);
        }
        Ok(())
    }
}
