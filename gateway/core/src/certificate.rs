//! Certificates that the config refers to. Core carries them from the config to who uses them and reads nothing in them.

use core::fmt;
use std::sync::Arc;

/// Certificates in DER, in the order of their file: authorities, or a chain with the certificate itself first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Certificates(Arc<[Box<[u8]>]>);

impl Certificates {
    /// Wraps certificates that were read from a file and checked.
    #[must_use]
    pub fn new(der: Vec<Box<[u8]>>) -> Self {
        Self(der.into())
    }

    /// Each certificate in DER.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|der| &**der)
    }
}

/// A certificate that the gateway itself shows, with its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Chain, the certificate itself first.
    pub chain: Certificates,
    /// Private key in PEM. Never printed.
    pub key: Arc<str>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain).field("key", &"****").finish()
    }
}
