//! Showing a server of ACME that a name is ours, and taking the proof back.

use super::answers::Answers;
use super::trouble::Trouble;
use crate::dns::{DnsZones, Txt};
use fleetgate_core::acme::{Challenge, Failure};
use instant_acme::{ChallengeHandle, ChallengeType};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::sync::{Arc, Mutex, PoisonError};

/// Ways to prove names.
pub(super) struct Proofs {
    answers: Arc<Answers>,
    zones: DnsZones,
    /// The record that is shown now.
    record: Mutex<Option<Txt>>,
}

impl Proofs {
    pub(super) fn new(answers: Arc<Answers>, zones: DnsZones) -> Self {
        Self { answers, zones, record: Mutex::default() }
    }

    /// Whether a record can prove a name without its star.
    pub(super) fn reach(&self, host: &str) -> bool {
        self.zones.holds(&place_of(host))
    }

    /// Makes ready what the server will look for. `host` is the name without a star.
    pub(super) async fn show(
        &self,
        challenge: Challenge,
        host: &str,
        asked: &ChallengeHandle<'_>,
    ) -> Result<(), Trouble> {
        let key = asked.key_authorization();
        match challenge {
            Challenge::Http01 => self.answers.put_token(&asked.token, key.as_str()),
            Challenge::TlsAlpn01 => {
                let certificate = handshake(host, key.digest().as_ref()).map_err(|error| {
                    Trouble::new(Failure::Storage, format!("no proof could be made: {error}"))
                })?;
                self.answers.put_handshake(host, certificate);
            }
            Challenge::Dns01 => {
                let record = Txt { name: place_of(host), value: key.dns_value() };
                // Noted first: an update whose answer is lost may have been made.
                *self.record.lock().unwrap_or_else(PoisonError::into_inner) = Some(record.clone());
                let published = self.zones.publish(&record).await;
                published.map_err(|error| Trouble::new(Failure::Zone, error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Takes back what was shown.
    pub(super) async fn withdraw(&self) {
        self.answers.clear();
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(record) = record
            && let Err(error) = self.zones.withdraw(&record).await
        {
            tracing::warn!(name = record.name, %error, "a record that proved a name is still in its zone; the next order takes it away");
        }
    }
}

/// Where a server of ACME looks for a record (RFC 8555, section 8.4).
fn place_of(host: &str) -> String {
    format!("_acme-challenge.{host}")
}

/// As ACME's library writes it.
pub(super) const fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Dns01 => ChallengeType::Dns01,
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A certificate that signs itself and holds the digest of what was asked for (RFC 8737, section 3).
fn handshake(host: &str, digest: &[u8]) -> Result<CertifiedKey, Failed> {
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = ring::default_provider().key_provider.load_private_key(key)?;
    // Not checked against the certificate: the check does not know its critical extension.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
