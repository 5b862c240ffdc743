//! What is known of a pool that is watched.

use super::check::{CheckSeen, Overruled, passes};
use super::memory::Remembered;
use super::pool::PoolWatch;
use super::share::Company;
use crate::snapshot::{BackendState, PoolRoute, RegionSight};
use fleetgate_core::health::{
    BackendHealth, BackendSignal, BackendVerdict, DatabaseVerdict, LoginVerdict, Moment, Replication, Trail,
    following,
};
use fleetgate_core::pool::Pool;
use fleetgate_core::region::{Heard, Judge, Led, RegionIndex, RegionState, RegionVerdict, Route, Sight};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// What is known of a pool.
pub(super) struct Seen {
    pub(super) judge: Judge,
    /// By region and place.
    pub(super) backends: Vec<Vec<BackendSeen>>,
    /// By region.
    pub(super) databases: Vec<DatabaseSeen>,
    /// By region and place among its checks.
    pub(super) checks: Vec<Vec<CheckSeen>>,
    /// Checks that did not pass when requests moved to their regions, oldest first.
    pub(super) overruled: Vec<Overruled>,
    /// All of them since the start.
    pub(super) overruled_total: u64,
    /// What this gateway itself last saw of each database, by region.
    pub(super) sights: Vec<Option<Sight>>,
    /// The gateways that decide with this one.
    pub(super) company: Company,
    /// What the process of this gateway last said that has its vote, where this one has not.
    pub(super) own: Option<Heard>,
    /// When a probe of anything last got its answer.
    pub(super) anchored: Option<Moment>,
    /// Verdicts on databases and regions that were told, by region.
    pub(super) told: Vec<(&'static str, &'static str)>,
    /// What logins say together that was told, by region.
    pub(super) told_logins: Vec<LoginVerdict>,
    /// The history that is on disk.
    pub(super) remembered: Option<Led>,
    /// Whether one is on its way to the disk.
    pub(super) remembering: bool,
    /// Whether the route is more than what the config says.
    pub(super) concluded: bool,
    /// Whether another watch has taken over, or nobody watches the pool any more.
    pub(super) retired: bool,
}

/// What is known of a backend.
#[derive(Debug, Clone, Default)]
pub(super) struct BackendSeen {
    pub(super) health: BackendHealth,
    /// What each signal last saw, in words.
    pub(super) words: [String; BackendSignal::ALL.len()],
}

impl BackendSeen {
    /// Takes what a signal saw.
    pub(super) fn says(&mut self, signal: BackendSignal, words: &str) {
        let slots = BackendSignal::ALL.into_iter().zip(&mut self.words);
        if let Some((_, slot)) = slots.into_iter().find(|(known, _)| *known == signal) {
            words.clone_into(slot);
        }
    }

    /// What a signal last saw.
    pub(super) fn said(&self, signal: BackendSignal) -> &str {
        let slots = BackendSignal::ALL.into_iter().zip(&self.words);
        slots.into_iter().find(|(known, _)| *known == signal).map_or("", |(_, words)| words)
    }
}

/// What is known of a database.
#[derive(Debug, Clone, Default)]
pub(super) struct DatabaseSeen {
    /// Whether the probe ran at all.
    pub(super) asked: bool,
    /// What it last saw, in words.
    pub(super) words: String,
    /// What the server last said of replication.
    pub(super) replication: Replication,
}

impl Seen {
    /// What is known before anything was asked.
    pub(super) fn of(
        pool: &Pool,
        route: &PoolRoute,
        backends: &[Vec<Arc<BackendState>>],
        remembered: &Remembered,
    ) -> Self {
        let regions = pool.regions.iter().zip(backends).map(|(region, backends)| {
            let backends = u8::try_from(backends.len()).unwrap_or(u8::MAX);
            RegionState { standby: region.standby, backends_up: backends, backends, ..RegionState::default() }
        });
        let led = remembered.led();
        let mut judge = Judge::new(pool.failover, regions.collect(), led);
        let pinned = remembered.pin.as_ref().and_then(|pin| region_named(pool, &pin.region));
        judge.pin(pinned);
        // A change of the config moves nobody.
        if let Route::Serve(region) | Route::Fenced(region) | Route::Agreeing(region) = route.get() {
            judge.resume(region);
        }
        let checks: Vec<Vec<CheckSeen>> =
            pool.regions.iter().map(|region| vec![CheckSeen::default(); region.checks.len()]).collect();
        let told = (0..pool.regions.len()).map(|region| verdicts(&judge, region)).collect();
        let backend = |state: &Arc<BackendState>| {
            let mut seen = BackendSeen::default();
            seen.health.set_draining(remembered.draining.contains_key(&state.http.address.to_string()));
            seen
        };
        let mut seen = Self {
            judge,
            checks,
            overruled: Vec::new(),
            overruled_total: 0,
            told_logins: vec![LoginVerdict::Unknown; pool.regions.len()],
            backends: backends.iter().map(|region| region.iter().map(backend).collect()).collect(),
            databases: vec![DatabaseSeen::default(); pool.regions.len()],
            sights: vec![None; pool.regions.len()],
            company: Company::default(),
            own: None,
            anchored: None,
            told,
            remembered: led,
            remembering: false,
            concluded: false,
            retired: false,
        };
        (0..pool.regions.len()).for_each(|region| seen.count_checks(region));
        seen
    }

    /// Tells the judge whether a region lacks something.
    pub(super) fn count_checks(&mut self, region: RegionIndex) {
        let lacks = self.checks.get(region).into_iter().flatten().any(|check| !passes(&check.health));
        if let Some(state) = self.judge.region_mut(region) {
            state.lacks = lacks;
        }
    }

