//! Two regions that break at random, before one gateway.

use crate::health::{Damping, DatabaseReading, Instance, Moment, Role};
use crate::region::{FailoverPolicy, Judge, RegionState, Route};
use core::time::Duration;

pub(super) const DAMPING: Damping = Damping { fall: 3, rise: 2 };
/// Between two runs of a probe, and between two steps of a world.
pub(super) const STEP: Duration = Duration::from_secs(1);

/// Numbers that a seed decides (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub(super) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// A PostgreSQL server, as it really is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) up: bool,
    pub(super) writable: bool,
    pub(super) timeline: u32,
    start: u64,
}

impl Server {
    pub(super) const fn takes_writes(self) -> bool {
        self.up && self.writable
    }

    fn reading(self, region: usize) -> DatabaseReading {
        let server = u64::try_from(region).unwrap() * 1_000_000 + self.start;
        let role = if self.writable { Role::Writable } else { Role::Standby { lag_ms: 10 } };
        DatabaseReading { instance: Instance { system: 7, server }, timeline: self.timeline, role }
    }
}

/// The two servers of a fleet.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    pub(super) servers: [Server; 2],
}

impl Fleet {
    pub(super) const fn new() -> Self {
        let primary = Server { up: true, writable: true, timeline: 1, start: 1 };
        Self { servers: [primary, Server { writable: false, ..primary }] }
    }

    /// What the probe sees, if it gets through.
    pub(super) fn seen(&self, region: usize) -> Option<DatabaseReading> {
        let server = self.servers[region];
        server.up.then(|| server.reading(region))
    }

    /// Something happens to a server: it dies, comes back as it was, is promoted, or is made to follow the other. The
    /// operators of this fleet promote whatever they like, fenced or not.
    pub(super) fn happen(&mut self, dice: &mut Dice) {
        let region = usize::try_from(dice.roll(2)).unwrap();
        let highest = self.servers.iter().map(|server| server.timeline).max().unwrap();
        let server = &mut self.servers[region];
        match dice.roll(4) {
            0 => server.up = false,
            1 if !server.up => *server = Server { up: true, start: server.start + 1, ..*server },
            2 if server.up && !server.writable => {
                *server = Server { writable: true, timeline: highest + 1, ..*server };
            }
            3 if highest > server.timeline || !server.writable => {
                *server = Server { up: true, writable: false, timeline: highest, start: server.start + 1 };
            }
            _ => {}
        }
    }
}

pub(super) fn judge() -> Judge {
    let home = RegionState { backends_up: 2, backends: 2, ..RegionState::default() };
    Judge::new(FailoverPolicy::default(), vec![home, RegionState { standby: true, ..home }], None)
}

/// One gateway that loses one probe in twenty, through a history of its own.
fn history(seed: u64) {
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
            judge.region_mut(region).unwrap().database.note(seen, DAMPING, now);
        }
        for (region, since) in wrote.iter_mut().enumerate() {
            let takes = fleet.servers[region].takes_writes();
            *since = if takes { Some(0) } else { since.map(|steps| steps + 1) };
        }
        both = if fleet.servers.iter().all(|server| server.takes_writes()) { both + 1 } else { 0 };
        let route = judge.decide(None, now);
        let Route::Serve(region) = route else { continue };
        // The server took writes a moment ago: fewer steps than it takes to believe that it is silent.
        let steps = wrote[region];
        assert!(steps.is_some_and(|steps| steps < 8), "seed {seed}: {region} served after {steps:?} steps");
        // It did not serve one of two when both had long been seen to write the same history.
        let same = judge.regions().iter().all(|region| {
            region.database.last().is_some_and(|last| last.timeline >= judge.led().unwrap().timeline)
        });
        assert!(both < 12 || !same, "seed {seed}: a coin was tossed at {now:?}");
    }
}

#[test]
fn requests_go_where_writes_are_taken_or_nowhere_in_twenty_thousand_histories() {
    for seed in 0..20_000 {
        history(seed);
    }
}
