//! The situations that the scheduler is made for, one each.

use super::super::*;
use super::world::{Job, World};
use core::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn started(decision: Decision) -> bool {
    matches!(decision, Decision::Start(_))
}

/// A world in which everybody's pages are known to take so long.
fn known(workers: u32, takes_ms: u64, tenants: u64) -> World {
    let mut world = World::new(workers);
    for tenant in 0..tenants {
        assert!(started(world.arrive(Job::page(tenant, takes_ms))));
        world.run_dry();
    }
    world.until(world.now + SECOND * 3);
    world.ended.clear();
    world
}

#[test]
fn a_request_starts_at_once_while_a_worker_is_free() {
    let mut world = known(2, 50, 3);
    assert!(started(world.arrive(Job::page(1, 50))));
    assert!(started(world.arrive(Job::page(2, 50))));
    assert!(!started(world.arrive(Job::page(0, 50))));
}

#[test]
fn a_tenant_alone_gets_every_worker_and_gives_one_back_when_another_comes() {
    let mut world = known(2, 50, 2);
    for _ in 0..10 {
        world.arrive(Job::page(0, 50));
    }
    assert_eq!(world.serving.len(), 2, "alone it holds both");
    world.arrive(Job::page(1, 50));
    for _ in 0..20 {
        world.until(world.now + Duration::from_millis(50));
        let flood = world.serving.values().filter(|(_, ended)| ended.job.tenant == 0).count();
        assert!(flood <= 1, "it holds both again, though another was there a moment ago");
    }
    let other = world.ended.iter().find(|ended| ended.job.tenant == 1).unwrap();
    assert!(other.started - other.arrived <= Duration::from_millis(50), "{other:?}");
}

#[test]
fn who_was_there_is_forgotten_by_long_work_after_ten_seconds_though_nothing_else_happens() {
    let mut world = known(4, 60_000, 0);
    world.arrive(Job::page(1, 10));
    for _ in 0..6 {
        world.arrive(Job::page(0, 60_000));
    }
    world.until(world.now + SECOND);
    let holds = |world: &World| world.serving.len();
    assert_eq!(holds(&world), 2, "another was there a moment ago");
    world.until(world.now + SECOND * 8);
    assert_eq!(holds(&world), 2, "and may come again before long work ends");
    world.until(world.now + SECOND * 2);
    assert_eq!(holds(&world), 3, "long work never takes the last worker");
}

#[test]
fn long_work_never_takes_the_last_worker_whoever_asks() {
    for workers in 2..20 {
        let mut world = World::new(workers);
        for tenant in 0..40 {
            world.arrive(Job { class: WorkClass::Background, ..Job::page(tenant, 60_000) });
        }
        let load = world.scheduler.load();
        assert!(load.in_service < workers, "{load:?}");
    }
}

#[test]
fn a_route_that_turns_out_slow_does_not_take_the_last_worker_again() {
    let mut world = known(4, 50, 2);
    let slow = Job { route: 7, ..Job::page(0, 30_000) };
    world.arrive(slow);
    world.run_dry();
    for tenant in 0..8 {
        world.arrive(Job { tenant, ..slow });
    }
    assert_eq!(world.serving.len(), 3);
    assert_eq!(world.scheduler.load().classes[WorkClass::Slow.position()].0, 3);
    assert!(started(world.arrive(Job::page(1, 50))), "a page finds a worker");
}

#[test]
fn a_route_that_nobody_knows_is_served_while_long_work_has_its_share() {
    let mut world = World::new(2);
    world.arrive(Job { class: WorkClass::Background, ..Job::page(0, 60_000) });
    assert!(started(world.arrive(Job { route: 5, ..Job::page(1, 50) })));
    world.until(world.now + SECOND * 5);
    assert!(started(world.arrive(Job { route: 6, ..Job::page(1, 50) })));
    assert!(!started(world.arrive(Job { route: 7, ..Job::page(1, 50) })), "but one at a time");
}

#[test]
fn a_tenant_with_twice_the_weight_gets_twice_the_time() {
    let mut world = known(2, 100, 6);
    let begun = world.now;
    while world.now < begun + SECOND * 60 {
        for tenant in 0..6 {
            if world.waiting.values().filter(|(job, ..)| job.tenant == tenant).count() < 2 {
                world.arrive(Job { weight: if tenant == 0 { 200 } else { 100 }, ..Job::page(tenant, 100) });
            }
        }
        world.until(world.now + Duration::from_millis(50));
    }
    let count = |tenant| world.ended.iter().filter(|ended| ended.job.tenant == tenant).count();
    let ratio = f64::from(u32::try_from(count(0)).unwrap()) / f64::from(u32::try_from(count(1)).unwrap());
    assert!((1.9..2.1).contains(&ratio), "{ratio}");
}

#[test]
fn pages_get_most_of_the_workers_and_programs_what_pages_leave() {
    let mut world = known(4, 100, 20);
    let program = |tenant| Job { class: WorkClass::Program, ..Job::page(tenant, 100) };
    for tenant in 0..20 {
        world.arrive(program(tenant));
        world.run_dry();
    }
    world.ended.clear();
    for _ in 0..60 {
        for tenant in 0..20 {
            world.arrive(program(tenant));
        }
        world.until(world.now + Duration::from_millis(100));
    }
    assert_eq!(world.ended.len(), 240, "programs have all workers while no page is asked for");
    world.ended.clear();
    for _ in 0..60 {
        for tenant in 0..20 {
            world.arrive(Job::page(tenant, 100));
        }
        world.until(world.now + Duration::from_millis(100));
    }
    let programs = world.ended.iter().filter(|ended| ended.job.class == WorkClass::Program).count();
    assert!((30..=60).contains(&programs), "about a fifth of 240: {programs}");
}

