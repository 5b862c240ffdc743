//! The folder of what outlasts the process.
//!
//! It is made when something has to be kept, and only this user may look into it. Files are replaced whole: after a
//! crash, at any moment, there is the old text or the new one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Mode of folders: keys lie in them.
const FOLDER_MODE: u32 = 0o700;
/// Mode of files.
const FILE_MODE: u32 = 0o600;

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep anything in {}: change `state_directory`, or let this user write there", folder.display())]
pub struct StateDirectoryError {
    /// Folder.
    folder: PathBuf,
    /// Cause.
    #[source]
    source: io::Error,
}

/// Where the folder is. It need not be there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDirectory(PathBuf);

impl StateDirectory {
    /// The `state_directory` of a config whose main file is in a folder.
    #[must_use]
    pub fn new(main_folder: &Path, configured: &str) -> Self {
        Self(main_folder.join(configured))
    }

    /// Where the subfolder for a purpose is, there or not.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A subfolder for one purpose, made if it is missing.
    ///
    /// # Errors
    /// It cannot be made, or nothing can be written to it.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf, StateDirectoryError> {
        let folder = self.0.join(name);
        let failed = |source| StateDirectoryError { folder: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder).map_err(failed)?;
        // What cannot be written is said now, not when the first thing has to be kept.
        drop(tempfile::tempfile_in(&folder).map_err(failed)?);
        Ok(folder)
    }
}

/// Replaces a file whole: written beside it, on disk, then renamed over it. Two at once for one path are the caller's to
/// prevent.
///
/// # Errors
/// The folder is gone or full, or may not be written to. The file is then what it was.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    let beside = folder.join(hidden);
    // What a crash has left here is nobody's.
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    // The name is on disk when its folder is.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_is_made_for_this_user_alone_when_it_is_needed() {
        let main_folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(main_folder.path(), "var/state");
        assert!(!main_folder.path().join("var").exists());
        let folder = state.subfolder("keys").unwrap();
        assert_eq!(folder, main_folder.path().join("var/state/keys"));
        assert_eq!((mode(&folder), mode(&main_folder.path().join("var/state"))), (0o700, 0o700));
        assert_eq!(state.subfolder("keys").unwrap(), folder);
        assert_eq!(
            StateDirectory::new(main_folder.path(), "/var/lib/x"),
            StateDirectory("/var/lib/x".into())
        );
    }

    #[test]
    fn a_folder_that_cannot_be_is_named_with_what_to_do() {
        let main_folder = tempfile::tempdir().unwrap();
        std::fs::write(main_folder.path().join("taken"), "a file").unwrap();
        let error =
            StateDirectory::new(main_folder.path(), "taken").subfolder("keys").unwrap_err().to_string();
        assert!(error.contains("taken/keys") && error.contains("`state_directory`"), "{error}");
    }

    #[test]
    fn a_file_is_replaced_whole_and_is_for_this_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.json");
        for text in ["first", "a second, longer text", "third"] {
            replace_file(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace_file(&folder.path().join("gone/x"), b"").is_err());
    }
}
