//! The certificates of a folder, by name.

use super::folder::{self, PairFiles, Stamp};
use super::pair::{Pair, PairError};
use arc_swap::ArcSwap;
use fleetgate_core::host::{HostKey, HostPattern};
use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Time before its end from which a certificate is warned about.
const WARN_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Time between two warnings about the same certificate.
const WARN_AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// The certificates of a folder. Handshakes read it without a lock; a look at the folder replaces it whole.
#[derive(Debug)]
pub struct CertificateStore {
    folder: PathBuf,
    provider: Arc<CryptoProvider>,
    table: ArcSwap<Table>,
    entries: Mutex<BTreeMap<String, Entry>>,
}

/// What operators see of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Name of the pair: its file without ending, or its subfolder.
    pub name: String,
    /// Names that it serves.
    pub hosts: Vec<String>,
    /// When it ends; `None` when the pair never was good.
    pub not_after: Option<Timestamp>,
    /// What is wrong with its files now; the pair that was good before serves on.
    pub problem: Option<String>,
}

#[derive(Debug, Default)]
struct Entry {
    serves: Option<Arc<Pair>>,
    problem: Option<String>,
    /// Of the files that were read last.
    read: Option<Stamp>,
    /// When its end was last warned about.
    warned: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Table {
    exact: FxHashMap<Box<str>, Arc<CertifiedKey>>,
    suffixes: FxHashMap<Box<str>, Arc<CertifiedKey>>,
}

impl CertificateStore {
    /// Reads a folder for the first time.
    ///
    /// # Errors
    /// The folder cannot be read. A pair that cannot is named in [`facts`](Self::facts) and left out.
    pub fn open(folder: &Path, provider: Arc<CryptoProvider>) -> std::io::Result<Self> {
        folder::pairs(folder)?;
        let store = Self {
            folder: folder.to_owned(),
            provider,
            table: ArcSwap::default(),
            entries: Mutex::default(),
        };
        store.reload();
        Ok(store)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks at the folder again. Pairs that are good replace what was there; one that is broken keeps what it last
    /// was, and one that is gone goes.
    pub fn reload(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = match folder::pairs(&self.folder) {
            Ok(pairs) => pairs,
            Err(error) => {
                tracing::error!(folder = %self.folder.display(), %error, "cannot look for certificates; the old ones serve on");
                return;
            }
        };
        let before = entries.len();
        entries.retain(|name, _| pairs.contains_key(name));
        let mut changed = entries.len() != before;
        for (name, files) in pairs {
            let entry = entries.entry(name).or_default();
            let stamp = Some(files.stamp());
            if stamp == entry.read {
                continue;
            }
            entry.read = stamp;
            match Pair::read(&files, &self.provider) {
                Ok(pair) => {
                    *entry = Entry { serves: Some(Arc::new(pair)), read: stamp, ..Entry::default() };
                    changed = true;
                }
                Err(error) => entry.note(&error),
            }
        }
        warn_of_ends(&mut entries);
        if changed {
            self.table.store(Arc::new(Table::of(&entries)));
        }
    }

    /// Every pair, in the order of their names.
    #[must_use]
    pub fn facts(&self) -> Vec<CertificateFacts> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let facts = entries.iter().map(|(name, entry)| CertificateFacts {
            name: name.clone(),
            hosts: entry.serves.iter().flat_map(|pair| &pair.names).map(ToString::to_string).collect(),
            not_after: entry.serves.as_ref().map(|pair| pair.not_after),
            problem: entry.problem.clone(),
        });
        facts.collect()
    }

    /// The certificate that holds this very name or star.
    #[must_use]
    pub fn of(&self, pattern: &HostPattern) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let found = match pattern {
            HostPattern::Exact(host) => table.exact.get(host.as_str()),
            HostPattern::Suffix(suffix) => table.suffixes.get(suffix.as_str()),
        };
        found.map(Arc::clone)
    }

    /// Whether a handshake for a name finds a certificate here. Of a star: one for all names below it.
    #[must_use]
    pub fn holds(&self, pattern: &HostPattern) -> bool {
        match pattern {
            HostPattern::Exact(host) => self.find(host.as_str()).is_some(),
            HostPattern::Suffix(_) => self.of(pattern).is_some(),
        }
    }

    /// Whether text for a file of the folder, certificate and key, can serve a name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, file: &Path, text: &[u8], name: &HostPattern) -> Result<(), PairError> {
        let files = PairFiles { chain: file.to_owned(), key: file.to_owned() };
        let pair = Pair::parse(&files, text, text, &self.provider)?;
        if pair.names.contains(name) { Ok(()) } else { Err(PairError::NoNames(file.to_owned())) }
    }

    /// The certificate for a name: one that holds the name itself, else one that holds `*.` and what follows its first
    /// label.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let (key, _) = HostKey::parse(name.as_bytes()).ok()?;
        let table = self.table.load();
        let found = table.exact.get(key.as_str()).or_else(|| {
            let (_, suffix) = key.as_str().split_once('.')?;
            table.suffixes.get(suffix)
        });
        found.map(Arc::clone)
    }
}

impl Entry {
    fn note(&mut self, error: &PairError) {
        let problem = error.to_string();
        // A problem that stays is logged once.
        if self.problem.as_ref() != Some(&problem) {
            let serves_on = self.serves.is_some();
            tracing::error!(serves_on, "a certificate cannot be used: {problem}");
        }
        self.problem = Some(problem);
    }
}

impl Table {
    /// Where two pairs hold a name, the one that ends later serves it.
    fn of(entries: &BTreeMap<String, Entry>) -> Self {
        let mut pairs: Vec<&Arc<Pair>> = entries.values().filter_map(|entry| entry.serves.as_ref()).collect();
        pairs.sort_by_key(|pair| pair.not_after);
        let mut table = Self::default();
        for pair in pairs {
            for name in &pair.names {
                let (names, host) = match name {
                    HostPattern::Exact(host) => (&mut table.exact, host),
                    HostPattern::Suffix(suffix) => (&mut table.suffixes, suffix),
                };
                names.insert(host.as_str().into(), Arc::clone(&pair.key));
            }
        }
        table
    }
}

fn warn_of_ends(entries: &mut BTreeMap<String, Entry>) {
    let now = Timestamp::now();
    for (name, entry) in entries {
        let Some(pair) = &entry.serves else { continue };
        let lately = entry.warned.is_some_and(|warned| now.duration_since(warned) < WARN_AGAIN);
        if pair.not_after.duration_since(now) < WARN_BEFORE && !lately {
            entry.warned = Some(now);
            tracing::warn!(certificate = name, not_after = %pair.not_after, "a certificate ends soon, or has ended; renew it");
        }
    }
}
