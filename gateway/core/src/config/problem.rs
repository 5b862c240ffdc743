//! What is wrong with a config, and where.

use core::fmt;
use std::sync::Arc;

/// Most problems that one file reports; a file of another kind altogether would have one a line.
pub(super) const PROBLEMS_PER_FILE_MAX: usize = 100;

/// Most problems between files that are reported; one file too many on a host could repeat every host.
const PROBLEMS_BETWEEN_FILES_MAX: usize = 1000;

/// Adds a problem between files, once, and only while there is room.
pub(super) fn note(problems: &mut Vec<Problem>, problem: Problem) {
    if problems.len() < PROBLEMS_BETWEEN_FILES_MAX && !problems.contains(&problem) {
        problems.push(problem);
    }
}

/// A position in the text of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Spot {
    /// Line, from 1; 0 is the file as a whole.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A position in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Name of the file, as the caller gave it.
    pub file: Arc<str>,
    /// Position in the file.
    pub spot: Spot,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.spot.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.spot.column),
        }
    }
}

/// Whether a config with the problem can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look at it.
    Warning,
}

/// Something wrong with a config, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether it keeps the config from being used.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// Path of keys to it, such as `pools.shared.odoo_version`; empty when it is about the file.
    pub key_path: String,
    /// What is wrong, with the value as written. Never holds a secret or a value of the environment.
    pub message: String,
    /// What is allowed, or what to do.
    pub hint: Option<String>,
    /// The other side of a conflict.
    pub other_place: Option<Place>,
}

impl Problem {
    /// An error about a file as a whole, such as one that cannot be read.
    #[must_use]
    pub fn about_file(file: &str, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self {
            severity: Severity::Error,
            place: Place { file: file.into(), spot: Spot::default() },
            key_path: String::new(),
            message: message.into(),
            hint: hint.map(str::to_owned),
            other_place: None,
        }
    }

    /// Whether the config cannot be used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    /// One line: place, key path, message, hint, other place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key_path.is_empty() {
            write!(f, "{}: ", self.key_path)?;
        }
        f.write_str(&self.message)?;
        if let Some(other) = &self.other_place {
            write!(f, " (the other is at {other})")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}
