//! The body of an answer on its way to a client that may be slower than its backend.

use super::file::{SpoolError, SpoolFile};
use super::store::{DiskUse, SpoolStore};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// Pieces kept in memory at most: a backend that sends single bytes must not cost a piece for each.
const PIECES_MAX: usize = 256;

/// First in, first out. Memory holds what is older than the file, and the tail what is newer.
#[derive(Debug, Default)]
pub struct AnswerSpool {
    memory: VecDeque<Bytes>,
    memory_bytes: usize,
    file: Option<SpoolFile>,
    read: u64,
    /// A piece that the disk had no space for: nothing more is taken until it is gone.
    tail: Option<Bytes>,
}

impl AnswerSpool {
    /// Whether the next piece may come. If not, the backend has to wait for the client.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.tail.is_none()
    }

    /// Whether everything was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.file_is_empty() && self.tail.is_none()
    }

    /// Adds a piece. When there is no space on disk it is kept, and there is no room for more.
    pub async fn push(&mut self, piece: Bytes, store: &SpoolStore, tenant: &Arc<DiskUse>) {
        if piece.is_empty() {
            return;
        }
        let bytes = self.memory_bytes.saturating_add(piece.len());
        let fits = bytes <= store.memory_per_body() && self.memory.len() < PIECES_MAX;
        if self.file_is_empty() && (fits || self.memory.is_empty()) {
            self.memory_bytes = bytes;
            self.memory.push_back(piece);
        } else if let Err(error) = self.append(piece.clone(), store, tenant).await {
            if let SpoolError::Io(error) = error {
                tracing::warn!(%error, "an answer cannot be kept on disk; its backend has to wait for the client");
            }
            self.tail = Some(piece);
        }
    }

    /// Takes the oldest piece.
    ///
    /// # Errors
    /// The file system failed.
    pub async fn pop(&mut self) -> Result<Option<Bytes>, SpoolError> {
        if let Some(piece) = self.memory.pop_front() {
            self.memory_bytes = self.memory_bytes.saturating_sub(piece.len());
            return Ok(Some(piece));
        }
        let Some(file) = self.file.as_mut().filter(|file| file.len() > self.read) else {
            return Ok(self.tail.take());
        };
        let piece = file.read(self.read).await?;
        self.read = self.read.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if self.read == file.len() {
            // The client has caught up: back to memory.
            file.clear().await?;
            self.read = 0;
        }
        Ok(Some(piece))
    }

    fn file_is_empty(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.len() == self.read)
    }

    async fn append(
        &mut self,
        piece: Bytes,
        store: &SpoolStore,
        tenant: &Arc<DiskUse>,
    ) -> Result<(), SpoolError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(store.create(tenant).await?),
        };
        file.append(piece).await
    }
}
