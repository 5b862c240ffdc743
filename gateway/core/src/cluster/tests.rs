//! Many nodes, a store that fails, and the sum of what they hold.

use super::ledger::Ledger;
use super::*;
use core::time::Duration;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// Milliseconds between two exchanges of a node.
const EVERY: u64 = 250;

/// One gateway.
struct Node {
    name: Box<str>,
    part: Part,
    link: Link,
    seen: Vec<Claim>,
    nodes: Vec<Box<str>>,
    next: u64,
    /// Units in use until a moment, as requests hold workers.
    in_use: Vec<u64>,
    load: u64,
    alive: bool,
}

/// Redis: what it knows, and for how long.
#[derive(Default)]
struct Store {
    ledger: Ledger,
    leases: Vec<(Box<str>, u64)>,
    born: u64,
    last: u64,
    away: bool,
}

impl Store {
    fn exchange(
        &mut self,
        node: &Node,
        now: u64,
        capacity: u32,
        asked: u32,
    ) -> Option<(u32, Vec<Claim>, Heard)> {
        if self.away {
            return None;
        }
        if now - self.last > u64::try_from(GAP.as_millis()).unwrap() {
            self.born = now;
        }
        self.last = now;
        self.leases.retain(|(_, until)| *until > now);
        let known = self.leases.iter().any(|(name, _)| *name == node.name);
        self.leases.retain(|(name, _)| *name != node.name);
        self.leases.push((node.name.clone(), now + u64::try_from(LEASE.as_millis()).unwrap()));
        let live: Vec<Box<str>> = self.leases.iter().map(|(name, _)| name.clone()).collect();
        let (granted, claims) =
            self.ledger.ask(&node.name, &live, capacity, (asked, node.used(), node.part.demand()));
        let heard = Heard::check(
            &node.name,
            live,
            known,
            i64::try_from(now + 1).unwrap(),
            i64::try_from(self.born + 1).unwrap(),
        );
        Some((granted, claims, heard.unwrap()))
    }
}

impl Node {
    fn new(name: usize) -> Self {
        Self {
            name: format!("n{name}").into(),
            part: Part::of(0),
            link: Link::default(),
            seen: Vec::new(),
            nodes: Vec::new(),
            next: 0,
            in_use: Vec::new(),
            load: 0,
            alive: true,
        }
    }

    fn used(&self) -> u32 {
        u32::try_from(self.in_use.len()).unwrap()
    }

    /// Exchanges; the answer may get lost.
    fn exchange(&mut self, store: &mut Store, now: u64, capacity: u32, lost: bool) {
        let at = Duration::from_millis(now);
        self.part.note_demand(self.load);
        let view = View {
            capacity,
            floor: capacity / 16,
            me: &self.name,
            nodes: &self.nodes,
            others: &self.seen,
            may_raise: self.link.may_raise(at),
        };
        let asked = self.part.ask(&view).max(self.used());
        let answer = store.exchange(self, now, capacity, asked).filter(|_| !lost);
        let Some((granted, claims, heard)) = answer else {
            self.link.note(Outcome::Late, at, at);
            return;
        };
        self.link.note(Outcome::Answered { known: heard.known, age_ms: heard.age_ms }, at, at);
        self.part.take(granted, self.link.may_raise(at));
        self.seen = claims;
        self.nodes = heard.nodes;
    }

    fn work(&mut self, now: u64, random: &mut TestRng) {
        self.in_use.retain(|until| *until > now);
        while self.used() < self.part.held() && u64::from(self.used()) < self.load {
            self.in_use.push(now + u64::from(random.next_u32() % 2_000));
        }
    }
}

fn in_use(nodes: &[Node]) -> u32 {
    nodes.iter().map(Node::used).sum()
}

/// One history of some nodes over a store that stops, forgets and loses answers, with nodes that die and come.
fn history(seed: u64, capacity: u32, with_outages: bool) -> (u32, u64) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut store = Store::default();
    let mut nodes: Vec<Node> = (0..3).map(Node::new).collect();
    let (mut most, mut wanting) = (0, 0);
    for now in (10_000..70_000).step_by(10) {
        if with_outages && random.next_u32().is_multiple_of(1_000) {
            store.away = !store.away;
        }
        if with_outages && random.next_u32().is_multiple_of(1_500) {
            store = Store { born: now, away: store.away, ..Store::default() };
        }
        if random.next_u32().is_multiple_of(2_000) && nodes.len() < 8 {
            nodes.push(Node::new(nodes.len()));
        }
        // A node that dies leaves its work behind until that is done; its workers are counted on.
        if random.next_u32().is_multiple_of(2_000) {
            let dead = usize::try_from(random.next_u32()).unwrap() % nodes.len();
            nodes[dead].alive = false;
        }
        for node in &mut nodes {
            if random.next_u32().is_multiple_of(300) {
                node.load = u64::from(random.next_u32() % (2 * capacity));
            }
            if node.alive && now >= node.next {
                node.exchange(
                    &mut store,
                    now,
                    capacity,
                    with_outages && random.next_u32().is_multiple_of(50),
                );
                node.next = now + EVERY - 20 + u64::from(random.next_u32() % 40);
            }
            if node.alive {
                node.work(now, &mut random);
            } else {
                node.in_use.retain(|until| *until > now);
            }
        }
        most = most.max(in_use(&nodes));
        let wanted: u64 = nodes.iter().filter(|node| node.alive).map(|node| node.load).sum();
        wanting += u64::from(!store.away && wanted > u64::from(capacity) && in_use(&nodes) * 2 < capacity);
    }
    (most, wanting)
}

#[test]
fn nodes_together_never_use_more_than_there_is_in_five_hundred_histories() {
    for seed in 0..500 {
        let capacity = [2, 3, 8, 40][usize::try_from(seed % 4).unwrap()];
        let (most, _) = history(seed, capacity, true);
        assert!(most <= capacity, "seed {seed}: {most} of {capacity}");
    }
}

#[test]
fn what_is_free_goes_to_who_wants_it() {
    let idle: u64 = (0..50).map(|seed| history(seed, 40, false).1).sum();
    // Of 50 histories of 6,000 steps each.
    assert!(idle < 15_000, "{idle} steps with half of the units unused while they were wanted");
}

#[test]
fn without_the_store_parts_become_equal_and_are_never_more_than_there_is() {
    let capacity = 60;
    let mut store = Store::default();
    let mut nodes: Vec<Node> = (0..3).map(Node::new).collect();
    nodes[0].load = 100;
    let held = |nodes: &[Node]| nodes.iter().map(|node| node.part.held()).collect::<Vec<_>>();
    for now in (10_000_u64..200_000).step_by(50) {
        store.away = now >= 30_000;
        // Nodes notice at different times.
        for (node, late) in nodes.iter_mut().zip([0, 50, 150]) {
            if (now + late).is_multiple_of(EVERY) {
                node.exchange(&mut store, now, capacity, false);
                let equal = capacity / u32::try_from(node.nodes.len().max(1)).unwrap();
                if store.away {
                    node.part.hold(node.link.hold(Duration::from_millis(now)), equal);
                }
            }
        }
        assert!(held(&nodes).iter().sum::<u32>() <= capacity, "{now}: {:?}", held(&nodes));
        if now == 29_950 || now == 55_000 {
            assert!(
                held(&nodes)[0] > capacity * 8 / 10,
                "who is asked for all has nearly all: {:?}",
                held(&nodes)
            );
        }
    }
    assert_eq!(held(&nodes), [20, 20, 20]);
}
