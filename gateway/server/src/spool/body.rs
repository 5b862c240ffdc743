//! The body of a request, whole before a backend is asked.

use super::file::{SpoolError, SpoolFile};
use super::store::{BytesHeld, MemoryShare, SpoolStore};
use bytes::{Bytes, BytesMut};
use std::ops::Range;
use std::sync::Arc;

/// Bytes that are read from the file at once at most. A backend takes them at once.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Bytes up to which pieces are put together. A body of many small ones would cost more than it holds.
const BLOCK_BYTES: usize = 16 * 1024;

/// A body that is written once and can be read as often as backends are asked.
#[derive(Debug, Default)]
pub struct BodySpool {
    /// The start of the body; what comes after it is in the file.
    blocks: Vec<Bytes>,
    in_memory: u64,
    share: MemoryShare,
    file: Option<SpoolFile>,
    edit: Option<Edit>,
}

/// Bytes of a whole body that read as others.
#[derive(Debug)]
struct Edit {
    /// Which bytes of those that came.
    range: Range<u64>,
    bytes: Bytes,
}

impl Edit {
    /// Where the other bytes end.
    fn end(&self) -> u64 {
        self.range.start.saturating_add(length(&self.bytes))
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl BodySpool {
    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        let came = self.in_memory.saturating_add(self.file.as_ref().map_or(0, SpoolFile::len));
        match &self.edit {
            Some(edit) => came.saturating_sub(edit.range.end).saturating_add(edit.end()),
            None => came,
        }
    }

    /// Has a whole body read as if other bytes stood in place of some. Nothing may be added after that.
    pub fn replace(&mut self, range: Range<u64>, bytes: Box<[u8]>) {
        self.edit = Some(Edit { range, bytes: bytes.into() });
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// There is no space left.
    pub async fn push(
        &mut self,
        chunk: Bytes,
        store: &SpoolStore,
        tenant: &Arc<BytesHeld>,
    ) -> Result<(), SpoolError> {
        let in_memory = self.in_memory.saturating_add(length(&chunk));
        let file = match &mut self.file {
            None if in_memory <= store.bounds().memory_per_body && self.share.take(chunk.len(), store) => {
                self.in_memory = in_memory;
                self.add_block(chunk);
                return Ok(());
            }
            None => self.file.insert(store.create(tenant).await?),
            Some(file) => file,
        };
        file.append(chunk).await
    }

    /// Small pieces share a block, and no buffer grows much beyond what is in it.
    fn add_block(&mut self, piece: Bytes) {
        match self.blocks.last_mut() {
            Some(last) if last.len().saturating_add(piece.len()) <= BLOCK_BYTES => {
                let start = std::mem::take(last);
                let mut block = start.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
                block.extend_from_slice(&piece);
                *last = block.freeze();
            }
            Some(_) | None => self.blocks.push(piece),
        }
    }

    /// Reads from an offset; empty at the end.
    ///
    /// # Errors
    /// The file system failed.
    pub async fn read(&self, at: u64) -> Result<Bytes, SpoolError> {
        let Some(edit) = &self.edit else { return self.read_came(at).await };
        if let Some(before) = edit.range.start.checked_sub(at).filter(|before| *before > 0) {
            let mut chunk = self.read_came(at).await?;
            chunk.truncate(usize::try_from(before).unwrap_or(usize::MAX));
            return Ok(chunk);
        }
        match at.checked_sub(edit.end()) {
            Some(after) => self.read_came(edit.range.end.saturating_add(after)).await,
            None => {
                let skipped = usize::try_from(at.saturating_sub(edit.range.start)).unwrap_or(usize::MAX);
                Ok(edit.bytes.slice(skipped.min(edit.bytes.len())..))
            }
        }
    }

    /// Reads what came.
    async fn read_came(&self, at: u64) -> Result<Bytes, SpoolError> {
        let Some(at) = at.checked_sub(self.in_memory) else { return Ok(self.read_block(at)) };
        match &self.file {
            Some(file) => file.read(at, READ_BYTES_MAX).await,
            None => Ok(Bytes::new()),
        }
    }

    fn read_block(&self, mut at: u64) -> Bytes {
        for block in &self.blocks {
            match at.checked_sub(length(block)) {
                Some(after) => at = after,
                None => return block.slice(usize::try_from(at).unwrap_or(block.len()).min(block.len())..),
            }
        }
        Bytes::new()
    }
}
