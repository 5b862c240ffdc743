//! What is kept between orders: the account, its certificates, and what was ordered lately.
//!
//! Each server of ACME has a folder of its own, so that trials at one leave nothing to another. Nodes that share the
//! folder order one after the other, by a lock on a file; a node that dies gives it back.

use crate::state_directory::{StateDirectory, StateDirectoryError, replace_file};
use fleetgate_core::acme::{Ledger, Moment, Ordered, Unwanted};
use fleetgate_core::host::HostPattern;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

const ACCOUNT: &str = "account.json";
const LEDGER: &str = "orders.json";
const UNWANTED: &str = "unwanted.json";
const LOCK: &str = "lock";
/// What the file of a star's certificate begins with. No host holds a `_` alone in its first label.
const STAR: &str = "_.";
const ENDING: &str = ".pem";

/// The folder of one server of ACME.
#[derive(Debug)]
pub(super) struct Vault {
    folder: PathBuf,
    certificates: PathBuf,
}

/// The right to order. Given back when it is dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

/// A line of the ledger's file.
#[derive(Serialize, Deserialize)]
struct Line {
    at: i64,
    domain: Box<str>,
    renewal: bool,
}

impl Vault {
    /// Makes what is missing of the folder.
    pub(super) fn open(state: &StateDirectory, directory: &str) -> Result<Self, StateDirectoryError> {
        let server = directory.trim_start_matches("https://").split('/').next().unwrap_or_default();
        let server: String = server.chars().map(|letter| if letter == ':' { '_' } else { letter }).collect();
        let mark = blake3::hash(directory.as_bytes()).to_hex();
        let name = format!("acme/{server}-{}", mark.get(..8).unwrap_or_default());
        let folder = state.subfolder(&name)?;
        let certificates = state.subfolder(&format!("{name}/certificates"))?;
        Ok(Self { folder, certificates })
    }

    /// Where certificates are.
    pub(super) fn certificates(&self) -> &Path {
        &self.certificates
    }

    /// The file of a name's certificate and key.
    pub(super) fn file_of(&self, name: &HostPattern) -> PathBuf {
        self.certificates.join(match name {
            HostPattern::Exact(host) => format!("{host}{ENDING}"),
            HostPattern::Suffix(suffix) => format!("{STAR}{suffix}{ENDING}"),
        })
    }

    /// Names that certificates are kept for. Files that this process would not write are nobody's.
    pub(super) fn names(&self) -> io::Result<Vec<HostPattern>> {
        let mut names = Vec::new();
        for file in fs::read_dir(&self.certificates)? {
            let file = file?.file_name();
            let Some(stem) = file.to_str().and_then(|file| file.strip_suffix(ENDING)) else { continue };
            let name =
                stem.strip_prefix(STAR).map_or_else(|| stem.to_owned(), |suffix| format!("*.{suffix}"));
            names.extend(HostPattern::parse(&name).ok());
        }
        Ok(names)
    }

    /// Gives a name's certificate up.
    pub(super) fn remove_certificate(&self, name: &HostPattern) -> io::Result<()> {
        fs::remove_file(self.file_of(name))
    }

    /// Names whose certificates nobody wants, as noted by whoever shares the folder. What cannot be read is noted anew.
    pub(super) fn unwanted(&self) -> Unwanted {
        let text = fs::read(self.folder.join(UNWANTED)).unwrap_or_default();
        let since: BTreeMap<Box<str>, i64> = serde_json::from_slice(&text).unwrap_or_default();
        let names = since.into_iter();
        Unwanted::new(
            names.filter_map(|(name, since)| Some((HostPattern::parse(&name).ok()?, Moment(since)))),
        )
    }

    /// Notes names whose certificates nobody wants.
    pub(super) fn keep_unwanted(&self, unwanted: &Unwanted) -> io::Result<()> {
        let since: BTreeMap<String, i64> =
            unwanted.iter().map(|(name, since)| (name.to_string(), since.0)).collect();
        replace_file(&self.folder.join(UNWANTED), &serde_json::to_vec(&since)?)
    }

    /// Keeps a certificate with its key, whole or not at all.
    pub(super) fn keep_certificate(&self, name: &HostPattern, pem: &str) -> io::Result<()> {
        replace_file(&self.file_of(name), pem.as_bytes())
    }

