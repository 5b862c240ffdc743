//! One gateway that loses one probe in twenty.

use super::dice::Dice;
use super::fleet::Fleet;
use super::{DAMPING, STEP, judge};
use fleetgate_core::health::Moment;
use fleetgate_core::region::Route;

/// One gateway through a history of its own.
///
/// # Errors
/// It let requests reach a server that does not take writes, or chose between two that do. What happened.
pub(crate) fn history_of_one(seed: u64) -> Result<(), String> {
    let (mut dice, mut fleet, mut judge) = (Dice::new(seed), Fleet::new(), judge());
    let mut now = Moment::ZERO;
    // For how many steps each server took writes, or not.
    let (mut wrote, mut both) = ([None::<u32>; 2], 0_u32);
    for step in 0..120 {
        now += STEP;
        // The first probe gets through: without any answer, home is trusted.
        let begun = step > 0;
        if begun && dice.one_in(12) {
            fleet.happen(&mut dice);
        }
        for region in 0..2 {
            let seen = fleet.seen(region).filter(|_| !(begun && dice.one_in(20)));
            let state = judge.region_mut(region).ok_or("a region is missing")?;
            state.database.note(seen, DAMPING, now);
        }
        for (since, server) in wrote.iter_mut().zip(fleet.servers) {
            *since = if server.takes_writes() { Some(0) } else { since.map(|steps| steps + 1) };
        }
        both = if fleet.servers.iter().all(|server| server.takes_writes()) { both + 1 } else { 0 };
        let Route::Serve(region) = judge.decide(None, now) else { continue };
        // The server took writes a moment ago: fewer steps than it takes to believe that it is silent.
        let steps = wrote[region];
        if steps.is_none_or(|steps| steps >= 8) {
            return Err(format!("seed {seed}: {region} served after {steps:?} steps"));
        }
        // It did not serve one of two when both had long been seen to write the same history.
        let led = judge.led().map_or(0, |led| led.timeline);
        let same = |database: &fleetgate_core::health::Database| {
            database.last().is_some_and(|last| last.timeline >= led)
        };
        if both >= 12 && judge.regions().iter().all(|region| same(&region.database)) {
            return Err(format!("seed {seed}: a coin was tossed at {now:?}"));
        }
    }
    Ok(())
}

/// One gateway without memory that home lets look at it, or not, as operators please. Whether it ever refused writes for it.
///
/// # Errors
/// It left home, which took writes and let nobody look, and which had not been seen to follow. What happened.
#[cfg(test)]
pub(crate) fn history_of_one_that_may_not_look(seed: u64) -> Result<bool, String> {
    let (mut dice, mut fleet, mut judge) = (Dice::new(seed), Fleet::new(), judge());
    let (mut now, mut hides, mut fenced) = (Moment::ZERO, dice.one_in(2), false);
    let mut followed = false;
    for step in 0..120 {
        now += STEP;
        if step > 0 && dice.one_in(12) {
            fleet.happen(&mut dice);
        }
        hides ^= dice.one_in(15);
        for region in 0..2 {
            let seen = fleet.seen(region).filter(|_| !dice.one_in(20));
            let state = judge.region_mut(region).ok_or("a region is missing")?;
            if hides && region == 0 && fleet.seen(0).is_some() {
                state.database.note_refused();
                continue;
            }
            state.database.note(seen, DAMPING, now);
            if let (0, Some(seen)) = (region, seen) {
                followed = seen.role != fleetgate_core::health::Role::Writable;
            }
        }
        let moves = judge.moves().len();
        let route = judge.decide(None, now);
        fenced |= judge.unseen_rival().is_some();
        let left = judge.moves().len() > moves && route == Route::Serve(1);
        if left && hides && !followed && fleet.servers[0].takes_writes() {
            return Err(format!("seed {seed}: a primary that hides was left at {now:?}"));
        }
    }
    Ok(fenced)
}
