//! What is known about each name that needs a certificate.

use fleetgate_core::acme::{Failure, Failures, Lifetime, Moment, Seed, Wanted, Window, renewal};
use fleetgate_core::host::HostPattern;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most names that the status shows one by one.
const SHOWN_MAX: usize = 20;

/// Names and what became of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) names: BTreeMap<HostPattern, Entry>,
    pub(super) without_zone: Vec<HostPattern>,
    /// Certificates issued since the start.
    pub(super) issued: u64,
    /// Failures since the start, in the order of [`Failure::ALL`].
    pub(super) failed: [u64; Failure::ALL.len()],
}

/// One name.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) lifetime: Option<Lifetime>,
    pub(super) failures: Failures,
    /// What was said about the last failure.
    pub(super) message: String,
    /// Until when the budget is used up for it.
    pub(super) held_until: Moment,
    /// When the server wants its certificate to be replaced.
    pub(super) window: Option<Window>,
    /// When to ask the server again when that is.
    pub(super) ask_window_at: Moment,
}

impl Entry {
    /// When to order for the name.
    pub(super) fn due(&self, percent: u8, seed: Seed) -> Moment {
        let wanted =
            self.lifetime.map_or(Moment::default(), |life| renewal(life, self.window, percent, seed));
        wanted.max(self.failures.next_try(seed)).max(self.held_until)
    }
}

/// A number of a name's own.
pub(super) fn seed(name: &HostPattern) -> Seed {
    let hash = blake3::hash(name.to_string().as_bytes());
    Seed(hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

/// What operators see of ordering.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AcmeFacts {
    /// URL of the server's directory.
    pub directory: String,
    /// Names that need a certificate.
    pub names: usize,
    /// Those of them that have one.
    pub served: usize,
    /// Those that wait because the budget is used up.
    pub over_budget: usize,
    /// Names whose last order failed, at most 20; those without a certificate first.
    pub troubles: Vec<TroubleFacts>,
    /// Names whose last order failed, all of them.
    pub failing: usize,
    /// `*.suffix` hosts that cannot be ordered for, at most 20: no zone of theirs may be changed.
    pub without_zone: Vec<String>,
    /// Certificates issued since the start.
    pub issued: u64,
    /// Failures since the start, by reason.
    pub failed: BTreeMap<String, u64>,
}

/// A name whose last order failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TroubleFacts {
    /// Name.
    pub name: String,
    /// Whether a certificate that is older serves it.
    pub served: bool,
    /// Why, in one word.
    pub reason: String,
    /// Why, as it was said.
    pub message: String,
    /// What to do.
    pub advice: String,
    /// Failures for this reason in a row.
    pub failures: u32,
    /// When it is tried again.
    pub next_try: Timestamp,
}

impl Book {
    /// Takes over what is wanted now; what was known about a name stays known.
    pub(super) fn want(&mut self, wanted: Wanted) {
        let mut before = std::mem::take(&mut self.names);
        let known = |name: HostPattern| {
            let entry = before.remove(&name).unwrap_or_default();
            (name, entry)
        };
        self.names = wanted.names.into_iter().map(known).collect();
        self.without_zone = wanted.without_zone;
    }

    /// The name to order for first, and when: those that failed less often before others.
    pub(super) fn next(&self, percent: u8, now: Moment) -> Option<(&HostPattern, Moment)> {
        let due = self.names.iter().map(|(name, entry)| {
            let due = entry.due(percent, seed(name));
            (due.max(now), entry.failures.count(), due, name)
        });
        due.min().map(|(at, _, _, name)| (name, at))
    }

    /// A name whose renewal window is to be asked for.
    pub(super) fn next_window(&self, now: Moment) -> Option<&HostPattern> {
        let mut names = self.names.iter();
        names.find(|(_, entry)| entry.lifetime.is_some() && entry.ask_window_at <= now).map(|(name, _)| name)
    }

    pub(super) fn count(&mut self, failure: Failure) {
        let at = Failure::ALL.iter().position(|other| *other == failure);
        if let Some(count) = at.and_then(|at| self.failed.get_mut(at)) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn facts(&self, directory: &str, percent: u8, now: Moment) -> AcmeFacts {
        let mut troubles: Vec<TroubleFacts> = self
            .names
            .iter()
            .filter_map(|(name, entry)| {
                let (_, failure) = entry.failures.last()?;
                Some(TroubleFacts {
                    name: name.to_string(),
                    served: entry.lifetime.is_some_and(|life| life.not_after > now),
                    reason: failure.as_str().to_owned(),
                    message: entry.message.clone(),
                    advice: failure.remedy().to_owned(),
                    failures: entry.failures.count(),
                    next_try: Timestamp::from_second(entry.due(percent, seed(name)).0).unwrap_or_default(),
                })
            })
            .collect();
        let failing = troubles.len();
        troubles.sort_by_key(|trouble| trouble.served);
        troubles.truncate(SHOWN_MAX);
        let with =
            |test: fn(&Entry, Moment) -> bool| self.names.values().filter(|entry| test(entry, now)).count();
        let failed = Failure::ALL.iter().zip(self.failed);
        AcmeFacts {
            directory: directory.to_owned(),
            names: self.names.len(),
            served: with(|entry, now| entry.lifetime.is_some_and(|life| life.not_after > now)),
            over_budget: with(|entry, now| entry.held_until > now),
            troubles,
            failing,
            without_zone: self.without_zone.iter().take(SHOWN_MAX).map(ToString::to_string).collect(),
            issued: self.issued,
            failed: failed.map(|(failure, count)| (failure.as_str().to_owned(), count)).collect(),
        }
    }
}
