//! How much may be kept, and where.

use super::file::{SpoolError, SpoolFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes on disk, counted for one owner.
#[derive(Debug, Default)]
pub struct DiskUse(AtomicU64);

impl DiskUse {
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

    fn give_back(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Where bodies are kept, and how much of them.
#[derive(Debug)]
pub struct SpoolStore {
    directory: PathBuf,
    memory_per_body: usize,
    disk_max: u64,
    disk_max_per_tenant: u64,
    used: Arc<DiskUse>,
}

impl SpoolStore {
    /// Prepares a store. `memory_per_body`, `disk_max` and `disk_max_per_tenant` are bytes.
    ///
    /// # Errors
    /// No file can be made in the directory.
    pub fn new(
        directory: &Path,
        memory_per_body: usize,
        disk_max: u64,
        disk_max_per_tenant: u64,
    ) -> std::io::Result<Self> {
        drop(tempfile::tempfile_in(directory)?);
        let used = Arc::new(DiskUse::default());
        Ok(Self { directory: directory.to_owned(), memory_per_body, disk_max, disk_max_per_tenant, used })
    }

    /// Bytes of one body that stay in memory.
    #[must_use]
    pub fn memory_per_body(&self) -> usize {
        self.memory_per_body
    }

    /// Bytes on disk now, of all tenants.
    #[must_use]
    pub fn used(&self) -> &Arc<DiskUse> {
        &self.used
    }

    /// Begins a file of a tenant.
    pub(super) async fn create(&self, tenant: &Arc<DiskUse>) -> Result<SpoolFile, SpoolError> {
        SpoolFile::create(&self.directory, Allowance::new(self, tenant)).await
    }
}

/// What one file has taken of both budgets; given back when dropped.
#[derive(Debug)]
pub(super) struct Allowance {
    all: Arc<DiskUse>,
    tenant: Arc<DiskUse>,
    all_max: u64,
    tenant_max: u64,
    taken: u64,
}

impl Allowance {
    fn new(store: &SpoolStore, tenant: &Arc<DiskUse>) -> Self {
        Self {
            all: Arc::clone(&store.used),
            tenant: Arc::clone(tenant),
            all_max: store.disk_max,
            tenant_max: store.disk_max_per_tenant,
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
