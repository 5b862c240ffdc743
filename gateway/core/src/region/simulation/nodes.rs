//! Three gateways that hear each other, or do not, and whose processes end, start and replace each other.

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

struct Process {
    judge: Judge,
    route: Route,
    /// What it last heard of the process that has the vote.
    own: Option<Heard>,
    /// Regions that it does not reach, and its node perhaps does, as one with another config.
    blind: [bool; 2],
}

struct Node {
    /// The one that has the node's vote; in an upgrade also one that has not: the new one before, the old one after.
    processes: Vec<Process>,
    /// The last word of each of the others.
    heard: [Option<Word>; NODES],
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

/// Three gateways, of which any may be cut off from a region or from each other, be killed or be replaced, through a history
/// of their own. Whether any of them serves at its end.
///
/// # Errors
/// Two of them wrote to two databases. What happened.
pub(crate) fn history_of_three(seed: u64) -> Result<bool, String> {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step().map_err(|broken| format!("seed {seed}: {broken}"))?;
    }
    Ok(world.routes().any(|(_, route)| matches!(route, Route::Serve(_))))
}

impl Process {
    fn new() -> Self {
        Self { judge: judge(), route: Route::Isolated, own: None, blind: [false; 2] }
    }
}

impl Node {
    const fn begin(first: Vec<Process>) -> Self {
        Self { processes: first, heard: [None; NODES] }
    }

    /// Its processes end, start, or replace each other.
    fn happen(&mut self, dice: &mut Dice, now: Moment) {
        match (dice.roll(3), self.processes.len()) {
            // All are killed, and one starts that knows nothing.
            (0, _) => {
                *self = Self::begin(vec![Process::new()]);
                self.processes[0].judge.withdraw(now);
            }
            // Another one starts, and has no vote yet.
            (1, 1) => {
                let blind = [dice.one_in(3), dice.one_in(3)];
                self.processes.push(Process { blind, ..Process::new() });
            }
            // The vote goes to the other one, with what was granted or without.
            (2, 2) => {
                let granted = self.processes[0].judge.grant();
                self.processes.swap(0, 1);
                match granted.filter(|_| !dice.one_in(3)) {
                    Some(granted) => self.processes[0].judge.take_over_grant(granted),
                    None => self.processes[0].judge.withdraw(now),
                }
            }
            _ => self.processes.truncate(1),
        }
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let node = || Node::begin(vec![Process::new()]);
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
        if self.dice.one_in(10) {
            let node = self.dice.pick(NODES);
            self.nodes[node].happen(&mut self.dice, self.now);
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
        let (now, node) = (self.now, &mut self.nodes[at]);
        let others = (0..NODES).filter(|other| *other != at);
        let words: Vec<Word> = others.filter_map(|other| node.heard[other]).collect();
        let heard = words.iter().map(|word| Heard { at: word.at, grants: word.grants });
        let mut quorum = Quorum::of(NODES, heard, LEASE);
        let voted = Heard { at: now, grants: node.processes[0].judge.grant() };
        let mut said = [None; 2];
        for (place, process) in node.processes.iter_mut().enumerate() {
            for (region, said) in said.iter_mut().enumerate() {
                let lost = self.dice.one_in(20) || !self.reaches[at][region] || process.blind[region];
                let seen = self.fleet.seen(region).filter(|_| !lost);
                let sight = Sight { seen, at: now, anchored: true };
                if place == 0 {
                    *said = Some(sight);
                }
                let sights = words.iter().map(|word| word.sights[region]).chain([sight]);
                let merged = merge(sights, NODES, FRESH, now);
                if let Some(((at, seen), state)) = merged.zip(process.judge.region_mut(region)) {
                    state.database.note(seen, DAMPING, at);
                }
            }
            if place > 0 {
                process.judge.withdraw(now);
                if !self.dice.one_in(5) {
                    process.own = Some(voted);
                }
            }
            quorum.own = process.own;
            process.route = process.judge.decide(Some(&quorum), now);
        }
        let [Some(first), Some(second)] = said else { return };
        let word = Word { at: now, grants: node.processes[0].judge.grant(), sights: [first, second] };
        for other in (0..NODES).filter(|other| *other != at) {
            if self.hears[at][other] && !self.dice.one_in(20) {
                self.nodes[other].heard[at] = Some(word);
            }
        }
    }

    /// Where each process sends requests, and which regions it reaches.
    fn routes(&self) -> impl Iterator<Item = ([bool; 2], Route)> {
        let nodes = self.nodes.iter().zip(self.reaches);
        nodes.flat_map(|(node, reaches)| node.processes.iter().map(move |process| (reaches, process.route)))
    }

    /// No two processes write to two databases.
    fn check(&self) -> Result<(), String> {
        let mut written = None;
        for (reaches, route) in self.routes() {
            let Route::Serve(region) = route else { continue };
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
