//! One thing after another happens to two regions.

use crate::health::{DatabaseReading, DatabaseVerdict, Following, Instance, Moment, Role};
use crate::region::simulation::{DAMPING, judge};
use crate::region::{
    FailoverMode, FailoverPolicy, Judge, LEASE, Led, MoveCause, NotReady, Quorum, RegionState, RegionVerdict,
    Route,
};
use core::time::Duration;

const HOME: u64 = 1;
const AWAY: u64 = 2;

fn reading(server: u64, timeline: u32, role: Role) -> Option<DatabaseReading> {
    Some(DatabaseReading { instance: Instance { system: 7, server }, timeline, role })
}

fn writes(server: u64, timeline: u32) -> Option<DatabaseReading> {
    reading(server, timeline, Role::Writable)
}

fn follows(server: u64) -> Option<DatabaseReading> {
    reading(server, 1, Role::Standby { lag_ms: 20 })
}

/// Readings of both regions, a second apart from the last.
struct Story {
    judge: Judge,
    now: Moment,
}

impl Story {
    fn new() -> Self {
        Self { judge: judge(), now: Moment::ZERO }
    }

    fn then(&mut self, home: Option<DatabaseReading>, away: Option<DatabaseReading>) -> Route {
        self.now += Duration::from_secs(1);
        for (region, seen) in [home, away].into_iter().enumerate() {
            self.judge.region_mut(region).unwrap().database.note(seen, DAMPING, self.now);
        }
        self.judge.decide(None, self.now)
    }
}

#[test]
fn a_standby_that_nobody_promoted_is_never_served() {
    let mut story = Story::new();
    assert_eq!(story.then(writes(HOME, 1), follows(AWAY)), Route::Serve(0));
    assert_eq!(story.then(None, follows(AWAY)), Route::Serve(0));
    assert_eq!(story.then(None, follows(AWAY)), Route::Serve(0));
    for _ in 0..100 {
        assert_eq!(story.then(None, follows(AWAY)), Route::Unwritable);
    }
    assert_eq!(story.judge.verdict(0), Some(RegionVerdict::NotReady(NotReady::Database)));
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::StandbyReady));
}

#[test]
fn a_promoted_standby_is_followed_at_once_and_its_old_primary_gets_nothing_when_it_comes_back() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    story.then(None, follows(AWAY));
    assert_eq!(story.then(None, writes(AWAY, 2)), Route::Serve(1));
    assert_eq!(story.judge.moves().last().map(|done| done.cause), Some(MoveCause::Promoted));
    assert_eq!(MoveCause::ALL.map(|cause| story.judge.moves_for(cause)), [1, 0, 0]);
    assert_eq!(story.then(writes(HOME, 1), writes(AWAY, 2)), Route::Serve(1));
    assert_eq!(story.judge.database(0), DatabaseVerdict::Diverged);
    assert_eq!(story.judge.verdict(0), Some(RegionVerdict::NotReady(NotReady::Diverged)));
    for _ in 0..10 {
        let route = story.then(writes(HOME, 1), None);
        assert!(matches!(route, Route::Serve(1) | Route::Unwritable), "{route:?}");
    }
    // Rebuilt as a standby of the new one, it stands by as the other did.
    story.then(reading(HOME, 2, Role::Standby { lag_ms: 20 }), writes(AWAY, 2));
    assert_eq!(story.judge.verdict(0), Some(RegionVerdict::StandbyReady));
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::Serving));
}

#[test]
fn a_switchover_that_demotes_first_is_followed_without_a_fence() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    assert_eq!(story.then(follows(HOME), follows(AWAY)), Route::Unwritable);
    assert_eq!(story.then(follows(HOME), writes(AWAY, 2)), Route::Serve(1));
}

