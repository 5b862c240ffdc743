//! A certificate and its key, checked.

use super::folder::PairFiles;
use fleetgate_core::host::HostPattern;
use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest file in bytes; chains are a few thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The extension that asks for a stapled OCSP answer (RFC 7633, section 3).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";

/// Why a pair cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A file is far too long to be what it should be.
    #[error("{} is longer than 1 MiB", .0.display())]
    TooLong(PathBuf),
    /// No certificate is in the file.
    #[error("{} holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)", .0.display())]
    NoCertificate(PathBuf),
    /// No key is in the file.
    #[error("{} holds no private key in PEM; an encrypted one cannot be used", .0.display())]
    NoKey(PathBuf),
    /// The certificate is none.
    #[error("{} holds a certificate that cannot be read", .0.display())]
    BadCertificate(PathBuf),
    /// Key and certificate belong to others.
    #[error("the key in {} does not belong to the certificate in {}: {source}", key.display(), chain.display())]
    Mismatch {
        /// File of the key.
        key: PathBuf,
        /// File of the certificate.
        chain: PathBuf,
        /// Cause.
        source: rustls::Error,
    },
    /// The certificate names no host.
    #[error("{} names no host that Fleetgate can serve (subject alternative names)", .0.display())]
    NoNames(PathBuf),
    /// The certificate asks for what Fleetgate does not send.
    #[error("{} must be stapled (OCSP must-staple), which Fleetgate does not do; order one without", .0.display())]
    MustStaple(PathBuf),
}

/// A certificate that can serve.
#[derive(Debug)]
pub(super) struct Pair {
    /// Names that it serves.
    pub(super) names: Vec<HostPattern>,
    /// When it ends.
    pub(super) not_after: Timestamp,
    /// What a handshake uses.
    pub(super) key: Arc<CertifiedKey>,
}

impl Pair {
    /// Reads and checks a pair.
    pub(super) fn read(files: &PairFiles, provider: &CryptoProvider) -> Result<Self, PairError> {
        Self::parse(files, &text(&files.chain)?, &text(&files.key)?, provider)
    }

    /// Checks what the files of a pair hold, or will hold.
    pub(super) fn parse(
        files: &PairFiles,
        chain_text: &[u8],
        key_text: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Self, PairError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain_text)
            .collect::<Result<_, _>>()
            .map_err(|_| PairError::BadCertificate(files.chain.clone()))?;
        let first = chain.first().ok_or_else(|| PairError::NoCertificate(files.chain.clone()))?;
        let (names, not_after) = facts(first, &files.chain)?;
        let key = PrivateKeyDer::from_pem_slice(key_text).map_err(|_| PairError::NoKey(files.key.clone()))?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|source| PairError::Mismatch {
            key: files.key.clone(),
            chain: files.chain.clone(),
            source,
        })?;
        Ok(Self { names, not_after, key: Arc::new(key) })
    }
}

fn text(path: &Path) -> Result<Vec<u8>, PairError> {
    let failed = |source| PairError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(PairError::TooLong(path.to_owned()));
    }
    fs::read(path).map_err(failed)
}

fn facts(certificate: &CertificateDer<'_>, path: &Path) -> Result<(Vec<HostPattern>, Timestamp), PairError> {
    let bad = || PairError::BadCertificate(path.to_owned());
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| bad())?;
    if parsed.extensions().iter().any(|extension| extension.oid.to_id_string() == TLS_FEATURE) {
        return Err(PairError::MustStaple(path.to_owned()));
    }
    let mut names = Vec::new();
    for extension in parsed.extensions() {
        let ParsedExtension::SubjectAlternativeName(alternatives) = extension.parsed_extension() else {
            continue;
        };
        for alternative in &alternatives.general_names {
            if let GeneralName::DNSName(text) = alternative {
                names.extend(HostPattern::parse(text));
            }
        }
    }
    if names.is_empty() {
        return Err(PairError::NoNames(path.to_owned()));
    }
    let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|_| bad())?;
    Ok((names, not_after))
}
