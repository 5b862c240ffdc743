//! Where names of backends lead, as last known.

use fleetgate_core::host::HostName;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameFacts {
    /// Addresses of servers: those of the last answer that had any.
    pub addresses: Arc<[IpAddr]>,
    /// Why the last answer is not used, or not wholly.
    pub problem: Option<String>,
    /// Whether the name was looked up at all.
    pub asked: bool,
    /// When a process before this one got the addresses, while this one has got none.
    pub remembered: Option<jiff::Timestamp>,
}

/// Names with their addresses. They outlive snapshots: whoever looks names up notes them, the next snapshot is made of them.
#[derive(Debug, Default)]
pub struct NamedAddresses(Mutex<BTreeMap<HostName, NameFacts>>);

impl NamedAddresses {
    /// What is known of a name.
    #[must_use]
    pub fn facts(&self, name: &HostName) -> NameFacts {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// The addresses of a name.
    #[must_use]
    pub fn of(&self, name: &HostName) -> Arc<[IpAddr]> {
        self.facts(name).addresses
    }

    /// Notes what an answer said. `None` keeps the addresses that are known. What was known before.
    pub fn note(&self, name: &HostName, addresses: Option<&[IpAddr]>, problem: Option<String>) -> NameFacts {
        let mut names = self.lock();
        let facts = names.entry(name.clone()).or_default();
        let before = facts.clone();
        (facts.asked, facts.problem) = (true, problem);
        if addresses.is_some() {
            facts.remembered = None;
        }
        if let Some(addresses) = addresses.filter(|addresses| **addresses != *facts.addresses) {
            facts.addresses = addresses.into();
        }
        before
    }

    /// Notes what a process before this one knew of a name. Whether it is of use: nothing is known yet.
    pub fn remember(&self, name: &HostName, addresses: &[IpAddr], at: jiff::Timestamp) -> bool {
        let mut names = self.lock();
        let facts = names.entry(name.clone()).or_default();
        let useful = !facts.asked && facts.addresses.is_empty() && !addresses.is_empty();
        if useful {
            (facts.addresses, facts.remembered) = (addresses.into(), Some(at));
        }
        useful
    }

    /// Forgets all names but some.
    pub fn retain(&self, wanted: impl Fn(&HostName) -> bool) {
        self.lock().retain(|name, _| wanted(name));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<HostName, NameFacts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
