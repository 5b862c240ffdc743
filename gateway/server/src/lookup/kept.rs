//! The last good answers about names, kept for a process that starts while DNS is away.

use crate::state_directory::{StateDirectory, replace_file};
use fleetgate_core::host::HostName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

const FOLDER: &str = "names";
const FILE: &str = "addresses.json";
/// Held by the process that writes: two of them serve during an upgrade.
const LOCK: &str = "lock";
/// For how long an answer is good for a process that starts: later the address may be somebody else's.
const KEPT_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);
/// An answer that is still the same is noted again after this time.
const NOTED_AGAIN_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    addresses: Vec<IpAddr>,
    /// When it was last got.
    at: jiff::Timestamp,
}

/// Answers by name, in a file of the state directory.
#[derive(Debug)]
pub(super) struct KeptAnswers {
    state: StateDirectory,
    answers: Mutex<BTreeMap<String, Answer>>,
}

impl KeptAnswers {
    /// Reads what was kept. What cannot be read is named and counts as forgotten.
    pub(super) fn open(state: StateDirectory) -> Self {
        let file = state.path(FOLDER).join(FILE);
        let answers = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(
                    file = %file.display(),
                    %error,
                    "cannot read where names of backends led; without DNS they lead nowhere"
                );
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self { state, answers: Mutex::new(answers) }
    }

    /// The addresses that a name last led to, and when, if that is not too long ago.
    pub(super) fn of(&self, name: &HostName, now: jiff::Timestamp) -> Option<(Vec<IpAddr>, jiff::Timestamp)> {
        let answers = self.lock();
        let Answer { addresses, at } = answers.get(name.as_str())?;
        (now.duration_since(*at) <= KEPT_FOR).then(|| (addresses.clone(), *at))
    }

    /// Whether an answer is one to keep.
    pub(super) fn is_news(&self, name: &HostName, addresses: &[IpAddr], now: jiff::Timestamp) -> bool {
        let answers = self.lock();
        answers.get(name.as_str()).is_none_or(|known| {
            known.addresses != addresses || now.duration_since(known.at) >= NOTED_AGAIN_AFTER
        })
    }

    /// Keeps an answer, and forgets names that are not wanted any more. To be called where waiting for a disk holds nobody
    /// up. A disk that is full costs the memory, not the service.
    pub(super) fn keep(
        &self,
        name: &HostName,
        addresses: &[IpAddr],
        now: jiff::Timestamp,
        wanted: impl Fn(&str) -> bool,
    ) {
        let mut answers = self.lock();
        answers.insert(name.as_str().to_owned(), Answer { addresses: addresses.to_vec(), at: now });
        answers.retain(|name, _| wanted(name));
        let kept = answers.clone();
        drop(answers);
        if let Err(error) = self.write(&kept) {
            tracing::warn!(
                error,
                "cannot keep where names of backends lead: a process that starts without DNS has no servers of them"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, answers: &BTreeMap<String, Answer>) -> Result<(), String> {
        let folder = self.state.subfolder(FOLDER).map_err(|error| error.to_string())?;
        let text = serde_json::to_vec_pretty(answers).map_err(|error| error.to_string())?;
        let written = || -> io::Result<()> {
            let lock = File::create(folder.join(LOCK))?;
            lock.lock()?;
            replace_file(&folder.join(FILE), &text)
        };
        written().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> jiff::Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_answer_is_known_to_the_next_process_for_a_week_and_forgotten_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let open = || KeptAnswers::open(StateDirectory::new(folder.path(), "state"));
        let (odoo, gone) = (HostName::parse("odoo.test").unwrap(), HostName::parse("gone.test").unwrap());
        let addresses: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap()];
        let kept = open();
        let (now, later) = (at("2026-11-01T00:00:00Z"), at("2026-11-01T00:59:00Z"));
        kept.keep(&gone, &addresses, now, |_| true);
        kept.keep(&odoo, &addresses, now, |name| name == "odoo.test");
        assert!(!kept.is_news(&odoo, &addresses, later));
        assert!(kept.is_news(&odoo, &addresses, at("2026-11-01T01:00:00Z")));
        assert!(kept.is_news(&odoo, &[], later));
        let next = open();
        assert_eq!(next.of(&odoo, at("2026-11-08T00:00:00Z")), Some((addresses, now)));
        assert_eq!(next.of(&odoo, at("2026-11-08T00:00:01Z")), None);
        assert_eq!(next.of(&gone, now), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path(), "state");
        std::fs::write(state.subfolder(FOLDER).unwrap().join(FILE), "{ torn").unwrap();
        let odoo = HostName::parse("odoo.test").unwrap();
        assert_eq!(KeptAnswers::open(state).of(&odoo, at("2026-11-01T00:00:00Z")), None);
    }
}
