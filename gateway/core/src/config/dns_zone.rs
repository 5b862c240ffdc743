//! What `dns_zones` means.

use super::file::DnsZoneEntry;
use super::model::Secret;
use super::problem::Spot;
use super::read::{At, Reader, Step};
use crate::host::HostName;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use core::net::SocketAddr;
use core::time::Duration;

/// A zone that may be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsZone {
    /// Name.
    pub zone: HostName,
    /// Primary server.
    pub server: SocketAddr,
    /// Name of the key.
    pub key_name: HostName,
    /// Algorithm of the key.
    pub key_algorithm: TsigAlgorithm,
    /// The key, in base64.
    pub key_secret: Secret,
    /// Time until all servers of the zone have a change.
    pub propagation_wait: Duration,
}

/// How messages are signed (RFC 8945, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsigAlgorithm {
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

/// Checks the zones beside each other.
pub(super) fn check(written: Vec<DnsZoneEntry>, reader: &mut Reader<'_>) -> Vec<DnsZone> {
    let mut zones: Vec<(Spot, DnsZone)> = Vec::with_capacity(written.len());
    for (index, entry) in written.into_iter().enumerate() {
        let DnsZoneEntry { zone: At { at, value: zone }, key_secret: At { at: key_at, value: key }, .. } =
            entry;
        reader.inside(Step::Key("dns_zones"), |reader| {
            reader.inside(Step::Index(index), |reader| {
                if let Some((other, _)) = zones.iter().find(|(_, other)| other.zone == zone.0) {
                    let message = format!("the zone `{}` is there twice", zone.0);
                    reader.conflict(at, *other, message, Some("remove one of them".into()));
                }
                if STANDARD.decode(key.0.reveal()).is_err() {
                    let hint = "expected base64, as `tsig-keygen` prints it";
                    reader.error(key_at, "the key of the zone is not valid".into(), Some(hint.into()));
                }
            });
        });
        let checked = DnsZone {
            zone: zone.0,
            server: entry.server.0,
            key_name: entry.key_name.0,
            key_algorithm: entry.key_algorithm.0,
            key_secret: key.0,
            propagation_wait: entry.propagation_wait.0,
        };
        zones.push((at, checked));
    }
    zones.into_iter().map(|(_, zone)| zone).collect()
}
