//! The files in the folder: a checkpoint, and the journals that came after it.

use super::books::{Books, FORMAT};
use super::record::{Note, Piece, Scan};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Name of the checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// What names of journals begin with; their number follows.
const JOURNAL: &str = "journal-";
/// Times that reading begins anew because another process was tidying up.
const ATTEMPTS: u32 = 10;

/// Why usage cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The folder or a file in it cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// There is no folder to keep it in.
    #[error(transparent)]
    Folder(crate::state_directory::StateDirectoryError),
    /// A gateway uses the folder.
    #[error("a gateway uses {}: end it first", path.display())]
    InUse {
        /// Folder.
        path: PathBuf,
    },
    /// A file is of somebody else, or of a newer version.
    #[error(
        "{} is no file of usage that this version can read: move it out of the folder, or start the version that wrote it",
        path.display()
    )]
    Foreign {
        /// File.
        path: PathBuf,
    },
    /// A file was whole once and is not any more.
    #[error(
        "{} is damaged at byte {at}, although it was safely on disk: restore it from a backup, or run `fleetgate quota repair`, \
         which keeps what can be read",
        path.display()
    )]
    Damaged {
        /// File.
        path: PathBuf,
        /// Place.
        at: usize,
    },
}

impl UsageError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A journal of a process that still writes to it, and how far it was read.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) file: File,
    pub(super) at: usize,
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) books: Books,
    /// Journals with their numbers, the oldest first.
    pub(super) journals: Vec<(u64, PathBuf)>,
    pub(super) live: Vec<Live>,
    /// Bytes that a loss of power took, of journals that were being written then.
    pub(super) torn: usize,
}

/// Path of a journal.
pub(super) fn journal_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{JOURNAL}{number:012}"))
}

/// The journals of a folder, the oldest first.
pub(super) fn journals(folder: &Path) -> Result<Vec<(u64, PathBuf)>, UsageError> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(UsageError::io(folder))? {
        let entry = entry.map_err(UsageError::io(folder))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(JOURNAL));
        if let Some(number) = number {
            let number = number.parse().map_err(|_| UsageError::Foreign { path: entry.path() })?;
            journals.push((number, entry.path()));
        }
    }
    journals.sort_unstable();
    Ok(journals)
}

/// How much damage is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// What a loss of power can do, and nothing else.
    Strict,
    /// Any: what can be read is kept.
    Lenient,
}

/// Reads all that a folder holds.
pub(super) fn read_all(folder: &Path, care: Care) -> Result<Found, UsageError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match read_once(folder, care) {
            // Another process has folded what was about to be read.
            Err(UsageError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
            other => return other,
        }
    }
}

fn read_once(folder: &Path, care: Care) -> Result<Found, UsageError> {
    let mut found = Found { books: read_checkpoint(&folder.join(CHECKPOINT), care)?, ..Found::default() };
    let through = found.books.through;
    for (number, path) in journals(folder)? {
        if number > through {
            read_journal(&path, care, &mut found)?;
            found.journals.push((number, path));
        }
    }
    let now = checkpoint_through(&folder.join(CHECKPOINT))?;
    if now != through {
        let source = io::Error::from(io::ErrorKind::NotFound);
        return Err(UsageError::Io { path: folder.to_owned(), source });
    }
    Ok(found)
}

/// The last journal that is in a checkpoint; 0 without one.
pub(super) fn checkpoint_through(path: &Path) -> Result<u64, UsageError> {
    let mut head = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(4_096).read_to_end(&mut head).map_err(UsageError::io(path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(UsageError::io(path)(error)),
    };
    begin_of(&mut Scan::new(&head, 0)).ok_or_else(|| UsageError::Foreign { path: path.to_owned() })
}

fn begin_of(scan: &mut Scan<'_>) -> Option<u64> {
    let Piece::Note(note) = scan.next()? else { return None };
    if let Note::Begin { format: FORMAT, through } = *note { Some(through) } else { None }
}

fn read_checkpoint(path: &Path, care: Care) -> Result<Books, UsageError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Books::default()),
        Err(error) => return Err(UsageError::io(path)(error)),
    };
    let mut books = Books::default();
    let mut scan = Scan::new(&bytes, 0);
    books.through = match begin_of(&mut scan) {
        Some(through) => through,
        None => return Err(UsageError::Foreign { path: path.to_owned() }),
    };
    let mut ended = false;
    loop {
        let at = scan.at();
        let Some(piece) = scan.next() else { break };
        if let Piece::Note(note) = piece {
            ended = matches!(*note, Note::End);
            books.note(*note);
        } else if care == Care::Strict {
            return Err(UsageError::Damaged { path: path.to_owned(), at });
        }
    }
    if !ended && care == Care::Strict {
        return Err(UsageError::Damaged { path: path.to_owned(), at: bytes.len() });
    }
    Ok(books)
}

