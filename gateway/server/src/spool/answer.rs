//! The body of an answer on its way to a client that may be slower than its backend.

use super::file::{SpoolError, SpoolFile};
use super::store::{BytesHeld, MemoryShare, SpoolStore};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that are read from the file at once at most.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Likewise while the bodies of all have used up the memory.
const READ_BYTES_SCARCE: usize = 4 * 1024;
/// Pieces kept in memory at most: a backend that sends single bytes must not cost a piece for each.
const PIECES_MAX: usize = 256;

/// First in, first out. Memory holds what is older than the file, and the tail what is newer.
#[derive(Debug, Default)]
pub struct AnswerSpool {
    memory: VecDeque<Bytes>,
    memory_bytes: usize,
    share: MemoryShare,
    /// Bytes that were taken out and are not yet with the client.
    leaving: usize,
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
    pub async fn push(&mut self, piece: Bytes, store: &SpoolStore, tenant: &Arc<BytesHeld>) {
        if piece.is_empty() {
            return;
        }
        let bytes = self.memory_bytes.saturating_add(piece.len());
        let per_body = usize::try_from(store.bounds().memory_per_body).unwrap_or(usize::MAX);
        let fits = bytes <= per_body && self.memory.len() < PIECES_MAX;
        let in_order = self.file_is_empty() && (fits || self.memory.is_empty());
        if in_order && self.share.take(piece.len(), store) {
            self.memory_bytes = bytes;
            self.memory.push_back(piece);
        } else if let Err(error) = self.append(piece.clone(), store, tenant).await {
            if let SpoolError::Io(error) = error {
                tracing::warn!(%error, "an answer cannot be kept on disk; its backend has to wait for the client");
            }
            self.share.hold(piece.len(), store);
            self.tail = Some(piece);
        }
    }

    /// Everything that was taken out is with the client.
    pub fn left(&mut self) {
        self.share.give_back(std::mem::take(&mut self.leaving));
    }

    /// Takes the oldest piece; it counts as kept until it has [`left`](Self::left). `None` when there is nothing more, or when
    /// memory is scarce and other pieces have to leave first.
    ///
    /// # Errors
    /// The file system failed.
    pub async fn pop(&mut self, store: &SpoolStore) -> Result<Option<Bytes>, SpoolError> {
        if let Some(piece) = self.memory.pop_front() {
            self.memory_bytes = self.memory_bytes.saturating_sub(piece.len());
            self.leaving = self.leaving.saturating_add(piece.len());
            return Ok(Some(piece));
        }
        let Some(file) = self.file.as_mut().filter(|file| file.len() > self.read) else {
            let tail = self.tail.take();
            self.leaving = self.leaving.saturating_add(tail.as_ref().map_or(0, Bytes::len));
            return Ok(tail);
        };
        let mut bytes = READ_BYTES_MAX;
        if !self.share.take(bytes, store) {
            if self.leaving > 0 {
                return Ok(None);
            }
            bytes = READ_BYTES_SCARCE;
            self.share.hold(bytes, store);
        }
        let piece = file.read(self.read, bytes).await?;
        self.share.give_back(bytes.saturating_sub(piece.len()));
        self.leaving = self.leaving.saturating_add(piece.len());
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
        tenant: &Arc<BytesHeld>,
    ) -> Result<(), SpoolError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(store.create(tenant).await?),
        };
        file.append(piece).await
    }
}
