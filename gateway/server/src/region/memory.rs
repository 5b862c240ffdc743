//! What is remembered of pools over restarts: whose history writes are part of, and what operators decided.

use crate::state_directory::{StateDirectory, replace_file};
use fleetgate_core::health::Instance;
use fleetgate_core::region::Led;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

const FOLDER: &str = "regions";
const FILE: &str = "pools.json";

/// What is remembered of one pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// Who took the last writes: system identifier, server, timeline.
    pub led: Option<(u64, u64, u32)>,
    /// Region that an operator pinned, and what was said about it.
    pub pin: Option<Pin>,
    /// Backends that an operator takes out, by the address of their HTTP port.
    #[serde(default)]
    pub draining: BTreeMap<String, Draining>,
}

/// A backend that an operator takes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// Who.
    #[serde(default)]
    pub author: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: jiff::Timestamp,
}

/// A region that an operator pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Region.
    pub region: String,
    /// Who.
    #[serde(default)]
    pub author: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: jiff::Timestamp,
    /// When it ends by itself; `None`: when an operator says so.
    #[serde(default)]
    pub expires: Option<jiff::Timestamp>,
}

impl Pin {
    /// Whether its time is over.
    pub(super) fn is_over(&self, now: jiff::Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Remembered {
    pub(super) fn led(&self) -> Option<Led> {
        let (system, server, timeline) = self.led?;
        Some(Led { instance: Instance { system, server }, timeline })
    }

    /// Takes a backend out, or back in.
    pub(super) fn drain(&mut self, backend: &str, draining: Option<Draining>) {
        match draining {
            Some(draining) => self.draining.insert(backend.to_owned(), draining),
            None => self.draining.remove(backend),
        };
    }

    pub(super) const fn lead(&mut self, led: Led) {
        self.led = Some((led.instance.system, led.instance.server, led.timeline));
    }
}

/// Remembers pools by name, in a file of the state directory.
#[derive(Debug)]
pub struct Memory {
    state: StateDirectory,
    pools: Mutex<BTreeMap<String, Remembered>>,
    /// Held for a write to the disk: what is known can be read meanwhile.
    file: Mutex<()>,
}

impl Memory {
    /// Reads what was remembered. What cannot be read is named and counts as forgotten.
    #[must_use]
    pub fn open(state: StateDirectory) -> Self {
        let pools = match std::fs::read(state.path(FOLDER).join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                let file = state.path(FOLDER).join(FILE);
                tracing::error!(
                    file = %file.display(),
                    %error,
                    "cannot read which databases took the last writes: until each pool has served once, two that take writes are fenced"
                );
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self { state, pools: Mutex::new(pools), file: Mutex::default() }
    }

    pub(super) fn of(&self, pool: &str) -> Remembered {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).get(pool).cloned().unwrap_or_default()
    }

    /// Pools whose pins are over.
    pub(super) fn with_expired_pins(&self, now: jiff::Timestamp) -> Vec<String> {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let expired =
            pools.iter().filter(|(_, known)| known.pin.as_ref().is_some_and(|pin| pin.is_over(now)));
        expired.map(|(pool, _)| pool.clone()).collect()
    }

    /// Remembers a pool, on disk when it returns: to be called where waiting for a disk holds nobody up. A disk that is
    /// full costs the memory, not the service.
    pub(super) fn remember(&self, pool: &str, change: impl FnOnce(&mut Remembered)) {
        let _in_order = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            let remembered = pools.entry(pool.to_owned()).or_default();
            let before = remembered.clone();
            change(remembered);
            (*remembered != before).then(|| pools.clone())
        };
        if let Some(Err(error)) = changed.map(|pools| self.write(&pools)) {
            tracing::error!(
                error,
                "cannot keep which database took the last writes: a restart could not tell an old primary from it"
            );
        }
    }

    /// A disk that takes nothing until what is returned is dropped.
    #[cfg(test)]
    pub(super) fn stall(&self) -> std::sync::MutexGuard<'_, ()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, pools: &BTreeMap<String, Remembered>) -> Result<(), String> {
        let folder: PathBuf = self.state.subfolder(FOLDER).map_err(|error| error.to_string())?;
        let text = serde_json::to_vec_pretty(pools).map_err(|error| error.to_string())?;
        replace_file(&folder.join(FILE), &text).map_err(|error| error.to_string())
    }
}
