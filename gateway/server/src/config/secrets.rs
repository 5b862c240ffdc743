//! What a config refers to outside of itself: environment variables, and files with secrets or certificates.

use super::certificates;
use super::files::{self, Stamp};
use super::open_files;
use blake3::{Hash, Hasher};
use fleetgate_core::certificate::{Certificates, Identity};
use fleetgate_core::config::References;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most bytes of a file with a secret.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Most bytes of a file with certificates. Those of all public authorities are a fifth of it.
const CERTIFICATES_BYTES_MAX: u64 = 1024 * 1024;

/// The environment and files of this process.
pub(super) struct Outside {
    main_path: PathBuf,
    referred: RefCell<Vec<Referred>>,
}

/// A file that the config refers to, as it was when it was read.
#[derive(Debug)]
pub(super) struct Referred {
    path: PathBuf,
    /// `None` when it could not be read, or was too young for its times to be trusted.
    stamp: Option<Stamp>,
    content: Option<Hash>,
}

impl Referred {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is certainly as it was.
    pub(super) fn is_unchanged(&self) -> bool {
        self.stamp.is_some() && self.stamp == Stamp::of(&self.path)
    }

    /// Makes its content count.
    pub(super) fn add_to(&self, hasher: &mut Hasher) {
        hasher.update(self.content.as_ref().map_or(&[][..], |hash| hash.as_bytes()));
    }
}

impl Outside {
    /// `main_path` is the main file: relative paths start at its folder.
    pub(super) fn new(main_path: &Path) -> Self {
        Self { main_path: main_path.to_owned(), referred: RefCell::default() }
    }

    /// The files that were asked for since the last call. Their content may change while the config does not.
    pub(super) fn take_referred(&self) -> Vec<Referred> {
        self.referred.take()
    }

    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
        let path = beside(&self.main_path, path);
        if let (Ok(file), Ok(main)) = (path.canonicalize(), self.main_path.canonicalize())
            && file == main
        {
            return Err("is the config itself".into());
        }
        let content = files::read(&path, bytes_max);
        let (stamp, hash) = match &content {
            Ok(content) => (content.stamp, Some(blake3::hash(&content.bytes))),
            Err(_) => (None, None),
        };
        self.referred.borrow_mut().push(Referred { path, stamp, content: hash });
        content.map(|content| content.bytes)
    }
}

impl References for Outside {
    fn variable(&self, name: &str) -> Result<String, String> {
        match std::env::var(name) {
            Ok(value) => Ok(value),
            Err(std::env::VarError::NotPresent) => Err("is not set".into()),
            Err(std::env::VarError::NotUnicode(_)) => Err("is not UTF-8 text".into()),
        }
    }

    fn secret_file(&self, path: &str) -> Result<String, String> {
        let bytes = self.read(path, SECRET_FILE_BYTES_MAX)?;
        let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
        if text.ends_with('\n') {
            text.pop();
        }
        if text.ends_with('\r') {
            text.pop();
        }
        Ok(text)
    }

    fn authorities(&self, path: &str) -> Result<Certificates, String> {
        certificates::authorities(&self.read(path, CERTIFICATES_BYTES_MAX)?)
    }

    fn identity(&self, certificate: &str, key: &str) -> Result<Identity, String> {
        let read = |path: &str| {
            let bytes = self.read(path, CERTIFICATES_BYTES_MAX);
            bytes.map_err(|reason| format!("the file `{path}` {reason}"))
        };
        let (chain, key_text) = (read(certificate)?, read(key)?);
        let chain =
            certificates::chain(&chain).map_err(|reason| format!("the file `{certificate}` {reason}"))?;
        let key_text = String::from_utf8(key_text).map_err(|_| format!("the file `{key}` is not PEM"))?;
        certificates::check_key(&chain, &key_text).map_err(|reason| format!("the file `{key}` {reason}"))?;
        Ok(Identity { chain, key: Arc::from(key_text) })
    }

    fn open_files_max(&self) -> Option<u64> {
        Some(open_files::hard_limit())
    }
}

/// A path that is relative to the folder of the main file.
pub(super) fn beside(main_path: &Path, path: &str) -> PathBuf {
    main_path.parent().unwrap_or(Path::new("")).join(path)
}
