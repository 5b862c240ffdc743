//! What probes, agents and requests say of the servers of a pool, as it comes in.

use super::database::{Statement, describe};
use super::event::{Subject, VerdictEvent};
use super::pool::PoolWatch;
use super::seen::{Seen, count_backends, note_followers};
use super::share::{Company, FRESH};
use crate::snapshot::BackendState;
use fleetgate_core::health::{
    BackendHealth, BackendSignal, BackendVerdict, DatabaseReading, Doubt, Moment, Reading, Replication,
};
use fleetgate_core::region::{RegionIndex, Sight, merge};
use fleetgate_core::traffic::BackendPort;
use std::sync::Arc;

impl PoolWatch {
    /// Notes what a probe of a backend saw. What is thought of the signal now.
    pub(super) fn note_backend(
        self: &Arc<Self>,
        region: RegionIndex,
        place: usize,
        signal: BackendSignal,
        (reading, words): (Reading, String),
    ) -> Doubt {
        let now = self.now();
        let mut seen = self.seen();
        let Some(backend) = seen.backends.get_mut(region).and_then(|region| region.get_mut(place)) else {
            return Doubt::None;
        };
        let before = backend.health.verdict();
        backend.health.note(signal, reading, self.cadence(signal).damping, now);
        let anchored = reading == Reading::Pass && signal != BackendSignal::Agent;
        let health = backend.health;
        backend.says(signal, &words);
        if let Some(state) = self.backends.get(region).and_then(|region| region.get(place)) {
            self.set_health(state, &health, before, now);
        }
        if anchored {
            seen.anchored = Some(now);
        }
        let Seen { judge, backends, .. } = &mut *seen;
        count_backends(judge, region, backends.get(region).map_or(&[], Vec::as_slice));
        self.show_abandoned(&seen, region);
        drop(seen);
        let saw = format!("{}: {words}", signal.as_str());
        let told = self.backend_event(region, place, before, health.verdict(), saw);
        told.into_iter().for_each(|event| self.tell(event));
        self.conclude();
        health.signal(signal).doubt()
    }

    /// Has requests see what is believed of a backend whose verdict was another one before.
    pub(super) fn set_health(
        &self,
        state: &BackendState,
        health: &BackendHealth,
        before: BackendVerdict,
        now: Moment,
    ) {
        state.set_health(health, self.probes.slow_start, now);
        let is_back = before == BackendVerdict::Down && health.verdict() != BackendVerdict::Down;
        if is_back && !self.probes.warm_up.is_zero() {
            state.set_cold();
        }
    }

    /// Has the websockets of a region see whose backend answers nobody while an equal takes over. Among backends that all
    /// look lost a wrong guess must not cut anybody off, and another region takes over by the route alone.
    pub(super) fn show_abandoned(&self, seen: &Seen, region: RegionIndex) {
        let port = BackendPort::Gevent;
        let backends = seen.backends.get(region).map_or(&[][..], Vec::as_slice);
        let taken_over = backends.iter().any(|backend| backend.health.takes_over(port));
        let states = self.backends.get(region).into_iter().flatten();
        for (state, backend) in states.zip(backends) {
            state.port(port).set_abandoned(taken_over && backend.health.is_lost(port));
        }
    }

    /// Takes a backend out, or back in. Whether the pool has it.
    pub(super) fn drain(self: &Arc<Self>, address: &str, draining: bool) -> bool {
        let mut found = false;
        for (region, backends) in self.backends.iter().enumerate() {
            for (place, state) in backends.iter().enumerate() {
                if state.http.address.to_string() != address {
                    continue;
                }
                found = true;
                let mut seen = self.seen();
                let backend = seen.backends.get_mut(region).and_then(|region| region.get_mut(place));
                let Some(backend) = backend else { continue };
                let before = backend.health.verdict();
                backend.health.set_draining(draining);
                let health = backend.health;
                state.set_health(&health, self.probes.slow_start, self.now());
                self.show_abandoned(&seen, region);
                drop(seen);
                let saw = "an operator said so".to_owned();
                let told = self.backend_event(region, place, before, health.verdict(), saw);
                told.into_iter().for_each(|event| self.tell(event));
            }
        }
        found
    }