#[test]
fn two_that_take_writes_are_fenced_until_one_of_them_follows() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    // Seen in the same breath, home may have been asked before it was demoted.
    assert_eq!(story.then(writes(HOME, 1), writes(AWAY, 2)), Route::Serve(0));
    assert_eq!(story.then(writes(HOME, 1), writes(AWAY, 2)), Route::Fenced(0));
    assert!(story.judge.conflict_since().is_some());
    assert_eq!(story.judge.verdict(0), Some(RegionVerdict::ReadOnly));
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::NotReady(NotReady::Rival)));
    // Silence settles nothing.
    for _ in 0..10 {
        assert_eq!(story.then(None, writes(AWAY, 2)), Route::Fenced(0));
    }
    assert_eq!(story.then(follows(HOME), writes(AWAY, 2)), Route::Serve(1));
    assert_eq!(story.judge.conflict_since(), None);
}

#[test]
fn a_primary_that_lets_nobody_look_is_not_trusted_beside_one_that_was_promoted() {
    let mut start = Start::remembering(None);
    start.story.then(writes(HOME, 1), follows(AWAY));
    for _ in 0..10 {
        assert_eq!(start.then_home_hides(follows(AWAY)), Route::Serve(0), "a wrong password costs nothing");
    }
    for _ in 0..10 {
        assert_eq!(start.then_home_hides(writes(AWAY, 2)), Route::Fenced(0));
        assert_eq!(start.story.judge.unseen_rival(), Some(0));
    }
    assert_eq!(start.story.then(follows(HOME), writes(AWAY, 2)), Route::Serve(1));
}

/// A gateway that starts, and what it remembers; home lets nobody look until it answers.
struct Start {
    story: Story,
}

impl Start {
    fn remembering(led: Option<Led>) -> Self {
        let judge = Judge::new(FailoverPolicy::default(), judge().regions().to_vec(), led);
        Self { story: Story { judge, now: Moment::ZERO } }
    }

    fn then_home_hides(&mut self, away: Option<DatabaseReading>) -> Route {
        let Story { judge, now } = &mut self.story;
        *now += Duration::from_secs(1);
        judge.region_mut(0).unwrap().database.note_refused();
        judge.region_mut(1).unwrap().database.note(away, DAMPING, *now);
        judge.decide(None, *now)
    }
}

#[test]
fn a_home_that_never_let_anybody_look_is_fenced_beside_another_that_takes_writes() {
    let mut start = Start::remembering(None);
    for _ in 0..10 {
        assert_eq!(start.then_home_hides(follows(AWAY)), Route::Serve(0), "a wrong password costs nothing");
    }
    for _ in 0..10 {
        assert_eq!(start.then_home_hides(writes(AWAY, 2)), Route::Fenced(0));
        assert_eq!(start.story.judge.unseen_rival(), Some(0));
    }
    // A probe that gets lost settles nothing, nor does the end of the server.
    for _ in 0..10 {
        assert_eq!(start.story.then(None, writes(AWAY, 2)), Route::Fenced(0));
    }
    let mut seen = Start { story: Story { judge: start.story.judge.clone(), now: start.story.now } };
    assert_eq!(seen.story.then(writes(HOME, 1), writes(AWAY, 2)), Route::Fenced(0));
    assert_eq!(seen.story.judge.unseen_rival(), None, "it is seen");
    assert_eq!(seen.story.then(follows(HOME), writes(AWAY, 2)), Route::Serve(1));
    start.story.judge.pin(Some(1));
    assert_eq!(start.then_home_hides(writes(AWAY, 2)), Route::Serve(1));
    start.story.judge.pin(None);
    assert_eq!(start.then_home_hides(writes(AWAY, 2)), Route::Serve(1), "an operator has decided");
}