    /// What logins at a region say together.
    pub(super) fn logins(&self, region: RegionIndex) -> LoginVerdict {
        let backends = self.backends.get(region).into_iter().flatten();
        LoginVerdict::of(backends.map(|backend| backend.health.signal(BackendSignal::Login)))
    }

    /// What was said where a login failed, or else where it worked.
    pub(super) fn login_words(&self, region: RegionIndex) -> String {
        let logins = self.backends.get(region).into_iter().flatten();
        let failing = |backend: &&BackendSeen| backend.health.signal(BackendSignal::Login).is_failing();
        let said = logins.clone().find(failing).or_else(|| logins.clone().next());
        said.map(|backend| backend.said(BackendSignal::Login).to_owned()).unwrap_or_default()
    }

    /// What this gateway itself sees of the regions. `born` is when its clock began.
    pub(super) fn sights(&self, born: Instant) -> Vec<RegionSight> {
        let regions = self.sights.iter().zip(self.judge.regions()).enumerate();
        regions
            .map(|(region, (sight, state))| RegionSight {
                database: sight.map(|sight| (sight.seen, born + sight.at)),
                backends_up: state.backends_up,
                left_behind: self.judge.is_left_behind(region),
            })
            .collect()
    }

    /// Goes on with what a watch knew that ends now.
    pub(super) fn take_over(&mut self, pool: &Pool, backends: &[Vec<Arc<BackendState>>], before: &PoolWatch) {
        let mut known = before.seen();
        known.retired = true;
        let names = |pool: &Pool| pool.regions.iter().map(|region| region.name.clone()).collect::<Vec<_>>();
        if names(pool) == names(&before.pool) {
            // They speak of regions by their places.
            self.company.clone_from(&known.company);
            self.own = known.own;
        }
        let databases = |pool: &Pool| {
            let regions = pool.regions.iter();
            regions
                .map(|region| (region.name.clone(), region.standby, region.database.clone()))
                .collect::<Vec<_>>()
        };
        if databases(pool) == databases(&before.pool) {
            self.judge = known.judge.clone();
            self.judge.set_policy(pool.failover);
            self.databases.clone_from(&known.databases);
            self.sights.clone_from(&known.sights);
            self.anchored = known.anchored;
            self.told.clone_from(&known.told);
            self.remembered = known.remembered;
            self.concluded = known.concluded;
            self.told_logins.clone_from(&known.told_logins);
            self.overruled.clone_from(&known.overruled);
            self.overruled_total = known.overruled_total;
        } else {
            self.judge.withdraw(before.now());
        }
        let old = before.backends.iter().flatten().zip(known.backends.iter().flatten());
        let old: BTreeMap<&str, &BackendSeen> = old.map(|(state, seen)| (state.key(), seen)).collect();
        let new = backends.iter().flatten().zip(self.backends.iter_mut().flatten());
        for (state, seen) in new {
            if let Some(known) = old.get(state.key()) {
                let draining = seen.health.is_draining();
                seen.clone_from(known);
                // What an operator decided is in the memory.
                seen.health.set_draining(draining);
            }
        }
        for (region, seen) in self.backends.iter().enumerate() {
            count_backends(&mut self.judge, region, seen);
        }
        for (region, configured) in pool.regions.iter().enumerate() {
            let old = before.pool.regions.iter().position(|old| old.name == configured.name);
            let old = old.and_then(|old| before.pool.regions.get(old).zip(known.checks.get(old)));
            let (Some((old, known)), Some(checks)) = (old, self.checks.get_mut(region)) else { continue };
            for (check, seen) in configured.checks.iter().zip(checks) {
                let found = old.checks.iter().zip(known).find(|(old, _)| *old == check);
                if let Some((_, known)) = found {
                    seen.clone_from(known);
                }
            }
            self.count_checks(region);
        }
    }
}

/// Notes how standbys follow the primary, as far as they and the primary say it while there is one.
pub(super) fn note_followers(seen: &mut Seen, now: Moment) {
    let verdicts = seen.judge.database_verdicts();
    let primary = verdicts.iter().position(|verdict| *verdict == DatabaseVerdict::Writable);
    let Some(primary) = primary.and_then(|region| seen.databases.get(region)) else { return };
    let followings = verdicts.iter().zip(&seen.databases).map(|(verdict, database)| {
        let follows = matches!(verdict, DatabaseVerdict::Standby { .. });
        follows.then(|| following(&database.replication, &primary.replication))
    });
    for (region, following) in followings.collect::<Vec<_>>().into_iter().enumerate() {
        match (following, seen.judge.region_mut(region)) {
            (Some(following), Some(state)) => state.trail.note(following, now),
            (None, Some(state)) if verdicts.get(region) == Some(&DatabaseVerdict::Writable) => {
                state.trail = Trail::default();
            }
            _ => {}
        }
    }
}

fn region_named(pool: &Pool, name: &str) -> Option<RegionIndex> {
    pool.regions.iter().position(|region| *region.name == *name)
}

pub(super) fn count_backends(judge: &mut Judge, region: RegionIndex, backends: &[BackendSeen]) {
    let count = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
    let up = backends.iter().filter(|backend| backend.health.verdict() != BackendVerdict::Down).count();
    if let Some(state) = judge.region_mut(region) {
        (state.backends, state.backends_up) = (count(backends.len()), count(up));
    }
}

/// Verdicts on the database of a region and on the region.
pub(super) fn verdicts(judge: &Judge, region: RegionIndex) -> (&'static str, &'static str) {
    (judge.database(region).as_str(), judge.verdict(region).map_or("", RegionVerdict::as_str))
}