/// Reads a journal. One that is being written is read as far as it goes.
fn read_journal(path: &Path, care: Care, found: &mut Found) -> Result<(), UsageError> {
    let file = File::open(path).map_err(UsageError::io(path))?;
    let is_live = file.try_lock_shared().is_err();
    let bytes = read_from(&file, 0).map_err(UsageError::io(path))?;
    let mut scan = Scan::new(&bytes, 0);
    if begin_of(&mut scan).is_none() {
        return Err(UsageError::Foreign { path: path.to_owned() });
    }
    if is_live {
        let at = follow(&mut found.books, &bytes, Until::Hole);
        found.live.push(Live { file, at });
        return Ok(());
    }
    let mut damaged_at = None;
    loop {
        let at = scan.at();
        let Some(piece) = scan.next() else { break };
        match piece {
            Piece::Count(key, more) => found.books.count(key, more),
            Piece::Note(note) => found.books.note(*note),
            Piece::Hole => {}
            Piece::Damaged => {
                damaged_at.get_or_insert(at);
                found.torn = found.torn.saturating_add(scan.at().saturating_sub(at));
            }
            // What was on disk before this cannot have been lost with the power.
            Piece::Synced => {
                if let Some(at) = damaged_at.filter(|_| care == Care::Strict) {
                    return Err(UsageError::Damaged { path: path.to_owned(), at });
                }
            }
        }
    }
    Ok(())
}

/// How far a journal is read that is, or was, being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Up to the first place that is not written yet: a frame on its way may be half there.
    Hole,
    /// To its end: nobody writes to it any more.
    End,
}

/// Reads what was added to a journal. Returns how many bytes of it were read.
pub(super) fn follow(books: &mut Books, bytes: &[u8], until: Until) -> usize {
    let mut scan = Scan::new(bytes, 0);
    loop {
        let at = scan.at();
        match scan.next() {
            Some(Piece::Count(key, more)) => books.count(key, more),
            Some(Piece::Note(note)) => books.note(*note),
            Some(Piece::Synced) => {}
            Some(Piece::Hole | Piece::Damaged) if until == Until::End => {}
            Some(Piece::Hole | Piece::Damaged) | None => return at,
        }
    }
}

/// The bytes of a file from a place on.
pub(super) fn read_from(file: &File, at: usize) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut bytes = vec![0; length.saturating_sub(at)];
    file.read_exact_at(&mut bytes, u64::try_from(at).unwrap_or(u64::MAX))?;
    Ok(bytes)
}

/// The checkpoint with all that ended before a journal, up to the first journal that is being written, and the files that
/// are in it. `None` when there is nothing to fold.
pub(super) fn read_ended(folder: &Path, current: u64) -> Result<Option<(Books, Vec<PathBuf>)>, UsageError> {
    let before = |number: u64| number < current;
    let journals = journals(folder)?;
    let ended = journals.iter().take_while(|(number, path)| before(*number) && has_ended(path));
    let ended: Vec<_> = ended.collect();
    if ended.is_empty() {
        return Ok(None);
    }
    let mut found =
        Found { books: read_checkpoint(&folder.join(CHECKPOINT), Care::Strict)?, ..Found::default() };
    let mut folded = Vec::new();
    for (number, path) in ended {
        // One that is in the checkpoint was left behind by a crash.
        if *number > found.books.through {
            read_journal(path, Care::Strict, &mut found)?;
            found.books.through = *number;
        }
        folded.push(path.clone());
    }
    Ok(Some((found.books, folded)))
}

fn has_ended(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock_shared().is_ok())
}