#[test]
fn a_home_that_lets_nobody_look_costs_nothing_where_another_goes_on_with_what_is_remembered() {
    let led = |server, timeline| Some(Led { instance: Instance { system: 7, server }, timeline });
    let mut start = Start::remembering(led(AWAY, 2));
    assert_eq!(start.then_home_hides(writes(AWAY, 2)), Route::Serve(1));
    assert_eq!(start.then_home_hides(writes(AWAY, 2)), Route::Serve(1));
    let mut start = Start::remembering(led(HOME, 1));
    assert_eq!(start.then_home_hides(writes(AWAY, 2)), Route::Fenced(0));
}

#[test]
fn a_primary_that_comes_back_and_lets_nobody_look_is_not_left_for_one_that_is_promoted() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    for _ in 0..5 {
        story.then(None, follows(AWAY));
    }
    let mut back = Start { story };
    assert_eq!(back.then_home_hides(follows(AWAY)), Route::Unwritable);
    assert_eq!(back.then_home_hides(writes(AWAY, 2)), Route::Fenced(0));
    // One that said that it follows takes no writes of this pool, and a switchover goes on.
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    story.then(follows(HOME), follows(AWAY));
    let mut demoted = Start { story };
    assert_eq!(demoted.then_home_hides(writes(AWAY, 2)), Route::Serve(1));
}

#[test]
fn a_standby_that_lets_nobody_look_costs_nothing_beside_a_home_that_takes_writes() {
    let mut story = Story::new();
    for _ in 0..10 {
        story.now += Duration::from_secs(1);
        story.judge.region_mut(1).unwrap().database.note_refused();
        story.judge.region_mut(0).unwrap().database.note(writes(HOME, 1), DAMPING, story.now);
        assert_eq!(story.judge.decide(None, story.now), Route::Serve(0));
    }
}

#[test]
fn an_operator_settles_a_conflict_by_a_pin_and_cannot_pin_a_standby() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    story.judge.pin(Some(1));
    assert_eq!(story.then(writes(HOME, 1), follows(AWAY)), Route::Unwritable);
    story.judge.pin(None);
    assert_eq!(story.then(writes(HOME, 1), writes(AWAY, 2)), Route::Serve(0));
    assert_eq!(story.then(writes(HOME, 1), writes(AWAY, 2)), Route::Fenced(0));
    story.judge.pin(Some(1));
    assert_eq!(story.then(writes(HOME, 1), writes(AWAY, 2)), Route::Serve(1));
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::Serving));
    story.judge.pin(None);
    assert_eq!(story.then(writes(HOME, 1), writes(AWAY, 2)), Route::Serve(1));
}

#[test]
fn a_gateway_that_starts_between_an_old_primary_and_its_successor_knows_them_apart_by_what_it_remembers() {
    let led = Led { instance: Instance { system: 7, server: AWAY }, timeline: 2 };
    let regions = judge().regions().to_vec();
    let mut story =
        Story { judge: Judge::new(FailoverPolicy::default(), regions, Some(led)), now: Moment::ZERO };
    assert_eq!(story.then(writes(HOME, 1), writes(AWAY, 2)), Route::Serve(1));
    let mut forgetful = Story::new();
    forgetful.then(writes(HOME, 1), writes(AWAY, 2));
    assert_eq!(forgetful.then(writes(HOME, 1), writes(AWAY, 2)), Route::Fenced(0));
}

#[test]
fn a_database_that_never_answered_the_probe_is_trusted_at_home_and_nowhere_else() {
    let mut story = Story::new();
    assert_eq!(story.then(None, None), Route::Serve(0));
    for _ in 0..10 {
        assert_eq!(story.then(None, follows(AWAY)), Route::Serve(0));
    }
    assert_eq!(story.then(None, writes(AWAY, 2)), Route::Serve(1));
}

#[test]
fn a_foreign_database_is_not_taken_for_the_fleets() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    let foreign =
        DatabaseReading { instance: Instance { system: 8, server: AWAY }, timeline: 9, role: Role::Writable };
    for _ in 0..5 {
        assert_ne!(story.then(None, Some(foreign)), Route::Serve(1));
    }
}

