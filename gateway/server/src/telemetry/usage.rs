//! Metrics of what tenants use, read when they are asked for.

use crate::usage::Usage;
use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use std::sync::Arc;

/// Reads the store of usage.
#[derive(Debug)]
pub(super) struct UsageCollector {
    usage: Arc<Usage>,
    durable: IntGauge,
    messages_waiting: IntGauge,
}

impl UsageCollector {
    pub(super) fn new(usage: Arc<Usage>) -> prometheus::Result<Self> {
        Ok(Self {
            usage,
            durable: IntGauge::new(
                "fleetgate_usage_durable",
                "1 while usage of quotas outlives the process, 0 while it is counted in memory only.",
            )?,
            messages_waiting: IntGauge::new(
                "fleetgate_quota_messages_waiting",
                "Messages about thresholds that wait for the receiver.",
            )?,
        })
    }
}

impl Collector for UsageCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.durable.desc().into_iter().chain(self.messages_waiting.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let store = self.usage.opened();
        self.durable.set(i64::from(store.is_none_or(|store| store.is_durable())));
        let waiting = store.map_or(0, |store| store.messages_waiting());
        self.messages_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.durable.collect().into_iter().chain(self.messages_waiting.collect()).collect()
    }
}
