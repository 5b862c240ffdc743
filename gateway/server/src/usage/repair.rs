//! What can be read of files that are damaged.

use super::books::Books;
use super::files::{CHECKPOINT, Care, Found, UsageError, read_all};
use super::store::KEEPER;
use crate::state_directory::replace_file;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

/// What a repair has kept.
#[derive(Debug, Serialize)]
pub struct Repaired {
    /// Tenants whose usage is known.
    pub tenants: usize,
    /// Bytes that could not be read.
    pub unreadable_bytes: usize,
    /// Where the files are that were there before.
    pub aside: PathBuf,
}

/// Puts what can be read into a new checkpoint, and the files that were there aside.
///
/// # Errors
/// A gateway uses the folder, or it cannot be read or written. Nothing was changed then.
pub fn repair(folder: &Path) -> Result<Repaired, UsageError> {
    let keeper = folder.join(KEEPER);
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&keeper);
    let lock = lock.map_err(UsageError::io(&keeper))?;
    lock.try_lock().map_err(|_| UsageError::InUse { path: folder.to_owned() })?;
    let Found { books, live, torn, .. } = read_all(folder, Care::Lenient)?;
    if !live.is_empty() {
        return Err(UsageError::InUse { path: folder.to_owned() });
    }
    let aside = folder.join(format!("damaged-{}", jiff::Timestamp::now().as_second()));
    std::fs::create_dir(&aside).map_err(UsageError::io(&aside))?;
    let Books { mut tenants, acts, waiting, .. } = books;
    tenants.retain(|_, book| !book.id.is_empty());
    let (kept, through) = (tenants.len(), 0);
    let checkpoint = Books { tenants, acts, waiting, through }.checkpoint();
    // First aside, then anew: in between there is nothing, and never the same twice.
    for entry in std::fs::read_dir(folder).map_err(UsageError::io(folder))? {
        let path = entry.map_err(UsageError::io(folder))?.path();
        if path.is_file() && path != keeper {
            let to = aside.join(
                path.file_name().ok_or_else(|| UsageError::io(&path)(io::ErrorKind::InvalidInput.into()))?,
            );
            std::fs::rename(&path, to).map_err(UsageError::io(&path))?;
        }
    }
    let path = folder.join(CHECKPOINT);
    replace_file(&path, &checkpoint).map_err(UsageError::io(&path))?;
    Ok(Repaired { tenants: kept, unreadable_bytes: torn, aside })
}