#[test]
fn who_would_wait_too_long_is_told_at_once_and_when_to_come_again() {
    let mut world = known(4, 500, 3);
    world.arrive(Job::page(2, 500));
    let impatient = Job { wait_max: SECOND * 10, ..Job::page(0, 500) };
    let mut refused = Vec::new();
    for _ in 0..100 {
        if let Decision::Refuse(refusal) = world.arrive(impatient) {
            refused.push(refusal);
        }
    }
    assert!(refused.len() > 30, "{}", refused.len());
    let first = refused[0];
    assert_eq!(first.shortage, Shortage::Time);
    assert!((SECOND * 10..SECOND * 15).contains(&first.retry_after), "{first:?}");
    assert!(
        !matches!(world.arrive(Job { tenant: 1, ..impatient }), Decision::Refuse(_)),
        "others are not refused"
    );
    let before = world.now;
    world.run_dry();
    let honest = world.now - before;
    assert!(honest <= SECOND * 15, "those who waited were served in {honest:?}");
    assert!(
        world.refused.iter().all(|(_, refusal)| refusal.shortage == Shortage::Time),
        "and nobody in vain"
    );
}

#[test]
fn a_request_that_has_waited_too_long_is_not_started() {
    let mut world = known(1, 50, 2);
    world.arrive(Job::page(0, 20_000));
    assert!(!started(world.arrive(Job { wait_max: SECOND * 10, ..Job::page(1, 50) })));
    world.run_dry();
    assert_eq!(world.refused.len(), 1);
    assert_eq!(world.refused[0].1.shortage, Shortage::Expired);
}

#[test]
fn queues_are_bounded_for_a_tenant_and_for_all() {
    let mut world = World::new(2);
    for _ in 0..1_000 {
        world.arrive(Job::page(0, 1));
    }
    assert_eq!(world.waiting.len(), 128);
    assert!(world.refused.iter().all(|(_, refusal)| refusal.shortage == Shortage::TenantQueue));
    for tenant in 1..1_100 {
        world.arrive(Job::page(tenant, 1));
    }
    assert_eq!(world.waiting.len(), 1_024);
    assert_eq!(world.refused.last().unwrap().1.shortage, Shortage::Queue);
    world.run_dry();
}

#[test]
fn what_odoo_needs_to_end_a_request_passes_beside_a_full_queue_and_is_bounded() {
    let mut world = World::new(1);
    world.arrive(Job::page(0, 1_000));
    world.arrive(Job::page(1, 1_000));
    let route = RouteGroup::numbered(0);
    let beside: Vec<Ticket> =
        (0..100).filter_map(|_| world.scheduler.arrive_beside(route, world.now)).collect();
    assert_eq!(beside.len(), 32);
    world.run_dry();
    assert_eq!(world.waiting.len(), 1, "nothing else starts meanwhile");
    for ticket in beside {
        world.scheduler.complete(ticket, world.now);
    }
    world.settle();
    assert_eq!(world.waiting.len(), 0);
}

#[test]
fn a_flood_of_tenants_that_come_once_is_not_remembered() {
    let mut world = World::new(4);
    for tenant in 0..3_000 {
        world.arrive(Job::page(tenant, 0));
        world.run_dry();
    }
    assert!(world.scheduler.tenants_known() <= 1_025, "{}", world.scheduler.tenants_known());
}

#[test]
fn a_tenant_of_few_backends_holds_a_part_of_those_only() {
    let mut world = known(16, 50, 2);
    world.reach = 4;
    world.arrive(Job::page(1, 50));
    for _ in 0..20 {
        world.arrive(Job::page(0, 50));
    }
    assert_eq!(world.serving.values().filter(|(_, ended)| ended.job.tenant == 0).count(), 3);
}

#[test]
fn workers_that_come_are_used_and_those_that_go_are_not_given_again() {
    let mut world = known(2, 1_000, 8);
    for tenant in 0..8 {
        world.arrive(Job::page(tenant, 900));
    }
    world.scheduler.set_workers(4);
    world.settle();
    assert_eq!(world.serving.len(), 3, "of four, long work has three");
    world.scheduler.set_workers(1);
    world.settle();
    world.until(world.now + Duration::from_millis(900));
    assert_eq!(world.serving.len(), 1);
    world.scheduler.set_workers(0);
    world.run_dry();
    assert!(!world.waiting.is_empty() && world.serving.is_empty(), "without workers nothing is served");
    world.scheduler.set_workers(2);
    world.settle();
    world.run_dry();
    assert!(world.waiting.is_empty());
}

#[test]
fn what_is_served_for_a_second_is_slow_from_then_on_and_so_is_what_its_tenant_has_waiting_for_the_same() {
    let mut world = known(8, 50, 2);
    world.arrive(Job::page(1, 50));
    for _ in 0..10 {
        world.arrive(Job::page(0, 60_000));
    }
    let slow = |world: &World| world.scheduler.load().classes[WorkClass::Slow.position()];
    assert_eq!((world.serving.len(), slow(&world)), (7, (0, 0)), "its pages were short until now");
    world.until(world.now + SECOND);
    assert_eq!(slow(&world).0, 6);
    world.arrive(Job::page(0, 60_000));
    assert_eq!(slow(&world), (6, 1));
    world.arrive(Job { takes: SECOND, ..Job::page(1, 50) });
    assert_eq!(slow(&world), (6, 1), "the same route is short for the other");
}
