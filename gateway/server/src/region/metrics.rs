//! Metrics of pools and their regions, read when a scrape asks for them.

use super::pool::PoolWatch;
use super::seen::Seen;
use super::watch::RegionWatch;
use crate::nodes::NodeProblem;
use fleetgate_core::health::{BackendSignal, BackendVerdict, DatabaseVerdict, LoginVerdict, Standing};
use fleetgate_core::region::{MoveCause, RegionVerdict, Route};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts};
use std::sync::{Arc, Mutex, PoisonError};

/// What a near miss of a database is counted as, beside the signals of backends.
const DATABASE: &str = "database";

/// Reads what is watched.
pub struct RegionMetrics {
    watch: Arc<RegionWatch>,
    collecting: Mutex<()>,
    route: IntGaugeVec,
    region: IntGaugeVec,
    database: IntGaugeVec,
    lag: GaugeVec,
    backends: IntGaugeVec,
    moves: IntCounterVec,
    near_misses: IntCounterVec,
    gateways: IntGaugeVec,
    login: IntGaugeVec,
    checks: IntGaugeVec,
    overruled: IntCounterVec,
}

impl RegionMetrics {
    /// Metrics of what is watched.
    ///
    /// # Errors
    /// A name or label that Prometheus does not allow, which a test rules out.
    pub fn new(watch: Arc<RegionWatch>) -> prometheus::Result<Self> {
        let gauges =
            |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        Ok(Self {
            watch,
            collecting: Mutex::default(),
            route: gauges(
                "fleetgate_pool_route",
                "1 for what is done with the requests of a pool, 0 for all else.",
                &["pool", "state"],
            )?,
            region: gauges(
                "fleetgate_region_state",
                "1 for what a region could do for a pool, 0 for all else.",
                &["pool", "region", "state"],
            )?,
            database: gauges(
                "fleetgate_region_database_state",
                "1 for what is believed of the database of a region, 0 for all else.",
                &["pool", "region", "state"],
            )?,
            lag: GaugeVec::new(
                Opts::new(
                    "fleetgate_region_database_lag_seconds",
                    "How far the standby of a region is behind.",
                ),
                &["pool", "region"],
            )?,
            backends: gauges(
                "fleetgate_region_backends",
                "Backends of a region by what is believed of them.",
                &["pool", "region", "state"],
            )?,
            moves: counters(
                "fleetgate_pool_moves_total",
                "Moves of a pool to another region.",
                &["pool", "cause"],
            )?,
            near_misses: counters(
                "fleetgate_region_near_misses_total",
                "Times that probes failed, and passed again before anything followed.",
                &["pool", "region", "signal"],
            )?,
            gateways: gauges(
                "fleetgate_gateway_state",
                "1 for how another gateway of `nodes` is heard, 0 for all else.",
                &["gateway", "state"],
            )?,
            login: gauges(
                "fleetgate_region_login_state",
                "1 for what logins at the backends of a region say together, 0 for all else.",
                &["pool", "region", "state"],
            )?,
            checks: gauges(
                "fleetgate_region_check_state",
                "1 for what is believed of a check of what a region needs to take over, 0 for all else.",
                &["pool", "region", "check", "state"],
            )?,
            overruled: counters(
                "fleetgate_pool_overruled_checks_total",
                "Checks that did not pass when a pool moved to their region.",
                &["pool"],
            )?,
        })
    }

    fn read(&self) {
        let gauges = [
            &self.route,
            &self.region,
            &self.database,
            &self.backends,
            &self.login,
            &self.checks,
            &self.gateways,
        ];
        for gauges in gauges {
            gauges.reset();
        }
        self.lag.reset();
        self.moves.reset();
        self.near_misses.reset();
        self.overruled.reset();
        for pool in self.watch.watched() {
            self.read_pool(&pool);
        }
        for node in self.watch.nodes() {
            for state in NodeProblem::NAMES {
                let is = i64::from(state == node.state);
                self.gateways.with_label_values(&[&*node.gateway, state]).set(is);
            }
        }
    }

    fn read_pool(&self, watch: &PoolWatch) {
        let (name, route, seen) = (&*watch.pool.name, watch.route(), watch.seen());
        for state in Route::NAMES {
            self.route.with_label_values(&[name, state]).set(i64::from(state == route.as_str()));
        }
        for cause in MoveCause::ALL {
            let count = seen.judge.moves_for(cause);
            self.moves.with_label_values(&[name, cause.as_str()]).inc_by(count);
        }
        self.overruled.with_label_values(&[name]).inc_by(seen.overruled_total);
        for (place, region) in watch.pool.regions.iter().enumerate() {
            self.read_region([name, &*region.name], place, &seen);
            if watch.pool.login.is_some() {
                let now = seen.logins(place).as_str();
                for state in LoginVerdict::NAMES {
                    let labels = [name, &*region.name, state];
                    self.login.with_label_values(&labels).set(i64::from(state == now));
                }
            }
            for (check, known) in region.checks.iter().zip(seen.checks.get(place).into_iter().flatten()) {
                for state in [Standing::Passing, Standing::Failing, Standing::Unknown] {
                    let labels = [name, &*region.name, &*check.name, state.as_str()];
                    let now = state == known.health.standing();
                    self.checks.with_label_values(&labels).set(i64::from(now));
                }
            }
        }
    }

    fn read_region(&self, [pool, region]: [&str; 2], place: usize, seen: &Seen) {
        let (database, verdict) = (seen.judge.database(place), seen.judge.verdict(place));
        let verdict = verdict.map_or("", RegionVerdict::as_str);
        for (gauges, names, now) in [
            (&self.region, RegionVerdict::NAMES, verdict),
            (&self.database, DatabaseVerdict::NAMES, database.as_str()),
        ] {
            for state in names {
                gauges.with_label_values(&[pool, region, state]).set(i64::from(state == now));
            }
        }
        if let DatabaseVerdict::Standby { lag_ms } = database {
            let seconds = std::time::Duration::from_millis(lag_ms).as_secs_f64();
            self.lag.with_label_values(&[pool, region]).set(seconds);
        }
        let backends = seen.backends.get(place).map_or(&[][..], Vec::as_slice);
        for state in BackendVerdict::ALL {
            let count = backends.iter().filter(|backend| backend.health.verdict() == state).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.backends.with_label_values(&[pool, region, state.as_str()]).set(count);
        }
        for signal in BackendSignal::ALL {
            let counts = backends.iter().map(|backend| backend.health.signal(signal).near_misses());
            let count = counts.fold(0_u64, |sum, count| sum.saturating_add(u64::from(count)));
            self.near_misses.with_label_values(&[pool, region, signal.as_str()]).inc_by(count);
        }
        let answers = seen.judge.regions().get(place).map(|region| *region.database.answers());
        let count = answers.map_or(0, |answers| u64::from(answers.near_misses()));
        self.near_misses.with_label_values(&[pool, region, DATABASE]).inc_by(count);
    }

    fn parts(&self) -> [&dyn Collector; 11] {
        [
            &self.route,
            &self.region,
            &self.database,
            &self.lag,
            &self.backends,
            &self.moves,
            &self.near_misses,
            &self.gateways,
            &self.login,
            &self.checks,
            &self.overruled,
        ]
    }
}

impl Collector for RegionMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Two scrapes at once would both add to the same counters.
        let _alone = self.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        self.read();
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}
