//! Which zone a name is in, and who changes it.

use super::rfc2136::Rfc2136;
use async_trait::async_trait;
use fleetgate_core::config::DnsZone;
use fleetgate_core::host::HostName;
use std::time::Duration;
use tokio::time::sleep;

/// Why a zone was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// No zone of the config holds the name.
    #[error("no zone of `dns_zones` holds {0}")]
    NoZone(String),
    /// The server cannot be reached, or breaks off. What was asked may have been done.
    #[error("the DNS server {server} cannot be asked: {cause}")]
    Unreachable {
        /// Address.
        server: String,
        /// Cause.
        cause: String,
    },
    /// The server said no.
    #[error("the DNS server {server} refuses: {reason}")]
    Refused {
        /// Address.
        server: String,
        /// What it said, in words.
        reason: String,
    },
    /// An answer that the key does not vouch for. What was asked may have been done.
    #[error("the DNS server {server} answered without proof that it has the key: {cause}")]
    Forged {
        /// Address.
        server: String,
        /// Cause.
        cause: String,
    },
    /// The question cannot be put.
    #[error("the question to the DNS server cannot be written: {0}")]
    Question(String),
}

/// A text record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txt {
    /// Name, without a dot at its end.
    pub name: String,
    /// Text of at most 255 bytes.
    pub value: String,
}

/// Changes a zone.
#[async_trait]
pub trait DnsProvider: Send + Sync {
    /// Makes a text record the only one of its name.
    ///
    /// # Errors
    /// It is not known to be there.
    async fn publish(&self, record: &Txt) -> Result<(), DnsError>;

    /// Takes a text record away, and no other of its name.
    ///
    /// # Errors
    /// It is not known to be gone.
    async fn withdraw(&self, record: &Txt) -> Result<(), DnsError>;
}

/// Zones by name.
pub struct DnsZones(Vec<Zone>);

struct Zone {
    name: HostName,
    propagation_wait: Duration,
    provider: Box<dyn DnsProvider>,
}

impl DnsZones {
    /// The zones of a config.
    ///
    /// # Errors
    /// A name or key that is none, which the check of a config rules out.
    pub fn new(zones: &[DnsZone]) -> Result<Self, DnsError> {
        let zone = |zone: &DnsZone| {
            let provider: Box<dyn DnsProvider> = Box::new(Rfc2136::new(zone)?);
            Ok(Zone { name: zone.zone.clone(), propagation_wait: zone.propagation_wait, provider })
        };
        Ok(Self(zones.iter().map(zone).collect::<Result<_, _>>()?))
    }

    /// Whether a zone holds a name.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.zone(name).is_ok()
    }

    /// Makes a text record the only one of its name, and waits until all servers of the zone have it.
    ///
    /// # Errors
    /// It is not known to be there.
    pub async fn publish(&self, record: &Txt) -> Result<(), DnsError> {
        let zone = self.zone(&record.name)?;
        zone.provider.publish(record).await?;
        sleep(zone.propagation_wait).await;
        Ok(())
    }

    /// Takes a text record away, and no other of its name.
    ///
    /// # Errors
    /// It is not known to be gone.
    pub async fn withdraw(&self, record: &Txt) -> Result<(), DnsError> {
        self.zone(&record.name)?.provider.withdraw(record).await
    }

    /// The smallest zone that holds a name.
    fn zone(&self, name: &str) -> Result<&Zone, DnsError> {
        let holds = |zone: &&Zone| {
            let above = name.strip_suffix(zone.name.as_str());
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        };
        let found = self.0.iter().filter(holds).max_by_key(|zone| zone.name.as_str().len());
        found.ok_or_else(|| DnsError::NoZone(name.to_owned()))
    }
}
