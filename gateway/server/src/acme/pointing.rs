//! Whether a host leads here.

use super::trouble::{StartError, Trouble};
use fleetgate_core::acme::Failure;
use fleetgate_core::config::Acme;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// For one question to one server.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

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
        let mut builder = if settings.resolvers.is_empty() {
            TokioResolver::builder_tokio().map_err(StartError::Resolver)?
        } else {
            let servers = settings.resolvers.iter().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = QUESTION_TIMEOUT;
        // What was the answer a minute ago is not the question.
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = builder.build().map_err(StartError::Resolver)?;
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

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}