#[test]
fn dead_backends_are_left_for_those_of_another_region_on_the_same_database_as_the_policy_says() {
    let shared = writes(HOME, 1);
    for (mode, expected) in [(FailoverMode::Manual, 0), (FailoverMode::Automatic, 1)] {
        let mut story = Story::new();
        story.judge.set_policy(FailoverPolicy { mode, ..FailoverPolicy::default() });
        assert_eq!(story.then(shared, shared), Route::Serve(0));
        story.judge.region_mut(0).unwrap().backends_up = 0;
        // Not for a few lost packets: all of them have been down for ten seconds.
        for _ in 0..10 {
            assert_eq!(story.then(shared, shared), Route::Serve(0), "{mode:?}");
        }
        story.then(shared, shared);
        assert_eq!(story.then(shared, shared), Route::Serve(expected), "{mode:?}");
        // It does not go back by itself, and not within the hold-down.
        story.judge.region_mut(0).unwrap().backends_up = 2;
        story.judge.region_mut(1).unwrap().backends_up = 0;
        for _ in 0..20 {
            assert_eq!(story.then(shared, shared), Route::Serve(expected), "{mode:?}");
        }
    }
}

#[test]
fn nothing_moves_by_itself_in_a_freeze() {
    let mut story = Story::new();
    story.judge.set_policy(FailoverPolicy { mode: FailoverMode::Automatic, ..FailoverPolicy::default() });
    story.judge.freeze(true);
    let shared = writes(HOME, 1);
    story.then(shared, shared);
    story.judge.region_mut(0).unwrap().backends_up = 0;
    for _ in 0..20 {
        assert_eq!(story.then(shared, shared), Route::Serve(0));
    }
}

#[test]
fn a_standby_far_behind_is_not_ready() {
    let mut story = Story::new();
    let behind = reading(AWAY, 1, Role::Standby { lag_ms: 600_000 });
    story.then(writes(HOME, 1), behind);
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::NotReady(NotReady::Lag)));
    story.judge.region_mut(1).unwrap().backends_up = 0;
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::NotReady(NotReady::Backends)));
}

#[test]
fn a_server_that_another_region_reads_is_not_taken_for_gone() {
    let (mut story, shared) = (Story::new(), writes(HOME, 1));
    assert_eq!(story.then(shared, shared), Route::Serve(0));
    for _ in 0..20 {
        assert_eq!(story.then(None, shared), Route::Serve(0));
    }
    assert!(story.judge.moves().is_empty());
    // Another server is another matter.
    assert_eq!(story.then(None, writes(AWAY, 2)), Route::Serve(1));
}

#[test]
fn nothing_moves_by_itself_to_a_region_that_lacks_something_and_a_promotion_is_followed_all_the_same() {
    let shared = writes(HOME, 1);
    for lack in [
        |region: &mut RegionState| region.lacks = true,
        |region: &mut RegionState| {
            region.logins_fail = true;
        },
    ] {
        let mut story = Story::new();
        story.judge.set_policy(FailoverPolicy { mode: FailoverMode::Automatic, ..FailoverPolicy::default() });
        lack(story.judge.region_mut(1).unwrap());
        story.then(shared, shared);
        story.judge.region_mut(0).unwrap().backends_up = 0;
        for _ in 0..20 {
            assert_eq!(story.then(shared, shared), Route::Serve(0));
        }
        assert!(matches!(story.judge.verdict(1), Some(RegionVerdict::NotReady(_))));
        assert_eq!(story.then(follows(HOME), writes(AWAY, 2)), Route::Serve(1));
        assert_eq!(story.judge.verdict(1), Some(RegionVerdict::Serving));
    }
}

#[test]
fn a_standby_that_lacks_something_is_not_ready() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::StandbyReady));
    story.judge.region_mut(1).unwrap().lacks = true;
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::NotReady(NotReady::Check)));
    story.judge.region_mut(0).unwrap().lacks = true;
    assert_eq!(story.judge.verdict(0), Some(RegionVerdict::Serving));
}

