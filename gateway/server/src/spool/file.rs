//! A file without a name.

use super::store::Allowance;
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Why something could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The tenant's share, the gateway's, or the file system is used up.
    #[error("no space is left for bodies; see `spool` in the config, and the file system below it")]
    Full,
    /// The file system failed.
    #[error("bodies cannot be kept on disk")]
    Io(#[from] io::Error),
}

/// A file that only this process can reach and that is gone when it is dropped. Written at its end, read anywhere.
#[derive(Debug)]
pub(super) struct SpoolFile {
    file: Arc<File>,
    len: u64,
    allowance: Allowance,
}

impl SpoolFile {
    pub(super) async fn create(directory: &Path, allowance: Allowance) -> Result<Self, SpoolError> {
        let directory = directory.to_owned();
        // O_TMPFILE where the file system knows it, else unlinked at once; mode 0600.
        let file = off_thread(move || tempfile::tempfile_in(directory)).await?;
        Ok(Self { file: Arc::new(file), len: 0, allowance })
    }

    /// Bytes in the file.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Adds bytes at the end, all or none of them.
    pub(super) async fn append(&mut self, data: Bytes) -> Result<(), SpoolError> {
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        if !self.allowance.take(bytes) {
            return Err(SpoolError::Full);
        }
        let (file, at) = (Arc::clone(&self.file), self.len);
        // The bytes come back to be freed where they were made, see `read`.
        let written = off_thread(move || file.write_all_at(&data, at).map(|()| data)).await?;
        drop(written);
        self.len = self.len.saturating_add(bytes);
        Ok(())
    }

    /// Reads so many bytes at most from an offset; empty at the end.
    pub(super) async fn read(&self, at: u64, bytes_max: usize) -> Result<Bytes, SpoolError> {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let bytes = left.min(bytes_max);
        let file = Arc::clone(&self.file);
        // Made here, not there: what one thread takes and another frees stays with the first one's share of the heap, and
        // there are many threads for disks. A body of 100 MiB would leave 20 MiB behind.
        let mut buffer = vec![0; bytes];
        let read = off_thread(move || file.read_exact_at(&mut buffer, at).map(|()| buffer));
        Ok(read.await?.into())
    }

    /// Empties the file and gives its space back.
    pub(super) async fn clear(&mut self) -> Result<(), SpoolError> {
        let file = Arc::clone(&self.file);
        off_thread(move || file.set_len(0)).await?;
        self.len = 0;
        self.allowance.give_back();
        Ok(())
    }
}

/// Disks can be slow, and the threads that move bytes must not wait for them.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SpoolError> {
    let done = spawn_blocking(work).await.map_err(io::Error::other)?;
    done.map_err(|error| {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let full = matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
        if full { SpoolError::Full } else { SpoolError::Io(error) }
    })
}
