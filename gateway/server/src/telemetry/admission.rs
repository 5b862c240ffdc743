//! Metrics of admission: waits and refusals as they happen, workers and queues as they are when somebody asks.

use crate::snapshot::Snapshot;
use fleetgate_core::admission::{Shortage, WorkClass};
use fleetgate_core::traffic::TrafficClass;
use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};
use std::time::Duration;

/// Upper bounds of waits for a worker in seconds: none to the longest that a class may wait.
const WAIT_BUCKETS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// What is counted when a request has waited.
#[derive(Debug)]
pub(super) struct AdmissionCounters {
    wait: HistogramVec,
    shed: IntCounterVec,
}

impl AdmissionCounters {
    pub(super) fn new() -> prometheus::Result<Self> {
        let wait = HistogramOpts::new(
            "fleetgate_admission_wait_seconds",
            "Time that served requests waited for a worker.",
        );
        let shed = Opts::new(
            "fleetgate_admission_shed_total",
            "Requests refused because there were too few workers.",
        );
        Ok(Self {
            wait: HistogramVec::new(wait.buckets(WAIT_BUCKETS.to_vec()), &["pool", "class"])?,
            shed: IntCounterVec::new(shed, &["pool", "class", "reason"])?,
        })
    }

    pub(super) fn collectors(&self) -> [Box<dyn Collector>; 2] {
        [Box::new(self.wait.clone()), Box::new(self.shed.clone())]
    }

    pub(super) fn count_permit(&self, pool: &str, class: TrafficClass, waited: Duration) {
        self.wait.with_label_values(&[pool, class.as_str()]).observe(waited.as_secs_f64());
    }

    pub(super) fn count_shed(&self, pool: &str, class: TrafficClass, shortage: Shortage) {
        self.shed.with_label_values(&[pool, class.as_str(), shortage.as_str()]).inc();
    }
}

/// What is read when a scrape asks.
#[derive(Debug)]
pub(super) struct AdmissionGauges {
    workers: IntGaugeVec,
    held: IntGaugeVec,
    waiting: IntGaugeVec,
}

impl AdmissionGauges {
    pub(super) fn new() -> prometheus::Result<Self> {
        let gauges =
            |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        Ok(Self {
            workers: gauges(
                "fleetgate_admission_workers",
                "Workers of a pool that requests are let through to.",
                &["pool"],
            )?,
            held: gauges(
                "fleetgate_admission_held",
                "Workers of a pool that are held by requests now, by class of work.",
                &["pool", "work"],
            )?,
            waiting: gauges(
                "fleetgate_admission_waiting",
                "Requests that wait for a worker now, by class of work.",
                &["pool", "work"],
            )?,
        })
    }

    pub(super) fn parts(&self) -> [&dyn Collector; 3] {
        [&self.workers, &self.held, &self.waiting]
    }

    pub(super) fn read(&self, snapshot: &Snapshot) {
        for gauges in [&self.workers, &self.held, &self.waiting] {
            gauges.reset();
        }
        for (pool, admission) in snapshot.admissions() {
            let load = admission.load();
            self.workers.with_label_values(&[&*pool.name]).set(i64::from(load.workers));
            self.held.with_label_values(&[&*pool.name, "beside"]).set(i64::from(load.beside));
            for (class, (held, waiting)) in WorkClass::ALL.into_iter().zip(load.classes) {
                let labels = [&*pool.name, class.as_str()];
                self.held.with_label_values(&labels).set(i64::from(held));
                self.waiting.with_label_values(&labels).set(i64::from(waiting));
            }
        }
    }
}
