//! The body of a request, whole before a backend is asked.

use super::file::{SpoolError, SpoolFile};
use super::store::{DiskUse, SpoolStore};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// A body that is written once and can be read as often as backends are asked.
#[derive(Debug, Default)]
pub struct BodySpool {
    /// The start of the body; what comes after it is in the file.
    memory: Bytes,
    file: Option<SpoolFile>,
}

impl BodySpool {
    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        let memory = u64::try_from(self.memory.len()).unwrap_or(u64::MAX);
        memory.saturating_add(self.file.as_ref().map_or(0, SpoolFile::len))
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
        tenant: &Arc<DiskUse>,
    ) -> Result<(), SpoolError> {
        let fits = self.memory.len().saturating_add(chunk.len()) <= store.memory_per_body();
        let file = match &mut self.file {
            None if self.memory.is_empty() && fits => {
                self.memory = chunk;
                return Ok(());
            }
            None if fits => {
                let start = std::mem::take(&mut self.memory);
                let mut memory = start.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
                memory.extend_from_slice(&chunk);
                self.memory = memory.freeze();
                return Ok(());
            }
            None => self.file.insert(store.create(tenant).await?),
            Some(file) => file,
        };
        file.append(chunk).await
    }

    /// Reads from an offset; empty at the end.
    ///
    /// # Errors
    /// The file system failed.
    pub async fn read(&self, at: u64) -> Result<Bytes, SpoolError> {
        let in_memory = self.memory.len();
        match usize::try_from(at).ok().filter(|at| *at < in_memory) {
            Some(at) => Ok(self.memory.slice(at..)),
            None => match &self.file {
                Some(file) => {
                    let before = u64::try_from(in_memory).unwrap_or(u64::MAX);
                    file.read(at.saturating_sub(before)).await
                }
                None => Ok(Bytes::new()),
            },
        }
    }
}
