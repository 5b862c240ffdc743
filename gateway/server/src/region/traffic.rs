//! What requests of clients say about backends that answer their probes.

use super::asking::Turns;
use super::pool::PoolWatch;
use fleetgate_core::health::{BackendSignal, Doubt, Pace, Reading, Traffic, compare, is_tried_again};
use fleetgate_core::region::RegionIndex;
use std::sync::Arc;
use std::time::Duration;

/// What is said of a backend that fails for its requests and has got none for long enough.
const TRIED_AGAIN: &str = "it has got no requests for a while, and is tried again";

/// Reads what became of the requests of a backend, again and again.
pub(super) async fn read_outcomes(watch: Arc<PoolWatch>, region: RegionIndex, place: usize) {
    let backend = watch.backends.get(region).and_then(|backends| backends.get(place)).map(Arc::clone);
    let Some(backend) = backend else { return };
    let mut turns = Turns::one_by_one(watch.probes.traffic);
    loop {
        turns.next().await;
        turns.end(Doubt::None);
        let met = backend.traffic().take();
        let seen = met.reading().map(|reading| (reading, outcome_words(&met)));
        note(&watch, region, place, BackendSignal::Traffic, seen);
    }
}

/// Compares how late the answers of the backends of a region begin, again and again.
pub(super) async fn read_paces(watch: Arc<PoolWatch>, region: RegionIndex) {
    let Some(backends) = watch.backends.get(region) else { return };
    let mut turns = Turns::one_by_one(watch.probes.latency);
    loop {
        turns.next().await;
        turns.end(Doubt::None);
        let paces: Vec<Pace> = backends.iter().map(|backend| backend.traffic().take_pace()).collect();
        let readings = compare(&paces);
        for (place, (pace, reading)) in paces.iter().zip(readings).enumerate() {
            let others = paces.iter().enumerate().filter(|(other, _)| *other != place);
            let fastest = others.filter_map(|(_, pace)| pace.half_within()).min();
            let seen = reading.map(|reading| (reading, pace_words(pace, fastest)));
            note(&watch, region, place, BackendSignal::Latency, seen);
        }
    }
}

fn note(
    watch: &Arc<PoolWatch>,
    region: RegionIndex,
    place: usize,
    signal: BackendSignal,
    seen: Option<(Reading, String)>,
) {
    let again = || {
        let look = watch.cadence(signal).interval;
        let seen = watch.seen();
        let backend = seen.backends.get(region)?.get(place)?;
        is_tried_again(backend.health.signal(signal), look, watch.now())
            .then(|| (Reading::Pass, TRIED_AGAIN.to_owned()))
    };
    if let Some(seen) = seen.or_else(again) {
        watch.note_backend(region, place, signal, seen);
    }
}

fn outcome_words(met: &Traffic) -> String {
    let mut words =
        format!("{} of {} requests got no answer", met.failed, met.answered.saturating_add(met.failed));
    if met.broken > 0 {
        words.push_str(&format!(", {} answers broke off", met.broken));
    }
    if met.server_errors > 0 {
        let tenants = met.erring.count_min();
        words.push_str(&format!(
            ", {} errors of the server (5xx) met {tenants} tenants or more",
            met.server_errors
        ));
    }
    words
}

fn pace_words(pace: &Pace, fastest: Option<Duration>) -> String {
    let own = pace.half_within().unwrap_or_default();
    let mut words = format!("half of {} answers began within {own:?}", pace.count());
    if let Some(fastest) = fastest {
        words.push_str(&format!(", of the fastest of its equals within {fastest:?}"));
    }
    words
}
