//! A pool as a simulation: requests with a time each, workers, and a clock that nobody waits for.

use super::super::*;
use core::num::NonZeroU16;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};

/// Numbers that look random and are the same for a seed (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// With a mean of one: exponential, as gaps between arrivals of many.
    pub(super) fn exponential(&mut self) -> f64 {
        -((f64::from(u32::try_from(self.next() >> 32).unwrap()) + 1.0) / (f64::from(u32::MAX) + 2.0)).ln()
    }
}

/// A request of the simulation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) tenant: u64,
    pub(super) weight: u16,
    pub(super) class: WorkClass,
    pub(super) route: u16,
    /// Time of a worker that it takes.
    pub(super) takes: Duration,
    pub(super) wait_max: Duration,
}

impl Job {
    pub(super) fn page(tenant: u64, takes_ms: u64) -> Self {
        let takes = Duration::from_millis(takes_ms);
        let (class, wait_max) = (WorkClass::Interactive, Duration::from_secs(1_000_000));
        Self { tenant, weight: 100, class, route: 1, takes, wait_max }
    }
}

/// What became of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) job: Job,
    pub(super) arrived: Duration,
    pub(super) started: Duration,
}

/// A pool, and those who ask it.
pub(super) struct World {
    pub(super) scheduler: Scheduler<u64>,
    pub(super) now: Duration,
    pub(super) reach: u32,
    /// Jobs by number, with the time of their arrival.
    pub(super) waiting: HashMap<u64, (Job, Duration, Ticket)>,
    /// Served jobs by the time of their end.
    pub(super) serving: BTreeMap<(Duration, u64), (Ticket, Ended)>,
    pub(super) ended: Vec<Ended>,
    pub(super) refused: Vec<(Job, Refusal)>,
    jobs: u64,
}

impl World {
    pub(super) fn new(workers: u32) -> Self {
        Self {
            scheduler: Scheduler::new(workers),
            now: Duration::from_secs(1),
            reach: u32::MAX,
            waiting: HashMap::new(),
            serving: BTreeMap::new(),
            ended: Vec::new(),
            refused: Vec::new(),
            jobs: 0,
        }
    }

    pub(super) fn arrive(&mut self, job: Job) -> Decision {
        let arrival = Arrival {
            tenant: TenantKey(job.tenant),
            weight: NonZeroU16::new(job.weight).unwrap(),
            reach: self.reach,
            class: job.class,
            route: RouteGroup::numbered(job.route),
            wait_max: job.wait_max,
        };
        self.jobs += 1;
        let decision = self.scheduler.arrive(&arrival, self.now);
        match decision {
            Decision::Start(ticket) => self.start(self.jobs, ticket, job, self.now),
            Decision::Wait(ticket) => {
                self.scheduler.attach(ticket, self.jobs);
                self.waiting.insert(self.jobs, (job, self.now, ticket));
            }
            Decision::Refuse(refusal) => self.refused.push((job, refusal)),
        }
        self.settle();
        decision
    }

    fn start(&mut self, number: u64, ticket: Ticket, job: Job, arrived: Duration) {
        let ended = Ended { job, arrived, started: self.now };
        self.serving.insert((self.now + job.takes, number), (ticket, ended));
    }

    /// Follows what the scheduler says, and holds it against what must be.
    pub(super) fn settle(&mut self) {
        while let Some(event) = self.scheduler.next(self.now) {
            match event {
                Event::Start { ticket, waiter } => {
                    let number = waiter.expect("a start without somebody who waits");
                    let (job, arrived, waited_with) = self.waiting.remove(&number).unwrap();
                    assert_eq!(ticket, waited_with);
                    let load = self.scheduler.load();
                    assert!(load.in_service <= load.workers, "more started than there are workers: {load:?}");
                    self.start(number, ticket, job, arrived);
                }
                Event::Refuse { refusal, waiter } => {
                    let (job, arrived, _) = self.waiting.remove(&waiter.unwrap()).unwrap();
                    assert!(self.now >= arrived + job.wait_max, "nobody is given up early");
                    assert_eq!(refusal.shortage, Shortage::Expired);
                    self.refused.push((job, refusal));
                }
            }
        }
        self.scheduler.audit();
        let load = self.scheduler.load();
        assert_eq!(self.serving.len(), usize::try_from(load.in_service - load.beside).unwrap());
        assert_eq!(self.waiting.len(), usize::try_from(self.scheduler.waiting()).unwrap());
    }

    /// Lets a time pass, with everything that ends in it.
    pub(super) fn until(&mut self, end: Duration) {
        while let Some(entry) = self.serving.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), (ticket, ended)) = entry.remove_entry();
            self.now = self.now.max(at);
            self.scheduler.complete(ticket, self.now);
            self.ended.push(ended);
            self.settle();
        }
        self.now = self.now.max(end);
        self.settle();
    }

    /// Waits until nothing is left.
    pub(super) fn run_dry(&mut self) {
        while let Some((&(end, _), _)) = self.serving.first_key_value() {
            self.until(end);
        }
    }
}

/// The wait that so many of a hundred stay below.
pub(super) fn percentile(mut waits: Vec<Duration>, percent: usize) -> Duration {
    waits.sort_unstable();
    waits[(waits.len() * percent / 100).min(waits.len() - 1)]
}
