//! Which files of a folder belong together.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Files of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PairFiles {
    /// Chain, the certificate itself first.
    pub(super) chain: PathBuf,
    /// Private key; the same file when it holds both.
    pub(super) key: PathBuf,
}

/// What changes when a file does: moment, length, and which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp([(i64, i64, u64, u64); 2]);

impl PairFiles {
    /// The stamp of both files now. A file that cannot be read has none.
    pub(super) fn stamp(&self) -> Stamp {
        let of = |path: &Path| {
            let facts = fs::metadata(path).ok();
            facts
                .map(|facts| (facts.mtime(), facts.mtime_nsec(), facts.len(), facts.ino()))
                .unwrap_or_default()
        };
        Stamp([of(&self.chain), of(&self.key)])
    }
}

/// Endings of files that hold a chain.
const CHAIN_ENDINGS: [&str; 3] = ["crt", "pem", "cert"];

/// Finds the pairs of a folder by their names: the file without its ending, or the subfolder.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn pairs(folder: &Path) -> io::Result<BTreeMap<String, PairFiles>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        // Kubernetes keeps what it mounts in folders such as `..data`.
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            let (chain, key) = (path.join("tls.crt"), path.join("tls.key"));
            if chain.exists() {
                found.insert(name.to_owned(), PairFiles { chain, key });
            }
            continue;
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if !CHAIN_ENDINGS.contains(&ending) {
            continue;
        }
        let beside = path.with_extension("key");
        let key = if beside.exists() { beside } else { path.clone() };
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name).to_owned();
        found.insert(stem, PairFiles { chain: path, key });
    }
    Ok(found)
}
