//! What a trial counts, and the leaks it found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::tenants::{Sessions, Tenant};
use super::visit::Visit;

/// Leaks that are told in full.
const SHOWN_MAX: usize = 5;

/// Shared by every client of a trial.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) seed: u64,
    pub(super) sessions: Sessions,
    sent: AtomicU64,
    over_http2: AtomicU64,
    received: AtomicU64,
    answered: [AtomicU64; 2],
    refused: AtomicU64,
    silent: AtomicU64,
    leaks: AtomicU64,
    shown: Mutex<Vec<String>>,
}

/// What came of a trial.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Decides every choice that was made.
    pub seed: u64,
    /// Requests that were sent, whole or not.
    pub sent: u64,
    /// Of these, over HTTP/2.
    pub over_http2: u64,
    /// Requests that the servers received.
    pub received: u64,
    /// Answers of the servers, to each of the two tenants.
    pub answered: [u64; 2],
    /// Answers of the gateway itself.
    pub refused: u64,
    /// Times that nothing came for seconds.
    pub silent: u64,
    /// Requests or answers that met the wrong tenant.
    pub leaks: u64,
    /// The first leaks in full, with the bytes to send again, and what else went wrong.
    pub shown: Vec<String>,
}

impl Ledger {
    pub(super) fn new(seed: u64, sessions: Sessions) -> Self {
        Self { seed, sessions, ..Self::default() }
    }

    pub(super) fn sent(&self, requests: usize, http2: bool) {
        let requests = u64::try_from(requests).unwrap_or_default();
        self.sent.fetch_add(requests, Ordering::Relaxed);
        if http2 {
            self.over_http2.fetch_add(requests, Ordering::Relaxed);
        }
    }

    pub(super) fn sent_so_far(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, tenant: Tenant) {
        let [acme, globex] = &self.answered;
        let counter = match tenant {
            Tenant::Acme => acme,
            Tenant::Globex => globex,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn silent(&self) {
        self.silent.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a leak of a visit.
    pub(super) fn leak(&self, visit: &Visit, what: &str) {
        self.leaks.fetch_add(1, Ordering::Relaxed);
        self.show(|| format!("LEAK with seed {}: {what}\n{}", self.seed, visit.text()));
    }

    /// Notes what kept the trial from being made.
    pub(super) fn trouble(&self, what: &str) {
        self.show(|| format!("trouble: {what}"));
    }

    fn show(&self, text: impl FnOnce() -> String) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() < SHOWN_MAX {
            shown.push(text());
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [acme, globex] = &self.answered;
        Outcome {
            seed: self.seed,
            sent: read(&self.sent),
            over_http2: read(&self.over_http2),
            received: read(&self.received),
            answered: [read(acme), read(globex)],
            refused: read(&self.refused),
            silent: read(&self.silent),
            leaks: read(&self.leaks),
            shown: self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
