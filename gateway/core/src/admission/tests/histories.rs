//! Thousands of random histories; after every step all counts are right, no worker is idle that somebody may have, no
//! more are started than there are workers, and queues keep their bounds ([`World::settle`] looks).

use super::super::*;
use super::world::{Dice, Job, World};
use core::time::Duration;

const SEEDS: u64 = 2_000;
const STEPS: u64 = 100;

fn any_job(dice: &mut Dice, tenants: u64) -> Job {
    let class = WorkClass::ALL[usize::try_from(dice.below(4)).unwrap()];
    let longest_ms = [20, 200, 5_000][usize::try_from(dice.below(3)).unwrap()];
    // Few tenants ask often, the others seldom.
    let tenant = dice.below(tenants).min(dice.below(tenants));
    Job {
        tenant,
        weight: [1, 100, 100, 100, 300, u16::MAX][usize::try_from(dice.below(6)).unwrap()],
        class,
        route: u16::try_from(dice.below(8)).unwrap(),
        takes: Duration::from_millis(dice.below(longest_ms)),
        wait_max: Duration::from_millis([1, 500, 10_000, 1_000_000][usize::try_from(dice.below(4)).unwrap()]),
    }
}

fn step(world: &mut World, dice: &mut Dice, tenants: u64) {
    match dice.below(100) {
        0..55 => {
            for _ in 0..=dice.below(3) {
                world.arrive(any_job(dice, tenants));
            }
        }
        55..85 => world.until(world.now + Duration::from_millis(dice.below(400))),
        85..87 => world.until(world.now + Duration::from_secs(3)),
        87..93 => {
            // A client that waits leaves.
            let mut numbers: Vec<u64> = world.waiting.keys().copied().collect();
            numbers.sort_unstable();
            if !numbers.is_empty() {
                let number =
                    numbers[usize::try_from(dice.below(u64::try_from(numbers.len()).unwrap())).unwrap()];
                let (_, _, ticket) = world.waiting.remove(&number).unwrap();
                world.scheduler.leave(ticket, world.now);
                world.scheduler.leave(ticket, world.now);
                world.scheduler.complete(ticket, world.now);
                world.settle();
            }
        }
        93..96 => {
            // A worker is given back unused.
            if let Some(entry) = world.serving.first_entry() {
                let (_, (ticket, _)) = entry.remove_entry();
                world.scheduler.leave(ticket, world.now);
                world.scheduler.complete(ticket, world.now);
                world.settle();
            }
        }
        96..98 => {
            world.scheduler.set_workers(u32::try_from(dice.below(13)).unwrap());
            // Workers that went are still held: nothing starts until fewer are.
            while world.scheduler.load().in_service > world.scheduler.workers() {
                let before = world.waiting.len();
                assert!(world.scheduler.next(world.now).is_none() || world.waiting.len() == before);
                let Some((&(end, _), _)) = world.serving.first_key_value() else { break };
                world.until(end);
            }
            world.settle();
        }
        _ => {
            if let Some(ticket) = world.scheduler.arrive_beside(RouteGroup::numbered(0), world.now) {
                world.scheduler.audit();
                world.scheduler.complete(ticket, world.now);
                world.settle();
            }
        }
    }
}

#[test]
fn whatever_happens_counts_are_right_and_no_worker_is_idle_or_doubly_given() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let mut world = World::new(u32::try_from(1 + dice.below(12)).unwrap());
        world.reach = u32::try_from(1 + dice.below(16)).unwrap();
        let tenants = 1 + dice.below(30);
        for _ in 0..STEPS {
            step(&mut world, &mut dice, tenants);
        }
        // In the end everybody was served or refused, every worker is back, and nobody is remembered.
        world.scheduler.set_workers(4);
        world.settle();
        world.run_dry();
        let left: Vec<_> = world.waiting.values().collect();
        assert!(left.is_empty(), "seed {seed}: {left:?} wait for ever");
        world.until(world.now + Duration::from_secs(3));
        assert_eq!(world.scheduler.load(), Load { workers: 4, ..Load::default() }, "seed {seed}");
        assert_eq!(world.scheduler.tenants_known(), 0, "seed {seed}");
    }
}
