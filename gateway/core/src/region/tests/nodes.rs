//! Three gateways that hear each other, or do not.

use super::world::{DAMPING, Dice, Fleet, STEP, judge};
use crate::health::Moment;
use crate::region::{Heard, Judge, Quorum, Route, Sight, merge};
use core::time::Duration;

const NODES: usize = 3;
const LEASE: Duration = Duration::from_secs(10);
const FRESH: Duration = Duration::from_secs(3);

/// What a node says to the others.
#[derive(Debug, Clone, Copy)]
struct Word {
    at: Moment,
    grants: Option<usize>,
    sights: [Sight; 2],
}

struct Node {
    judge: Judge,
    /// The last word of each node, its own included.
    heard: [Option<Word>; NODES],
    route: Route,
}

struct World {
    dice: Dice,
    fleet: Fleet,
    nodes: Vec<Node>,
    /// Whether a node reaches a region.
    reaches: [[bool; 2]; NODES],
    /// Whether two nodes hear each other.
    hears: [[bool; NODES]; NODES],
    now: Moment,
}

impl World {
    fn new(seed: u64) -> Self {
        let node = || Node { judge: judge(), heard: [None; NODES], route: Route::Isolated };
        Self {
            dice: Dice::new(seed),
            fleet: Fleet::new(),
            nodes: (0..NODES).map(|_| node()).collect(),
            reaches: [[true; 2]; NODES],
            hears: [[true; NODES]; NODES],
            now: Moment::from_secs(100),
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        if self.dice.one_in(10) {
            self.fleet.happen(&mut self.dice);
        }
        if self.dice.one_in(10) {
            let (node, region) = (self.pick(NODES), self.pick(2));
            self.reaches[node][region] ^= true;
        }
        if self.dice.one_in(10) {
            let (one, other) = (self.pick(NODES), self.pick(NODES));
            self.hears[one][other] ^= true;
            self.hears[other][one] = self.hears[one][other];
        }
        // In any order, and one after the other: between two of them, each decides on what it has heard.
        let first = self.pick(NODES);
        for offset in 0..NODES {
            self.act((first + offset) % NODES);
            self.check();
        }
    }

    fn pick(&mut self, sides: usize) -> usize {
        usize::try_from(self.dice.roll(u64::try_from(sides).unwrap())).unwrap()
    }

    fn act(&mut self, at: usize) {
        let now = self.now;
        let mut see = |region: usize| {
            let lost = self.dice.one_in(20) || !self.reaches[at][region];
            Sight { seen: self.fleet.seen(region).filter(|_| !lost), at: now, anchored: true }
        };
        let sights = [see(0), see(1)];
        let node = &mut self.nodes[at];
        node.heard[at] = Some(Word { at: now, grants: None, sights });
        for region in 0..2 {
            let said = node.heard.iter().flatten().map(|word| word.sights[region]);
            if let Some(seen) = merge(said, NODES, FRESH, now) {
                node.judge.region_mut(region).unwrap().database.note(seen, DAMPING, now);
            }
        }
        let others = (0..NODES).filter(|other| *other != at);
        let heard =
            others.map(|other| node.heard[other].map(|word| Heard { at: word.at, grants: word.grants }));
        let quorum = Quorum { heard: heard.collect(), lease: LEASE };
        node.route = node.judge.decide(Some(&quorum), now);
        let word = Word { at: now, grants: node.judge.grant(), sights };
        for other in (0..NODES).filter(|other| *other != at) {
            if self.hears[at][other] && !self.dice.one_in(20) {
                self.nodes[other].heard[at] = Some(word);
            }
        }
    }

    /// No two nodes write to two databases.
    fn check(&self) {
        let written: Vec<usize> = self
            .nodes
            .iter()
            .zip(&self.reaches)
            .filter_map(|(node, reaches)| {
                let Route::Serve(region) = node.route else { return None };
                reaches[region].then_some(region)
            })
            .filter(|region| self.fleet.servers[*region].takes_writes())
            .collect();
        assert!(written.windows(2).all(|two| two[0] == two[1]), "{written:?} at {:?}", self.now);
    }
}

#[test]
fn no_two_gateways_write_to_two_databases_in_four_thousand_histories() {
    let mut served = 0_u32;
    for seed in 0..4_000 {
        let mut world = World::new(seed);
        for _ in 0..80 {
            world.step();
        }
        served += u32::from(world.nodes.iter().any(|node| matches!(node.route, Route::Serve(_))));
    }
    assert!(served > 400, "a judge that never serves proves nothing: {served}");
}
