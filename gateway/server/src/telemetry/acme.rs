//! Metrics of certificates that are ordered.

use crate::acme::AcmeKeeper;
use fleetgate_core::acme::Failure;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};
use std::sync::{Arc, Mutex, PoisonError};

/// Reads what the keeper counts when a scrape asks for it.
pub(super) struct AcmeCollector {
    keeper: Option<Arc<AcmeKeeper>>,
    collecting: Mutex<()>,
    names: IntGaugeVec,
    orders: IntCounterVec,
}

impl AcmeCollector {
    pub(super) fn new(keeper: Option<Arc<AcmeKeeper>>) -> prometheus::Result<Self> {
        let names = Opts::new("fleetgate_acme_names", "Names that certificates are ordered for.");
        let orders = Opts::new("fleetgate_acme_orders_total", "Attempts to get a certificate.");
        Ok(Self {
            keeper,
            collecting: Mutex::default(),
            names: IntGaugeVec::new(names, &["state"])?,
            orders: IntCounterVec::new(orders, &["result"])?,
        })
    }

    fn read(&self) {
        let facts = self.keeper.as_ref().map(|keeper| keeper.facts());
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let count = |state: &str, value: Option<usize>| {
            self.names.with_label_values(&[state]).set(value.map_or(0, gauge));
        };
        count("served", facts.as_ref().map(|facts| facts.served));
        count("without", facts.as_ref().map(|facts| facts.names.saturating_sub(facts.served)));
        count("failing", facts.as_ref().map(|facts| facts.failing));
        count("over_budget", facts.as_ref().map(|facts| facts.over_budget));
        self.orders.reset();
        let issued = facts.as_ref().map_or(0, |facts| facts.issued);
        self.orders.with_label_values(&["issued"]).inc_by(issued);
        for failure in Failure::ALL {
            let failed = facts.as_ref().and_then(|facts| facts.failed.get(failure.as_str()).copied());
            self.orders.with_label_values(&[failure.as_str()]).inc_by(failed.unwrap_or(0));
        }
    }
}

impl Collector for AcmeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.names.desc().into_iter().chain(self.orders.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Two scrapes at once would both add to the same counters.
        let _alone = self.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        self.read();
        self.names.collect().into_iter().chain(self.orders.collect()).collect()
    }
}
