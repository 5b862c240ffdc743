//! Why a process could not start.

use std::io;
use std::path::PathBuf;

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config has problems; they were printed.
    #[error("the config cannot be used; `fleetgate check` shows what to change")]
    Config,
    /// An address cannot be bound.
    #[error("cannot listen on {address}: is another program using it, and may this user bind it?")]
    Listen {
        /// Address.
        address: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The admin socket cannot be made.
    #[error("cannot make the admin socket {path}: may this user write to the folder?")]
    AdminSocket {
        /// Path.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The system refuses threads, signals or the like.
    #[error("cannot start")]
    System(#[from] io::Error),
    /// The certificates of a listener cannot be read.
    #[error("cannot read certificates from {folder}: is the folder there, and may this user read it?")]
    Certificates {
        /// Folder.
        folder: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// Certificates cannot be ordered.
    #[error("cannot order certificates by ACME")]
    Acme(#[from] crate::acme::StartError),
    /// Bodies cannot be kept on disk.
    #[error("cannot make files in {directory}: change `spool.directory`, or let this user write there")]
    Spool {
        /// Folder.
        directory: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A metric has an impossible name.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
}
