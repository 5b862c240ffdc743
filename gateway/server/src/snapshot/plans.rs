//! Which quotas a tenant has, by its id.

use super::Snapshot;
use fleetgate_core::limit::Limits;
use fleetgate_core::quota::QuotaTerms;
use fleetgate_core::tenant::NameTemplate;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The terms of tenants by id.
pub struct Plans<'a> {
    fixed: FxHashMap<&'a str, &'a Arc<QuotaTerms>>,
    /// Entries that stand for as many tenants as there are labels.
    labelled: Vec<(&'a NameTemplate, &'a Arc<QuotaTerms>)>,
}

impl<'a> Plans<'a> {
    /// Those of a snapshot.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let mut plans = Self { fixed: FxHashMap::default(), labelled: Vec::new() };
        for (_, tenant) in snapshot.fleet.tenants.iter() {
            let limits = Limits::at(&snapshot.fleet.limits, tenant.limits);
            let Some(terms) = &limits.quotas else { continue };
            plans.fixed.insert(tenant.id.as_written(), terms);
            if tenant.id.has_placeholder() {
                plans.labelled.push((&tenant.id, terms));
            }
        }
        plans
    }

    /// Those of a tenant, if it has any.
    #[must_use]
    pub fn terms(&self, id: &str) -> Option<&'a Arc<QuotaTerms>> {
        let by_label = || self.labelled.iter().find(|(template, _)| template.may_be(id));
        self.fixed.get(id).copied().or_else(|| by_label().map(|(_, terms)| *terms))
    }
}