    /// Credentials of the account, if there is one.
    pub(super) fn account(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.folder.join(ACCOUNT)) {
            Ok(credentials) => Ok(Some(credentials)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps credentials.
    pub(super) fn keep_account(&self, credentials: &[u8]) -> io::Result<()> {
        replace_file(&self.folder.join(ACCOUNT), credentials)
    }

    /// Lays the account aside, because the server no longer knows it.
    pub(super) fn lay_account_aside(&self) -> io::Result<()> {
        fs::rename(self.folder.join(ACCOUNT), self.folder.join("account.old.json"))
    }

    /// What was ordered lately, by whoever shares the folder.
    pub(super) fn ledger(&self) -> Ledger {
        let text = match fs::read(self.folder.join(LEDGER)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ledger::default(),
            Err(error) => {
                tracing::warn!(%error, "cannot read what was ordered lately; the budget begins anew");
                return Ledger::default();
            }
        };
        let lines: Vec<Line> = serde_json::from_slice(&text).unwrap_or_default();
        let orders = lines.into_iter();
        let order = |line: Line| Ordered { at: Moment(line.at), domain: line.domain, renewal: line.renewal };
        Ledger::new(orders.map(order).collect())
    }

    /// Keeps what was ordered lately.
    pub(super) fn keep_ledger(&self, ledger: &Ledger) -> io::Result<()> {
        let line =
            |order: &Ordered| Line { at: order.at.0, domain: order.domain.clone(), renewal: order.renewal };
        let lines: Vec<Line> = ledger.iter().map(line).collect();
        replace_file(&self.folder.join(LEDGER), &serde_json::to_vec(&lines)?)
    }

    /// Takes the right to order; `None` while another process has it.
    pub(super) fn lock(&self) -> io::Result<Option<Lock>> {
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(self.folder.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(folder: &Path, directory: &str) -> Vault {
        Vault::open(&StateDirectory::new(folder, "state"), directory).unwrap()
    }

    #[test]
    fn one_orders_at_a_time_and_servers_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let (one, same) =
            (vault(folder.path(), "https://a.test/dir"), vault(folder.path(), "https://a.test/dir"));
        let other = vault(folder.path(), "https://a.test/other");
        let lock = one.lock().unwrap();
        assert!(lock.is_some() && same.lock().unwrap().is_none() && other.lock().unwrap().is_some());
        drop(lock);
        assert!(same.lock().unwrap().is_some());
        one.keep_account(b"{}").unwrap();
        assert_eq!((same.account().unwrap().as_deref(), other.account().unwrap()), (Some(&b"{}"[..]), None));
        one.lay_account_aside().unwrap();
        assert_eq!(same.account().unwrap(), None);
    }

    #[test]
    fn the_ledger_outlasts_the_process_and_a_broken_one_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path(), "https://a.test:14000/dir");
        let mut ledger = vault.ledger();
        ledger.note(Ordered { at: Moment(5), domain: "a.test".into(), renewal: true });
        vault.keep_ledger(&ledger).unwrap();
        assert_eq!(vault.ledger().iter().collect::<Vec<_>>(), ledger.iter().collect::<Vec<_>>());
        fs::write(vault.folder.join(LEDGER), "[{").unwrap();
        assert_eq!(vault.ledger().iter().count(), 0);
    }

    #[test]
    fn a_star_and_its_suffix_have_files_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path(), "https://a.test/dir");
        let file = |name: &str| vault.file_of(&HostPattern::parse(name).unwrap());
        assert!(file("*.odoo.test").ends_with("_.odoo.test.pem"));
        assert!(file("odoo.test").ends_with("odoo.test.pem"));
        let names = ["*.odoo.test", "odoo.test"].map(|name| HostPattern::parse(name).unwrap());
        for name in &names {
            vault.keep_certificate(name, "").unwrap();
        }
        fs::write(vault.certificates().join("notes.txt"), "").unwrap();
        let mut kept = vault.names().unwrap();
        kept.sort_by_key(ToString::to_string);
        assert_eq!(kept, names);
        vault.remove_certificate(&names[1]).unwrap();
        assert_eq!(vault.names().unwrap(), names[..1]);
    }
}