#[test]
fn users_are_expected_to_log_in_where_writes_are_taken_and_nowhere_else() {
    let mut story = Story::new();
    assert_eq!([0, 1].map(|region| story.judge.expects_logins(region)), [true, false], "home is trusted");
    story.then(writes(HOME, 1), follows(AWAY));
    assert_eq!([0, 1].map(|region| story.judge.expects_logins(region)), [true, false]);
    story.then(follows(HOME), follows(AWAY));
    assert_eq!([0, 1].map(|region| story.judge.expects_logins(region)), [false, false]);
    story.then(writes(HOME, 1), writes(AWAY, 2));
    story.then(writes(HOME, 1), writes(AWAY, 2));
    assert_eq!([0, 1].map(|region| story.judge.expects_logins(region)), [false, false], "fenced");
}

#[test]
fn a_database_of_another_fleet_is_no_newer_history_however_often_it_was_promoted() {
    let mut story = Story::new();
    let instance = Instance { system: 8, server: AWAY };
    let foreign = Some(DatabaseReading { instance, timeline: 9, role: Role::Writable });
    story.then(writes(HOME, 1), follows(AWAY));
    for _ in 0..5 {
        let route = story.then(None, foreign);
        assert!(matches!(route, Route::Serve(0) | Route::Unwritable), "{route:?}");
        assert_eq!(story.judge.database(1), DatabaseVerdict::Diverged);
    }
}

#[test]
fn another_that_takes_writes_and_was_not_promoted_is_not_followed_at_the_first_silence() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    assert_eq!(story.then(None, writes(AWAY, 1)), Route::Fenced(0));
}

#[test]
fn a_region_that_nobody_watches_is_pinned_while_no_other_takes_writes() {
    let mut story = Story::new();
    story.judge.pin(Some(0));
    assert_eq!(story.then(None, follows(AWAY)), Route::Serve(0));
    assert_eq!(story.then(None, writes(AWAY, 1)), Route::Unwritable);
}

/// Two regions on one database, the first of which was just left because its backends were dead.
fn just_moved(hold_down: Duration, moves_per_day_max: u8) -> Story {
    let (mut story, shared) = (Story::new(), writes(HOME, 1));
    let mode = FailoverMode::Automatic;
    let policy = FailoverPolicy { mode, hold_down, moves_per_day_max, ..FailoverPolicy::default() };
    story.judge.set_policy(policy);
    // As late as in a process that has run for more than a day.
    story.now = Moment::from_secs(130_000);
    story.then(shared, shared);
    story.judge.region_mut(0).unwrap().backends_up = 0;
    while story.then(shared, shared) == Route::Serve(0) {}
    assert_eq!(story.judge.moves().len(), 1);
    assert!(!story.judge.is_left_behind(0), "it is the same database");
    story.judge.region_mut(0).unwrap().backends_up = 2;
    story.judge.region_mut(1).unwrap().backends_up = 0;
    story
}

/// Seconds until it moves back, if that is within a minute.
fn moves_back_after(mut story: Story) -> Option<u64> {
    let (shared, moved) = (writes(HOME, 1), story.now);
    let back = (0..60).find(|_| story.then(shared, shared) == Route::Serve(0));
    back.map(|_| (story.now - moved).as_secs())
}

#[test]
fn dead_backends_are_left_again_after_their_own_ten_seconds_the_hold_down_and_never_too_often() {
    assert_eq!(moves_back_after(just_moved(Duration::ZERO, 9)), Some(11));
    assert_eq!(moves_back_after(just_moved(Duration::from_secs(20), 9)), Some(20));
    assert_eq!(moves_back_after(just_moved(Duration::ZERO, 1)), None);
}

