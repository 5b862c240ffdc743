//! The certificate that a client has shown in its handshake.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fleetgate_core::client_certificate::CertificateFault;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::CertificateDer;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates of a chain that are looked at. Longer chains are unusable.
const CHAIN_MAX: usize = 8;
/// Bytes of one certificate; usual ones are a quarter of it. Larger ones are unusable.
const CERTIFICATE_BYTES_MAX: usize = 6 * 1024;
/// Bytes of the field that tells what leads from a certificate to its authority; usual ones are a quarter of it.
const CHAIN_FIELD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a name in the access log.
const NAME_BYTES_MAX: usize = 256;
/// For how long an outcome holds on a connection that goes on.
const JUDGED_FOR: Duration = Duration::from_secs(60);

/// A chain that a client has shown. That it has the key was proved in the handshake; whether a tenant counts it is judged
/// for each request.
#[derive(Debug)]
pub struct ClientCertificate {
    /// Empty when it is too long to be looked at.
    chain: Vec<CertificateDer<'static>>,
    subject: String,
    issuer: String,
    fingerprint: String,
    field: String,
    judged: Mutex<Option<Judged>>,
}

#[derive(Debug, Clone, Copy)]
struct Judged {
    by: u64,
    at: Instant,
    outcome: Result<(), CertificateFault>,
}

impl ClientCertificate {
    /// Takes a chain from a handshake; `None` when it is empty.
    #[must_use]
    pub fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let first = chain.first()?;
        let usable = chain.len() <= CHAIN_MAX && chain.iter().all(|one| one.len() <= CERTIFICATE_BYTES_MAX);
        let kept = chain.iter().filter(|_| usable).map(|one| one.clone().into_owned()).collect();
        let parsed = X509Certificate::from_der(first).ok().filter(|_| usable).map(|(_, parsed)| parsed);
        let name = |name: Option<String>| {
            let mut name = name.unwrap_or_default();
            name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
            name
        };
        Some(Self {
            chain: kept,
            subject: name(parsed.as_ref().map(|parsed| parsed.subject().to_string())),
            issuer: name(parsed.as_ref().map(|parsed| parsed.issuer().to_string())),
            fingerprint: sha256(first),
            field: if usable { format!(":{}:", STANDARD.encode(first)) } else { String::new() },
            judged: Mutex::new(None),
        })
    }

    /// Reads the fields `Client-Cert` and `Client-Cert-Chain` of a gateway that has seen the client's handshake; `None` when
    /// they cannot be read.
    #[must_use]
    pub fn told<'a>(field: &[u8], chain: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut told = vec![byte_sequence(field)?];
        for member in chain.flat_map(|line| line.split(|byte| *byte == b',')).take(CHAIN_MAX) {
            told.push(byte_sequence(member.trim_ascii())?);
        }
        Self::new(&told)
    }

    /// What one that judges says of the chain. It is asked once a minute, for each connection and `by`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(
        &self,
        by: u64,
        judge: impl FnOnce(&[CertificateDer<'static>]) -> Result<(), CertificateFault>,
    ) -> Result<(), CertificateFault> {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = judged.filter(|last| last.by == by && last.at.elapsed() < JUDGED_FOR) {
            return last.outcome;
        }
        let outcome = judge(&self.chain);
        *judged = Some(Judged { by, at: Instant::now(), outcome });
        outcome
    }

    /// Whose it is, as it says; empty when it cannot be read.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Who signed it, as it says; empty when it cannot be read.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// SHA-256 in hexadecimal digits, as `openssl x509 -fingerprint -sha256` prints it, without colons.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The certificate as the field `Client-Cert` writes it (RFC 9440, section 2.2); empty when it is too large.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What leads from it to its authority, nearest first, as the field `Client-Cert-Chain` writes it (RFC 9440, section
    /// 2.3); `None` when it was shown alone. Where not all of it fits, the rest is left out: the authority itself, which
    /// everybody knows who judges, comes last.
    #[must_use]
    pub fn chain_field(&self) -> Option<String> {
        let mut field = String::new();
        for certificate in self.chain.iter().skip(1) {
            let member = format!(":{}:", STANDARD.encode(certificate));
            let separator = if field.is_empty() { "" } else { ", " };
            if field.len() + separator.len() + member.len() > CHAIN_FIELD_BYTES_MAX {
                break;
            }
            field += separator;
            field += &member;
        }
        (!field.is_empty()).then_some(field)
    }
}

/// A certificate as a structured field writes bytes (RFC 8941, section 3.3.5).
fn byte_sequence(text: &[u8]) -> Option<CertificateDer<'static>> {
    let encoded = text.strip_prefix(b":")?.strip_suffix(b":")?;
    Some(CertificateDer::from(STANDARD.decode(encoded).ok()?))
}

fn sha256(bytes: &[u8]) -> String {
    let suite = TLS13_AES_128_GCM_SHA256.tls13();
    let hash = suite.map(|suite| suite.common.hash_provider.hash(bytes));
    let digits = hash.iter().flat_map(|hash| hash.as_ref()).map(|byte| format!("{byte:02x}"));
    digits.collect()
}
