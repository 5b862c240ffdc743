//! Reading files that somebody else writes: whole, bounded, and never waiting.

use fleetgate_core::config::Spot;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::fs::{File, FileType, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Most bytes of one config file.
pub(super) const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most files of tenants.
const FILES_MAX: usize = 100_000;
/// Age at which a file's times tell its states apart; younger, two writes may carry the same time.
const TIMES_TELL_AFTER: Duration = Duration::from_secs(2);

/// Identity, size and times of a file: if they are the same, so is the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    file: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Stamp {
    /// The stamp of a path, wherever its links lead.
    pub(super) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::of_metadata(&metadata))
    }

    /// Whether both are of one file or folder, whatever happened to it in between.
    pub(super) fn same_file(&self, other: &Self) -> bool {
        self.file == other.file
    }

    fn of_metadata(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            bytes: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Whether a later write must show in the stamp.
    fn tells(&self, now: SystemTime) -> bool {
        let changed = u64::try_from(self.changed.0).unwrap_or(0);
        let age = now.duration_since(UNIX_EPOCH + Duration::from_secs(changed));
        age.is_ok_and(|age| age > TIMES_TELL_AFTER)
    }
}

/// The content of a file.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// `None` while the file is too young for its times to be trusted.
    pub(super) stamp: Option<Stamp>,
}

/// Reads a regular file. The error says what is wrong with it, after its name in a sentence.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Content, String> {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer for ever.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(opened.map_err(|error| reason(&io::Error::from(error), path))?);
    let metadata = file.metadata().map_err(|error| reason(&error, path))?;
    if !metadata.is_file() {
        return Err(format!("is {}, not a regular file", kind(metadata.file_type())));
    }
    let stamp = Some(Stamp::of_metadata(&metadata)).filter(|stamp| stamp.tells(SystemTime::now()));
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(bytes_max)).unwrap_or_default());
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| reason(&error, path))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(format!("is larger than {} KiB", bytes_max.div_euclid(1024)));
    }
    Ok(Content { bytes, stamp })
}

/// The text of a config file, or where it stops to be UTF-8.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Spot> {
    core::str::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default()).into_owned();
        let line = good.matches('\n').count().saturating_add(1);
        let column = good.rsplit('\n').next().map_or(0, |last| last.chars().count()).saturating_add(1);
        let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
        Spot { line: number(line), column: number(column) }
    })
}

/// Paths of a folder's tenant files, sorted: `*.yaml` and `*.yml` that are not hidden.
pub(super) fn tenant_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| reason(&error, folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| reason(&error, folder))?;
        if is_tenant_file(&entry.file_name()) {
            paths.push(entry.path());
        }
        if paths.len() > FILES_MAX {
            return Err(format!("holds more than {FILES_MAX} files; put several tenants into each"));
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Whether a name is that of a tenant file.
pub(super) fn is_tenant_file(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    !bytes.starts_with(b".") && (bytes.ends_with(b".yaml") || bytes.ends_with(b".yml"))
}

fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a folder"
    } else if file_type.is_fifo() {
        "a named pipe"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn reason(error: &io::Error, path: &Path) -> String {
    match (error.kind(), rustix::io::Errno::from_io_error(error)) {
        (io::ErrorKind::NotFound, _) if path.is_symlink() => {
            "is a link to something that does not exist".into()
        }
        (io::ErrorKind::NotFound, _) => "does not exist".into(),
        (io::ErrorKind::PermissionDenied, _) => "may not be read by the user that runs Fleetgate".into(),
        (_, Some(rustix::io::Errno::LOOP)) => "is a link that leads to itself".into(),
        (_, Some(rustix::io::Errno::NXIO)) => "is a socket or device, not a regular file".into(),
        (_, Some(rustix::io::Errno::NOTDIR)) => "is not a folder, or lies in something that is none".into(),
        _ => format!("cannot be read: {error}"),
    }
}
