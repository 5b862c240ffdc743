//! `dns_zones` as written.

use super::address::Server;
use super::collection::{Choice, OneOf};
use super::value::{Lasting, SecretText, text_schema};
use crate::config::TsigAlgorithm;
use crate::config::read::{At, Text, section};
use crate::host::HostName;
use std::borrow::Cow;

section! {
    /// A zone of DNS that Fleetgate may change, by dynamic updates (RFC 2136) that are signed with a shared key (TSIG, RFC
    /// 8945).
    pub(in crate::config) struct DnsZoneEntry {
        /// Name of the zone.
        zone: At<Domain>,
        /// Its primary server.
        server: Server,
        /// Name of the key.
        key_name: Domain,
        /// Algorithm of the key.
        key_algorithm: OneOf<TsigAlgorithm> = "hmac-sha256",
        /// The key, in base64.
        key_secret: At<SecretText>,
        /// Time until all servers of the zone have a change.
        propagation_wait: Lasting<0, 600_000> = "5s",
    }
}

impl Choice for TsigAlgorithm {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("hmac-sha256", Self::HmacSha256),
        ("hmac-sha384", Self::HmacSha384),
        ("hmac-sha512", Self::HmacSha512),
    ];
}

/// A name in DNS.
#[derive(Debug)]
pub(in crate::config) struct Domain(pub(in crate::config) HostName);

impl Text for Domain {
    fn expected() -> Cow<'static, str> {
        "a name such as `example.com`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        HostName::parse(text).map(Self).map_err(|error| error.to_string())
    }
}

text_schema! {
    Domain;
}
