//! Whether a host leads here.

use super::trouble::{StartError, Trouble};
use crate::dns::resolver;
use fleetgate_core::acme::Failure;
use fleetgate_core::config::Acme;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use std::net::IpAddr;

/// Looks up where hosts lead.
pub(super) struct Pointing {
    resolver: TokioResolver,
    addresses: Vec<IpAddr>,
}

impl Pointing {
    /// `None` when hosts may lead anywhere.
    pub(super) fn new(settings: &Acme) -> Result<Option<Self>, StartError> {
        if settings.addresses.is_empty() {
            return Ok(None);
        }
        let strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = resolver(&settings.resolvers, strategy).map_err(StartError::Resolver)?;
        Ok(Some(Self { resolver, addresses: settings.addresses.clone() }))
    }

    /// Looks a host up.
    pub(super) async fn check(&self, host: &str) -> Result<(), Trouble> {
        let elsewhere = |message| Err(Trouble::new(Failure::PointsElsewhere, message));
        let found: Vec<IpAddr> = match self.resolver.lookup_ip(format!("{host}.")).await {
            Ok(found) => found.iter().collect(),
            Err(error) => return elsewhere(format!("where it leads cannot be looked up: {error}")),
        };
        let foreign: Vec<String> = found
            .iter()
            .filter(|address| !self.addresses.contains(address))
            .map(ToString::to_string)
            .collect();
        if found.is_empty() {
            return elsewhere("it leads nowhere".to_owned());
        }
        if !foreign.is_empty() {
            return elsewhere(format!(
                "it leads to {}, which is none of `acme.addresses`",
                foreign.join(", ")
            ));
        }
        Ok(())
    }
}
