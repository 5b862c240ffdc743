//! Networks that may send requests of a class.

use crate::traffic::TrafficClass;
use core::net::IpAddr;
use ipnet::IpNet;

/// Networks per traffic class. `None`: everybody.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ClassNetworks([Option<Vec<IpNet>>; TrafficClass::ALL.len()]);

impl ClassNetworks {
    /// No class is limited.
    pub const EVERYBODY: Self = Self([const { None }; TrafficClass::ALL.len()]);

    /// Limits a class to some networks, instead of those it was limited to before.
    pub fn limit(&mut self, class: TrafficClass, networks: Vec<IpNet>) {
        if let Some(slot) = self.0.get_mut(class.position()) {
            *slot = Some(networks);
        }
    }

    /// Whether a client may send requests of a class.
    #[must_use]
    pub fn allows(&self, class: TrafficClass, client: IpAddr) -> bool {
        match self.0.get(class.position()) {
            Some(Some(networks)) => allows(networks, client),
            Some(None) | None => true,
        }
    }
}

/// Whether a client is in one of the networks. An IPv4 address inside IPv6 counts as the former.
#[must_use]
pub fn allows(networks: &[IpNet], client: IpAddr) -> bool {
    let client = client.to_canonical();
    networks.iter().any(|network| network.contains(&client))
}