    /// What is told of a backend, if its verdict changed.
    pub(super) fn backend_event(
        &self,
        region: RegionIndex,
        place: usize,
        before: BackendVerdict,
        verdict: BackendVerdict,
        saw: String,
    ) -> Option<VerdictEvent> {
        if before == verdict {
            return None;
        }
        let backend = self.backends.get(region).and_then(|region| region.get(place));
        let backend = backend.map(|backend| backend.http.address.to_string()).unwrap_or_default();
        let event = self.event(Subject::Backend, region, before.as_str(), verdict.as_str());
        Some(VerdictEvent { backend, saw, ..event })
    }

    /// Notes what came of a question to a database. What is thought of its answers now.
    pub(super) fn note_database(self: &Arc<Self>, region: RegionIndex, statement: Statement) -> Doubt {
        let mut now = self.now();
        let mut seen = self.seen();
        let gone = matches!(statement, Statement::Gone(_));
        let (reading, words) = match statement {
            Statement::Told { seen, age } => {
                now = now.saturating_sub(age);
                let words = seen.as_ref().map_or_else(
                    || "no server answers".to_owned(),
                    |seen| describe(seen, &Replication::default()),
                );
                (Some(seen), format!("the gateway there saw {age:?} ago: {words}"))
            }
            Statement::Seen(reading, replication) => {
                let words = describe(&reading, &replication);
                if let Some(database) = seen.databases.get_mut(region) {
                    database.replication = replication;
                }
                (Some(Some(reading)), words)
            }
            Statement::Silent(words) | Statement::Gone(words) => (Some(None), words),
            Statement::Refused(words) => {
                // Others that decide with this one may be let in.
                let told = self.quorum.and_then(|quorum| Self::merged(quorum, &seen, region, None, now));
                if let Some(state) = seen.judge.region_mut(region) {
                    state.database.note_refused();
                    if let Some((at, reading @ Some(_))) = told {
                        state.database.note(reading, self.probes.database.damping, at);
                    }
                }
                (None, words)
            }
        };
        if let Some(database) = seen.databases.get_mut(region) {
            let news = database.words != words && reading.is_none();
            database.asked = true;
            database.words.clone_from(&words);
            if news {
                tracing::error!(
                    pool = &*self.pool.name,
                    region = self.region_name(region),
                    answer = words,
                    "the database does not let the probe look: check the user, password, pg_hba.conf and certificates; until then nothing is concluded about it"
                );
            }
        }
        if let Some(reading) = reading {
            self.note_sight(&mut seen, region, reading, now);
            // Where several decide, it is one of their silences.
            if let (true, None, Some(state)) = (gone, self.quorum, seen.judge.region_mut(region)) {
                state.database.note_gone(now);
            }
            note_followers(&mut seen, now);
        }
        let region = seen.judge.regions().get(region);
        let doubt = region.map(|region| region.database.answers().doubt()).unwrap_or_default();
        drop(seen);
        self.conclude();
        doubt
    }

    /// What the gateways that decide together see of a database.
    fn merged(
        quorum: u8,
        seen: &Seen,
        region: RegionIndex,
        own: Option<Sight>,
        now: Moment,
    ) -> Option<(Moment, Option<DatabaseReading>)> {
        let Company { others, nodes, .. } = &seen.company;
        let nodes = usize::from(quorum).max(*nodes).max(others.len().saturating_add(1));
        let others = others.iter().filter_map(|other| *other.sights.get(region)?);
        merge(others.chain(own), nodes, FRESH, now)
    }

    /// Notes what was seen of a database: by this gateway, and where several decide, by all of them.
    fn note_sight(
        &self,
        seen: &mut Seen,
        region: RegionIndex,
        reading: Option<DatabaseReading>,
        now: Moment,
    ) {
        // One that reaches no anchor, or gets no answer from anybody, is itself cut off, and its silence says nothing.
        let answered = seen.anchored.is_some_and(|at| now.saturating_sub(at) <= FRESH);
        let anchored = self.around.anchors.reached().unwrap_or(answered);
        if reading.is_some() {
            seen.anchored = Some(now);
        }
        let sight = Sight { seen: reading, at: now, anchored: reading.is_some() || anchored };
        if let Some(own) = seen.sights.get_mut(region) {
            *own = Some(sight);
        }
        let noted = match self.quorum {
            None => Some((now, reading)),
            Some(quorum) => Self::merged(quorum, seen, region, Some(sight), now),
        };
        if let (Some((at, reading)), Some(state)) = (noted, seen.judge.region_mut(region)) {
            state.database.note(reading, self.probes.database.damping, at);
        }
    }
}
