//! How much may be kept, and where.

use super::file::{SpoolError, SpoolFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are held, counted for one owner.
#[derive(Debug, Default)]
pub struct BytesHeld(AtomicU64);

impl BytesHeld {
    /// Bytes now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts more bytes, unless they would be more than `max`.
    fn take(&self, bytes: u64, max: u64) -> bool {
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= max);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Counts more bytes, however many there are.
    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// How much may be kept, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct SpoolBounds {
    /// In memory, of one body.
    pub memory_per_body: u64,
    /// In memory, of all bodies. Each may hold [`BODY_BYTES_MIN`] nevertheless.
    pub memory_max: u64,
    /// On disk, of all bodies.
    pub disk_max: u64,
    /// On disk, of the bodies of one tenant entry.
    pub disk_max_per_tenant: u64,
}

/// Bytes of memory that a body may hold when all others have used them up: a call by a program, or a piece of an answer. A
/// connection costs more than that by itself.
pub const BODY_BYTES_MIN: u64 = 4 * 1024;

/// Where bodies are kept, and how much of them.
#[derive(Debug)]
pub struct SpoolStore {
    directory: PathBuf,
    bounds: SpoolBounds,
    disk: Arc<BytesHeld>,
    memory: Arc<BytesHeld>,
    memory_refusals: AtomicU64,
}

impl SpoolStore {
    /// Prepares a store.
    ///
    /// # Errors
    /// No file can be made in the directory.
    pub fn new(directory: &Path, bounds: SpoolBounds) -> std::io::Result<Self> {
        drop(tempfile::tempfile_in(directory)?);
        Ok(Self {
            directory: directory.to_owned(),
            bounds,
            disk: Arc::default(),
            memory: Arc::default(),
            memory_refusals: AtomicU64::new(0),
        })
    }

    /// How much may be kept.
    #[must_use]
    pub const fn bounds(&self) -> &SpoolBounds {
        &self.bounds
    }

    /// Bytes on disk now, of all tenants.
    #[must_use]
    pub fn on_disk(&self) -> u64 {
        self.disk.bytes()
    }

    /// Bytes in memory now, of all bodies.
    #[must_use]
    pub fn in_memory(&self) -> u64 {
        self.memory.bytes()
    }

    /// Pieces of bodies that went to disk because those in memory had used it up.
    #[must_use]
    pub fn memory_refusals(&self) -> u64 {
        self.memory_refusals.load(Ordering::Relaxed)
    }

    /// Begins a file of a tenant.
    pub(super) async fn create(&self, tenant: &Arc<BytesHeld>) -> Result<SpoolFile, SpoolError> {
        SpoolFile::create(&self.directory, Allowance::new(self, tenant)).await
    }
}

/// What one body holds of the memory of all; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct MemoryShare {
    all: Option<Arc<BytesHeld>>,
    held: u64,
}

impl MemoryShare {
    /// Takes more, all or nothing: unless the body, or all bodies together, would then hold more than they may.
    pub(super) fn take(&mut self, bytes: usize, store: &SpoolStore) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let held = self.held.saturating_add(bytes);
        if held > BODY_BYTES_MIN && !self.all(store).take(bytes, store.bounds.memory_max) {
            store.memory_refusals.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        if held <= BODY_BYTES_MIN {
            self.all(store).add(bytes);
        }
        self.held = held;
        true
    }

    /// Takes more, whatever others hold.
    pub(super) fn hold(&mut self, bytes: usize, store: &SpoolStore) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.all(store).add(bytes);
        self.held = self.held.saturating_add(bytes);
    }

    /// Gives some of it back.
    pub(super) fn give_back(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).min(self.held);
        self.held = self.held.saturating_sub(bytes);
        if let Some(all) = &self.all {
            all.give_back(bytes);
        }
    }

    fn all(&mut self, store: &SpoolStore) -> &BytesHeld {
        self.all.get_or_insert_with(|| Arc::clone(&store.memory))
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.give_back(usize::MAX);
    }
}

/// What one file has taken of both budgets; given back when dropped.
#[derive(Debug)]
pub(super) struct Allowance {
    all: Arc<BytesHeld>,
    tenant: Arc<BytesHeld>,
    all_max: u64,
    tenant_max: u64,
    taken: u64,
}

impl Allowance {
    fn new(store: &SpoolStore, tenant: &Arc<BytesHeld>) -> Self {
        Self {
            all: Arc::clone(&store.disk),
            tenant: Arc::clone(tenant),
            all_max: store.bounds.disk_max,
            tenant_max: store.bounds.disk_max_per_tenant,
            taken: 0,
        }
    }

    /// Takes more, all or nothing.
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        if !self.tenant.take(bytes, self.tenant_max) {
            return false;
        }
        if !self.all.take(bytes, self.all_max) {
            self.tenant.give_back(bytes);
            return false;
        }
        self.taken = self.taken.saturating_add(bytes);
        true
    }

    /// Gives everything back.
    pub(super) fn give_back(&mut self) {
        self.all.give_back(self.taken);
        self.tenant.give_back(self.taken);
        self.taken = 0;
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.give_back();
    }
}
