//! Three gateways that hear each other, or do not.

use super::dice::Dice;
use super::fleet::Fleet;
use super::{DAMPING, STEP, judge};
use core::time::Duration;
use fleetgate_core::health::Moment;
use fleetgate_core::region::{Heard, Judge, Quorum, Route, Sight, merge};

const NODES: usize = 3;
const LEASE: Duration = Duration::from_secs(10);
const FRESH: Duration = Duration::from_secs(3);
/// Steps of a history.
const STEPS: u32 = 80;

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
    nodes: [Node; NODES],
    /// Whether a node reaches a region.
    reaches: [[bool; 2]; NODES],
    /// Whether two nodes hear each other.
    hears: [[bool; NODES]; NODES],
    now: Moment,
}

/// Three gateways, of which any may be cut off from a region or from each other, through a history of their own. Whether
/// any of them serves at its end.
///
/// # Errors
/// Two of them wrote to two databases. What happened.
pub(crate) fn history_of_three(seed: u64) -> Result<bool, String> {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step().map_err(|broken| format!("seed {seed}: {broken}"))?;
    }
    Ok(world.nodes.iter().any(|node| matches!(node.route, Route::Serve(_))))
}

impl World {
    fn new(seed: u64) -> Self {
        let node = || Node { judge: judge(), heard: [None; NODES], route: Route::Isolated };
        Self {
            dice: Dice::new(seed),
            fleet: Fleet::new(),
            nodes: [node(), node(), node()],
            reaches: [[true; 2]; NODES],
            hears: [[true; NODES]; NODES],
            now: Moment::from_secs(100),
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += STEP;
        if self.dice.one_in(10) {
            self.fleet.happen(&mut self.dice);
        }
        if self.dice.one_in(10) {
            let (node, region) = (self.dice.pick(NODES), self.dice.pick(2));
            self.reaches[node][region] ^= true;
        }
        if self.dice.one_in(10) {
            let (one, other) = (self.dice.pick(NODES), self.dice.pick(NODES));
            self.hears[one][other] ^= true;
            self.hears[other][one] = self.hears[one][other];
        }
        // In any order, and one after the other: between two of them, each decides on what it has heard.
        let first = self.dice.pick(NODES);
        for offset in 0..NODES {
            self.act((first + offset) % NODES);
            self.check()?;
        }
        Ok(())
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
            let merged = merge(said, NODES, FRESH, now);
            if let Some(((at, seen), state)) = merged.zip(node.judge.region_mut(region)) {
                state.database.note(seen, DAMPING, at);
            }
        }
        let others = (0..NODES).filter(|other| *other != at);
        let heard = others.filter_map(|other| node.heard[other]);
        let heard = heard.map(|word| Heard { at: word.at, grants: word.grants });
        let quorum = Quorum::of(NODES, heard, LEASE);
        node.route = node.judge.decide(Some(&quorum), now);
        let word = Word { at: now, grants: node.judge.grant(), sights };
        for other in (0..NODES).filter(|other| *other != at) {
            if self.hears[at][other] && !self.dice.one_in(20) {
                self.nodes[other].heard[at] = Some(word);
            }
        }
    }

    /// No two nodes write to two databases.
    fn check(&self) -> Result<(), String> {
        let mut written = None;
        for (node, reaches) in self.nodes.iter().zip(&self.reaches) {
            let Route::Serve(region) = node.route else { continue };
            if !reaches[region] || !self.fleet.servers[region].takes_writes() {
                continue;
            }
            if written.is_some_and(|other| other != region) {
                return Err(format!("two regions were written to at {:?}", self.now));
            }
            written = Some(region);
        }
        Ok(())
    }
}
