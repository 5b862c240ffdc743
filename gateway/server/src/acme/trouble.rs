//! What went wrong, and for whom.

use crate::causes::with_causes;
use crate::state_directory::StateDirectoryError;
use fleetgate_core::acme::Failure;
use std::io;
use std::path::PathBuf;

/// Why nothing can be ordered at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nowhere to keep accounts and certificates.
    #[error("certificates by ACME need a place to be kept")]
    State(#[from] StateDirectoryError),
    /// The kept certificates cannot be read.
    #[error("cannot read the certificates of {}: may this user read them?", folder.display())]
    Certificates {
        /// Folder.
        folder: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// Nobody can tell whether the server is the right one.
    #[error("cannot read certificates to know the ACME server by from {}: is `acme.directory_ca` a PEM file?", file.display())]
    DirectoryCa {
        /// File.
        file: PathBuf,
    },
    /// The system has no certificates to know a server by.
    #[error(
        "this system has no certificates to know the ACME server by: install the package ca-certificates, or write `acme.directory_ca`"
    )]
    NoRoots,
    /// A zone is not what it should be.
    #[error("a zone of `dns_zones` cannot be used")]
    Zone(#[from] crate::dns::DnsError),
    /// Names cannot be looked up.
    #[error("cannot read which servers to ask for names: write `acme.resolvers`")]
    Resolver(#[source] hickory_resolver::net::NetError),
    /// This build of rustls lacks something.
    #[error("TLS to the ACME server cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The system gives no thread.
    #[error("cannot start the thread that orders certificates")]
    Thread(#[from] io::Error),
}

/// Why a name got no certificate.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) failure: Failure,
    pub(super) message: String,
    /// Whether the server no longer knows the account.
    pub(super) account_gone: bool,
}

impl Trouble {
    pub(super) fn new(failure: Failure, message: impl Into<String>) -> Self {
        Self { failure, message: message.into(), account_gone: false }
    }
}

/// The server forgot the account, or gave it up (RFC 8555, section 6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";
/// Longest message that is kept of what a server says.
const MESSAGE_CHARS_MAX: usize = 400;

impl From<instant_acme::Error> for Trouble {
    fn from(error: instant_acme::Error) -> Self {
        // Without an answer, or with one that makes no sense, the server could not be asked.
        let mut failure = Failure::Unreachable;
        if let instant_acme::Error::Api(problem) = &error {
            failure = match problem.r#type.as_deref() {
                Some(RATE_LIMITED) => Failure::RateLimited,
                // The next trial registers anew.
                Some(NO_ACCOUNT) => Failure::Unreachable,
                _ if problem.status.is_some_and(|status| status >= 500) => Failure::Unreachable,
                _ => Failure::Refused,
            };
        }
        let account_gone = matches!(&error, instant_acme::Error::Api(problem) if problem.r#type.as_deref() == Some(NO_ACCOUNT));
        let message = with_causes(&error).chars().take(MESSAGE_CHARS_MAX).collect();
        Self { failure, message, account_gone }
    }
}