#[test]
fn a_process_goes_on_at_once_with_what_the_one_before_it_let_be() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    let alone = Quorum::of(1, [], LEASE);
    assert_eq!(story.judge.decide(Some(&alone), story.now), Route::Agreeing(0));
    story.judge.take_over_grant(7);
    assert_eq!(story.judge.grant(), None, "there is no such region");
    story.judge.take_over_grant(0);
    assert_eq!(story.judge.decide(Some(&alone), story.now), Route::Serve(0));
}

#[test]
fn a_standby_that_does_not_follow_is_not_ready() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    for (following, after, expected) in [
        (Following::Stopped, 0, RegionVerdict::StandbyReady),
        (Following::Stopped, 10, RegionVerdict::NotReady(NotReady::Stopped)),
        (Following::Lost, 11, RegionVerdict::NotReady(NotReady::Lost)),
        (Following::Streams, 12, RegionVerdict::StandbyReady),
    ] {
        let trail = &mut story.judge.region_mut(1).unwrap().trail;
        trail.note(following, story.now + Duration::from_secs(after));
        assert_eq!(story.judge.verdict(1), Some(expected), "{following:?}");
    }
}

#[test]
fn a_region_is_left_behind_when_another_database_leads_and_not_before() {
    let mut story = Story::new();
    story.then(writes(HOME, 1), follows(AWAY));
    assert!(!story.judge.is_left_behind(0));
    // It started again, and takes no writes yet: nobody else leads.
    story.then(follows(3), follows(AWAY));
    assert!(!story.judge.is_left_behind(0));
    assert_eq!(story.then(follows(3), writes(AWAY, 2)), Route::Serve(1));
    assert!(story.judge.is_left_behind(0) && !story.judge.is_left_behind(1));
}

#[test]
fn of_two_promoted_standbys_none_is_followed() {
    let region = |standby| RegionState { standby, backends: 2, backends_up: 2, ..RegionState::default() };
    let regions = vec![region(false), region(true), region(true)];
    let mut judge = Judge::new(FailoverPolicy::default(), regions, None);
    let mut decide = |at, seen: [Option<DatabaseReading>; 3]| {
        for (region, seen) in seen.into_iter().enumerate() {
            let database = &mut judge.region_mut(region).unwrap().database;
            match seen {
                Some(_) => database.note(seen, DAMPING, Moment::from_secs(at)),
                None => database.note_gone(Moment::from_secs(at)),
            };
        }
        judge.decide(None, Moment::from_secs(at))
    };
    assert_eq!(decide(1, [writes(HOME, 1), follows(AWAY), follows(3)]), Route::Serve(0));
    assert_eq!(decide(2, [None, follows(AWAY), follows(3)]), Route::Unwritable);
    assert_eq!(decide(3, [None, writes(AWAY, 2), writes(3, 2)]), Route::Fenced(0));
    // Until one of them is a standby of the other, and the old primary is away or a standby as well.
    assert_eq!(decide(4, [follows(HOME), writes(AWAY, 2), follows(3)]), Route::Serve(1));
}

#[test]
fn a_region_on_the_database_of_the_one_that_serves_is_ready_and_one_on_its_own_is_a_rival() {
    let mut story = Story::new();
    assert_eq!(story.judge.verdict(0), Some(RegionVerdict::Serving), "nobody watches its database");
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::NotReady(NotReady::Unwatched)));
    story.then(writes(HOME, 1), writes(HOME, 1));
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::StandbyReady));
    story.then(writes(HOME, 1), writes(AWAY, 1));
    story.then(writes(HOME, 1), writes(AWAY, 1));
    assert_eq!(story.judge.verdict(1), Some(RegionVerdict::NotReady(NotReady::Rival)));
}

#[test]
fn a_region_that_served_under_an_earlier_config_serves_on_without_a_move() {
    let mut story = Story::new();
    story.judge.resume(1);
    story.judge.resume(7);
    assert_eq!(story.then(follows(HOME), writes(AWAY, 2)), Route::Serve(1));
    assert_eq!(story.judge.moves(), []);
}
