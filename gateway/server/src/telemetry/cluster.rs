//! Metrics of several nodes, read when they are asked for.

use crate::cluster::{Cluster, ClusterFacts, ExchangeCounts};
use fleetgate_core::cluster::LinkState;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts};
use std::sync::{Arc, Mutex, PoisonError};

/// Reads what this node knows of the others.
pub(super) struct ClusterCollector {
    cluster: Option<Arc<Cluster>>,
    collecting: Mutex<()>,
    nodes: IntGauge,
    divided: IntGauge,
    state: IntGaugeVec,
    exchanges: IntCounterVec,
}

impl ClusterCollector {
    pub(super) fn new(cluster: Option<Arc<Cluster>>) -> prometheus::Result<Self> {
        let state = Opts::new(
            "fleetgate_cluster_redis",
            "1 for how the Redis that nodes share does, 0 for the rest.",
        );
        let exchanges = Opts::new("fleetgate_cluster_exchanges_total", "Exchanges with the other nodes.");
        Ok(Self {
            cluster,
            collecting: Mutex::default(),
            nodes: IntGauge::new(
                "fleetgate_cluster_nodes",
                "Nodes that are there, or were when Redis last answered.",
            )?,
            divided: IntGauge::new(
                "fleetgate_cluster_divided_tenants",
                "Tenants whose rates are divided among nodes by demand, because they are near a limit.",
            )?,
            state: IntGaugeVec::new(state, &["state"])?,
            exchanges: IntCounterVec::new(exchanges, &["result"])?,
        })
    }

    fn read(&self) {
        let facts = self.cluster.as_ref().map(|cluster| cluster.facts());
        let number = |of: &dyn Fn(&ClusterFacts) -> usize| {
            i64::try_from(facts.as_ref().map_or(0, of)).unwrap_or(i64::MAX)
        };
        self.nodes.set(number(&|facts| facts.nodes.len()));
        self.divided.set(number(&|facts| facts.divided_tenants));
        for state in LinkState::ALL {
            let is = facts.as_ref().is_some_and(|facts| facts.redis == state.as_str());
            self.state.with_label_values(&[state.as_str()]).set(i64::from(is));
        }
        self.exchanges.reset();
        let alone = ExchangeCounts::default();
        let counts = self.cluster.as_ref().map_or(&alone, |cluster| cluster.counts());
        for (result, count) in counts.all() {
            self.exchanges.with_label_values(&[result]).inc_by(count);
        }
    }
}

impl Collector for ClusterCollector {
    fn desc(&self) -> Vec<&Desc> {
        let parts: [&dyn Collector; 4] = [&self.nodes, &self.divided, &self.state, &self.exchanges];
        parts.into_iter().flat_map(|part| part.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Two scrapes at once would both add to the same counters.
        let _alone = self.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        self.read();
        let parts: [&dyn Collector; 4] = [&self.nodes, &self.divided, &self.state, &self.exchanges];
        parts.into_iter().flat_map(|part| part.collect()).collect()
    }
}
