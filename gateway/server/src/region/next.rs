//! What would happen next to a pool, said to somebody who was woken up by it.

use super::check::consequence;
use super::pool::PoolWatch;
use super::seen::Seen;
use fleetgate_core::health::{DatabaseVerdict, LoginVerdict};
use fleetgate_core::region::{
    DEAD_FOR, FailoverMode, Judge, MoveCause, NotReady, RegionIndex, RegionVerdict, Route,
};
use std::fmt::Write as _;

/// Writing to a string does not fail.
macro_rules! say {
    ($text:expr, $($arg:tt)*) => { let _infallible = write!($text, $($arg)*); };
}

/// What there is to look at.
#[derive(Clone, Copy)]
pub(super) struct Outlook<'a> {
    pub(super) watch: &'a PoolWatch,
    /// Who decides: as it is, or as it would be.
    pub(super) judge: &'a Judge,
    pub(super) seen: &'a Seen,
}

/// One paragraph.
pub(super) fn next(outlook: &Outlook<'_>, route: Route, pinned: Option<&str>) -> String {
    let watch = outlook.watch;
    let mut text = String::new();
    match route {
        Route::Serve(region) => served(&mut text, outlook, region, pinned),
        Route::Unwritable => unwritable(&mut text, outlook, pinned),
        Route::Fenced(_) => {
            let pool = &watch.pool.name;
            say!(
                text,
                "Writes stay refused until a person decides. Find out which database has the writes that matter; then make \
                 the other one a standby of it, or run `fleetgate regions pin {pool} REGION --reason ...` for the region \
                 whose history goes on. What the other one took is not lost, and not served any more: look through it."
            );
        }
        Route::Agreeing(_) | Route::Isolated => {
            let nodes = watch.quorum.unwrap_or_default();
            say!(
                text,
                "Requests stay refused until more than half of the {nodes} gateways hear each other and see the same \
                 region take writes; then it goes on by itself. Look at what is said of them below, at the network between, and at Redis where they \
                 speak through it."
            );
        }
    }
    text
}

fn served(text: &mut String, outlook: &Outlook<'_>, region: RegionIndex, pinned: Option<&str>) {
    let Outlook { watch, judge, seen } = *outlook;
    let here = watch.region_name(region);
    if seen.logins(region) == LoginVerdict::Fails {
        say!(text, "Nobody can log in at any backend of {here}: {}. ", seen.login_words(region));
        say!(text, "No backend is taken out for what fails at all of them. ");
    }
    if judge.database(region) == DatabaseVerdict::Unwatched {
        say!(text, "The database of {here} is not watched: nothing moves by itself.");
        return;
    }
    let hold = watch.pool.failover.hold;
    let wait = if hold.is_zero() { String::new() } else { format!("wait for {hold:?} and then ") };
    say!(text, "If the database of {here} stops to take writes, requests {wait}get 503");
    if let Some(pinned) = pinned {
        let pool = &watch.pool.name;
        say!(text, ": an operator holds the pool in {pinned}. `fleetgate regions unpin {pool}` lets it go.");
        return;
    }
    say!(text, " until it does again, or another one is promoted: the pool follows a promotion by itself.");
    others(text, outlook, region);
    dead_backends(text, outlook, region);
}

fn unwritable(text: &mut String, outlook: &Outlook<'_>, pinned: Option<&str>) {
    let watch = outlook.watch;
    if let Some(pinned) = pinned {
        let pool = &watch.pool.name;
        say!(
            text,
            "Requests get 503 until the database of {pinned} takes writes: an operator holds the pool there. \
             `fleetgate regions unpin {pool}` lets it go where writes are taken."
        );
        return;
    }
    say!(
        text,
        "Requests get 503 until a database of the pool takes writes: bring the primary back, or promote a standby \
         (`SELECT pg_promote()`). The pool follows by itself."
    );
    others(text, outlook, usize::MAX);
}

/// What regions other than one could do.
fn others(text: &mut String, outlook: &Outlook<'_>, but: RegionIndex) {
    let Outlook { watch, judge, seen } = *outlook;
    for (region, name) in watch.pool.regions.iter().map(|region| &region.name).enumerate() {
        if region == but {
            continue;
        }
        let database = judge.database(region);
        let behind = if let DatabaseVerdict::Standby { lag_ms } = database {
            format!("its database is a standby {lag_ms} ms behind")
        } else {
            format!("its database is {}", database.as_str())
        };
        match judge.verdict(region) {
            Some(RegionVerdict::StandbyReady | RegionVerdict::ReadOnly | RegionVerdict::Serving) => {
                say!(text, " {name} could take over: {behind}.");
            }
            Some(RegionVerdict::NotReady(NotReady::Check)) => {
                say!(text, " {name} would be followed if it is promoted ({behind}), but IS NOT READY:");
                for (check, said) in watch.lacking(seen, region) {
                    say!(text, " its check `{check}` does not pass ({said}), so {}.", consequence(&check));
                }
            }
            Some(RegionVerdict::NotReady(why)) => {
                say!(text, " {name} could not take over: {}.", why.as_str());
            }
            Some(RegionVerdict::Down) | None => {
                say!(text, " {name} could not take over: nothing there answers.");
            }
        }
    }
}

/// What follows when no backend of the region that serves is left.
fn dead_backends(text: &mut String, outlook: &Outlook<'_>, region: RegionIndex) {
    let Outlook { watch, judge, .. } = *outlook;
    let (here, pool, policy) = (watch.region_name(region), &watch.pool.name, watch.pool.failover);
    let dead = judge.regions().get(region).is_some_and(|state| state.backends_up == 0);
    let when = if dead {
        format!("All backends of {here} ARE DOWN:")
    } else {
        format!("If all backends of {here} are down,")
    };
    let mut regions = 0..watch.pool.regions.len();
    let Some(there) = regions.find(|other| *other != region && judge.is_same_server(*other, region)) else {
        say!(text, " {when} they are asked nevertheless: no other region is on the same database server.");
        return;
    };
    let there = watch.region_name(there);
    if policy.mode == FailoverMode::Manual {
        say!(
            text,
            " {when} nothing moves by itself (`mode: manual`): `fleetgate regions pin {pool} {there} --reason ...` moves it."
        );
        return;
    }
    say!(text, " {when} the pool moves to {there} after {DEAD_FOR:?}");
    if let Some(until) = watch.frozen_until() {
        say!(text, ", but not before the freeze ends at {until}");
    }
    let last = judge.moves().last().map(|last| watch.now().saturating_sub(last.at));
    if let Some(since) = last.filter(|since| *since < policy.hold_down) {
        say!(text, ", but not within {} s", policy.hold_down.saturating_sub(since).as_secs());
    }
    let moved = judge.moves_for(MoveCause::Backends);
    say!(text, " ({moved} such moves since the start, {} a day at most).", policy.moves_per_day_max);
}
