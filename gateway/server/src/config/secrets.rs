//! What a config refers to outside of itself: environment variables and files with secrets.

use super::files;
use fleetgate_core::config::References;
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// Most bytes of a file with a secret.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The environment and files of this process.
pub(super) struct Outside {
    main_path: PathBuf,
    asked_for_files: Cell<bool>,
}

impl Outside {
    /// `main_path` is the main file: relative paths start at its folder.
    pub(super) fn new(main_path: &Path) -> Self {
        Self { main_path: main_path.to_owned(), asked_for_files: Cell::new(false) }
    }

    /// Whether a file was asked for, whose content may change while the config does not.
    pub(super) fn asked_for_files(&self) -> bool {
        self.asked_for_files.get()
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
        self.asked_for_files.set(true);
        let path = beside(&self.main_path, path);
        if let (Ok(file), Ok(main)) = (path.canonicalize(), self.main_path.canonicalize())
            && file == main
        {
            return Err("is the config itself".into());
        }
        let content = files::read(&path, SECRET_FILE_BYTES_MAX)?;
        let mut text = String::from_utf8(content.bytes).map_err(|_| "is not UTF-8 text")?;
        if text.ends_with('\n') {
            text.pop();
        }
        if text.ends_with('\r') {
            text.pop();
        }
        Ok(text)
    }
}

/// A path that is relative to the folder of the main file.
pub(super) fn beside(main_path: &Path, path: &str) -> PathBuf {
    main_path.parent().unwrap_or(Path::new("")).join(path)
}
