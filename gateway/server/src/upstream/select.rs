//! The attempts of one request: each backend at most once.

use crate::snapshot::{BackendLease, BackendState};
use fleetgate_core::backend::{BackendIndex, BackendLoad, BackendSet, choose, own_subset, stable_hash};
use fleetgate_core::traffic::BackendPort;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a request has tried, and how many backends may be asked at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempts {
    tried: BackendSet,
    last: Option<BackendIndex>,
    asked: u32,
}

impl Attempts {
    /// Backends asked per request at most: a request must fail in good time when a whole region is gone.
    pub const MAX: u32 = 3;

    /// Takes a place at the best backend that was not tried; `None` when there is none or enough were asked.
    pub fn next(
        &mut self,
        backends: &[Arc<BackendState>],
        port: BackendPort,
        tenant: &str,
        backends_per_tenant: u8,
    ) -> Option<BackendLease> {
        if !self.may_try_another(backends.len()) {
            return None;
        }
        let chosen = best(backends, port, tenant, backends_per_tenant, self.tried)?;
        self.tried.insert(chosen);
        self.last = Some(chosen);
        self.asked = self.asked.saturating_add(1);
        backends.get(chosen).map(|backend| BackendLease::take(backend, port))
    }

    /// The attempts before the last one, whose backend may then be asked once more.
    #[must_use]
    pub fn without_last(mut self) -> Self {
        if let Some(last) = self.last.take() {
            self.tried.remove(last);
            self.asked = self.asked.saturating_sub(1);
        }
        self
    }

    /// The same attempts, of which all but the last were so long ago that their backends may be asked again.
    #[must_use]
    pub fn forgiving_others(mut self) -> Self {
        self.tried = BackendSet::default();
        self.last.into_iter().for_each(|last| self.tried.insert(last));
        self
    }

    /// Whether a further backend could be asked.
    #[must_use]
    pub fn may_try_another(self, backends: usize) -> bool {
        self.asked < Self::MAX && usize::try_from(self.tried.len()).is_ok_and(|tried| tried < backends)
    }

    /// Whether a further backend could be asked that is well, as far as anybody knows.
    #[must_use]
    pub fn may_try_better(self, backends: &[Arc<BackendState>], port: BackendPort) -> bool {
        let is_well = |(index, backend): (usize, &Arc<BackendState>)| {
            let load = backend.load(port);
            !self.tried.contains(index) && !load.failing && !load.draining
        };
        self.may_try_another(backends.len()) && backends.iter().enumerate().any(is_well)
    }

    /// Backends asked so far.
    #[must_use]
    pub fn count(self) -> u32 {
        self.asked
    }
}

/// The backends of a tenant in the order in which they would be asked now.
#[must_use]
pub fn preference(
    backends: &[Arc<BackendState>],
    port: BackendPort,
    tenant: &str,
    backends_per_tenant: u8,
) -> Vec<SocketAddr> {
    let mut tried = BackendSet::default();
    let mut order = Vec::with_capacity(backends.len());
    while let Some(next) = best(backends, port, tenant, backends_per_tenant, tried) {
        tried.insert(next);
        order.extend(backends.get(next).map(|backend| backend.port(port).address));
    }
    order
}

/// Workers of the backends that a tenant is spread over.
#[must_use]
pub fn reach(backends: &[Arc<BackendState>], tenant: &str, backends_per_tenant: u8) -> u32 {
    let load = |index: usize| loaded(backends, BackendPort::Http, index);
    let own = own_subset(stable_hash(tenant.as_bytes()), backends_per_tenant, backends.len(), &load);
    let own = backends.iter().enumerate().filter(|(index, _)| own.contains(*index));
    own.fold(0, |sum, (_, backend)| sum.saturating_add(backend.http.workers()))
}

fn loaded(backends: &[Arc<BackendState>], port: BackendPort, index: usize) -> BackendLoad {
    let unknown = BackendLoad { hash: 0, in_flight: u32::MAX, failing: true, draining: false, full: true };
    backends.get(index).map_or(unknown, |backend| backend.load(port))
}

fn best(
    backends: &[Arc<BackendState>],
    port: BackendPort,
    tenant: &str,
    backends_per_tenant: u8,
    tried: BackendSet,
) -> Option<usize> {
    let load = |index: usize| loaded(backends, port, index);
    choose(stable_hash(tenant.as_bytes()), backends_per_tenant, tried, backends.len(), load)
}
