//! Checks of what a region needs to take over, beside its database and its backends: sessions, attachments, whatever an
//! operator names.

use super::agent;
use super::asking::Turns;
use super::event::{OVERRULED, Subject, VerdictEvent};
use super::odoo::Seen as Said;
use super::pool::PoolWatch;
use super::seen::Seen;
use fleetgate_core::health::{Damped, Doubt, Moment, Standing};
use fleetgate_core::pool::RegionCheck;
use fleetgate_core::region::{Move, RegionIndex, Route};
use std::sync::Arc;

/// Moves that were made although a check did not pass, as far as they are remembered.
const OVERRULED_MAX: usize = 32;

/// What is known of a check.
#[derive(Debug, Clone, Default)]
pub(super) struct CheckSeen {
    pub(super) health: Damped,
    /// What it last said.
    pub(super) words: String,
}

/// A check that did not pass when requests moved to its region.
#[derive(Debug, Clone)]
pub(super) struct Overruled {
    pub(super) region: RegionIndex,
    pub(super) at: Moment,
    /// Name of the check, what it said and what users may meet.
    pub(super) words: String,
}

/// What users may meet after a move to a region where a check does not pass.
pub(super) fn consequence(check: &str) -> String {
    match check {
        "sessions" => "users may have to log in again".to_owned(),
        "filestore" => "attachments and images may be missing".to_owned(),
        other => format!("what `{other}` looks after may be missing"),
    }
}

/// Runs a check again and again, while a region serves: what it compares with is the region that does.
pub(super) async fn run_check(watch: Arc<PoolWatch>, region: RegionIndex, place: usize, check: RegionCheck) {
    let mut turns = Turns::one_by_one(check.cadence);
    loop {
        turns.next().await;
        let route = watch.route();
        let Route::Serve(serving) = route else {
            turns.end(Doubt::None);
            continue;
        };
        let (here, there) = (watch.region_name(region), watch.region_name(serving));
        let said = agent::check(&check, &watch.pool.name, here, there).await;
        // What was found while another region served is no answer any more.
        let current = watch.route() == route;
        turns.end(if current { watch.note_check(region, place, &check, said) } else { Doubt::None });
    }
}

impl PoolWatch {
    /// Takes what a check said. What is thought of it now.
    fn note_check(
        self: &Arc<Self>,
        region: RegionIndex,
        place: usize,
        RegionCheck { name, cadence, .. }: &RegionCheck,
        (reading, words): Said,
    ) -> Doubt {
        let now = self.now();
        let mut seen = self.seen();
        let Some(known) = seen.checks.get_mut(region).and_then(|region| region.get_mut(place)) else {
            return Doubt::None;
        };
        let before = known.health.standing();
        let changed = known.health.note(reading, cadence.damping, now);
        known.words.clone_from(&words);
        let (standing, doubt) = (known.health.standing(), known.health.doubt());
        seen.count_checks(region);
        drop(seen);
        if changed {
            let event = self.event(Subject::Check, region, before.as_str(), standing.as_str());
            self.tell(VerdictEvent { saw: format!("{name}: {words}"), ..event });
        }
        self.conclude();
        doubt
    }

    /// What a region lacks to take over: names of checks that do not pass, and what they say.
    pub(super) fn lacking(&self, seen: &Seen, region: RegionIndex) -> Vec<(String, String)> {
        let checks = self.pool.regions.get(region).map_or(&[][..], |region| &region.checks);
        let known = seen.checks.get(region).map_or(&[][..], Vec::as_slice);
        let not_passing = checks.iter().zip(known).filter(|(_, seen)| !passes(&seen.health));
        not_passing.map(|(check, seen)| (check.name.to_string(), said(seen))).collect()
    }

    /// Notes that requests moved to a region. What has to be told about what it lacks.
    pub(super) fn overrule(&self, seen: &mut Seen, done: &Move) -> Vec<VerdictEvent> {
        let mut told = Vec::new();
        for (name, said) in self.lacking(seen, done.to) {
            let words = format!("{name}: {said}: {}", consequence(&name));
            let event = self.event(Subject::Check, done.to, Standing::Failing.as_str(), OVERRULED);
            told.push(VerdictEvent { saw: words.clone(), ..event });
            seen.overruled_total = seen.overruled_total.saturating_add(1);
            if seen.overruled.len() >= OVERRULED_MAX {
                seen.overruled.remove(0);
            }
            seen.overruled.push(Overruled { region: done.to, at: done.at, words });
        }
        // What they compared with is no longer the region that serves.
        for region in 0..seen.checks.len() {
            let checks = seen.checks.get_mut(region).into_iter().flatten();
            checks.for_each(|check| *check = CheckSeen::default());
            seen.count_checks(region);
        }
        told
    }
}

/// Whether nothing speaks against it. One that has not passed yet says nothing.
pub(super) fn passes(check: &Damped) -> bool {
    check.standing() == Standing::Passing
}

fn said(seen: &CheckSeen) -> String {
    if seen.words.is_empty() { "it has not run yet".to_owned() } else { seen.words.clone() }
}
