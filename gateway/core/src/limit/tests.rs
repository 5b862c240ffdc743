//! The algorithm beside an exact model of what it stands for: units that flow back evenly.
#![expect(
    clippy::as_conversions,
    reason = "the model is compared in floating point, where a part of a unit does not matter"
)]

use super::{LimitCell, Rate};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

/// What a rate means, in exact arithmetic: units in use, in picoseconds of work.
#[derive(Debug)]
struct Model {
    /// Units in use, times the interval.
    used_ps: u128,
    interval_ps: u64,
    at: u64,
}

impl Model {
    fn flow(&mut self, rate: Rate, now: u64) {
        // A clock that goes back earns nothing, and loses nothing that was earned.
        let passed = u128::from(now.saturating_sub(self.at)) * 1_000;
        self.used_ps = self.used_ps.saturating_sub(passed);
        self.at = now;
        if self.interval_ps != 0 && self.interval_ps != rate.interval_ps() {
            self.used_ps = self.used_ps * u128::from(rate.interval_ps()) / u128::from(self.interval_ps);
        }
        self.interval_ps = rate.interval_ps();
        self.used_ps = self.used_ps.min(u128::from(rate.debt_max_ns()) * 1_000);
    }

    fn units(&self) -> f64 {
        self.used_ps as f64 / self.interval_ps as f64
    }
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Charge(u64),
    Debt(u64),
    Refund(u64),
    Rate(Rate),
}

fn rates() -> impl Strategy<Value = Rate> {
    (1_u64..2_000, 1_u64..60, 1_u64..500)
        .prop_map(|(units, period, burst)| Rate::new(units, period, burst).unwrap())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2 * SECOND).prop_map(Step::Wait),
        8 => (1_u64..5).prop_map(Step::Charge),
        1 => (1_u64..50).prop_map(Step::Debt),
        1 => (1_u64..5).prop_map(Step::Refund),
        1 => rates().prop_map(Step::Rate),
    ];
    proptest::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn what_is_charged_is_what_an_exact_model_charges(first in rates(), steps in steps()) {
        let cell = LimitCell::default();
        let mut rate = first;
        let mut model = Model { used_ps: 0, interval_ps: 0, at: 0 };
        let mut now = SECOND;
        // Each charge and each change rounds up by a nanosecond at most; a change of rate may magnify what was rounded.
        let mut off_ns = 1.0_f64;
        for step in steps {
            match step {
                Step::Wait(ns) => now += ns,
                Step::Rate(next) => {
                    off_ns = off_ns * (next.interval_ps() as f64 / rate.interval_ps() as f64) + 1.0;
                    rate = next;
                    let _left = cell.peek(rate, now);
                    model.flow(rate, now);
                }
                Step::Charge(units) => {
                    model.flow(rate, now);
                    let interval = rate.interval_ps() as f64;
                    let close = 4.0 * (off_ns + 1.0) * 1_000.0 / interval;
                    let would_be = model.units() + units as f64;
                    let allowed = rate.burst().max(units) as f64;
                    match cell.charge(rate, now, units, 0) {
                        Ok(_) => {
                            prop_assert!(would_be <= allowed + close, "{would_be} of {allowed}");
                            model.used_ps += u128::from(units) * u128::from(rate.interval_ps());
                            off_ns += 1.0;
                        }
                        Err(refused) => {
                            prop_assert!(would_be > allowed - close, "{would_be} of {allowed}");
                            let honest = (would_be - allowed) * interval / 1_000.0;
                            let told = refused.wait_ns as f64;
                            prop_assert!((told - honest).abs() <= 4.0 * (off_ns + 2.0) + honest * 1e-9,
                                "told {told}, true {honest}");
                        }
                    }
                }
                Step::Debt(units) => {
                    model.flow(rate, now);
                    cell.charge_debt(rate, now, units);
                    model.used_ps += u128::from(units) * u128::from(rate.interval_ps());
                    model.flow(rate, now);
                    off_ns += 1.0;
                }
                Step::Refund(units) => {
                    model.flow(rate, now);
                    cell.refund(rate, now, units);
                    let back = u128::from(units) * u128::from(rate.interval_ps());
                    model.used_ps = model.used_ps.saturating_sub(back);
                    off_ns += 1.0;
                }
            }
        }
    }

    #[test]
    fn never_more_than_the_burst_and_the_rate_over_any_time(
        rate in rates(),
        waits in proptest::collection::vec(0..SECOND, 1..400),
    ) {
        let cell = LimitCell::default();
        let (start, mut now, mut taken) = (SECOND, SECOND, 0_u64);
        for wait in waits {
            now += wait;
            taken += u64::from(cell.charge(rate, now, 1, 0).is_ok());
            let earned = (now - start) as f64 * 1_000.0 / rate.interval_ps() as f64;
            prop_assert!(taken as f64 <= rate.burst() as f64 + earned + 1e-6);
        }
    }

    #[test]
    fn a_clock_that_jumps_costs_nobody_more_than_an_hour(
        rate in rates(),
        jumps in proptest::collection::vec(any::<u64>(), 1..100),
    ) {
        let cell = LimitCell::default();
        for now in jumps {
            let _anything = cell.charge(rate, now, 1, 0);
            cell.charge_debt(rate, now, 3);
            cell.refund(rate, now, 1);
            prop_assert!(cell.peek(rate, now).full_in_ns <= rate.debt_max_ns());
            if let Err(refused) = cell.charge(rate, now, 1, 0) {
                prop_assert!(refused.wait_ns <= rate.debt_max_ns());
            }
        }
    }
}

#[test]
fn a_burst_is_there_at_once_and_then_the_rate() {
    let rate = Rate::new(50, 1, 200).unwrap();
    let cell = LimitCell::default();
    let take_all = |now| (0..1_000).filter(|_| cell.charge(rate, now, 1, 0).is_ok()).count();
    assert_eq!(take_all(SECOND), 200);
    assert_eq!(cell.charge(rate, SECOND, 1, 0).unwrap_err().wait_ns, SECOND / 50);
    assert_eq!(take_all(2 * SECOND), 50);
    assert_eq!(take_all(1_000 * SECOND), 200);
    assert_eq!((rate.per_second(), rate.window_seconds()), (50.0, 4));
}

#[test]
fn a_reserve_is_for_those_who_may_use_it() {
    let rate = Rate::new(1, 1, 10).unwrap();
    let cell = LimitCell::default();
    while cell.charge(rate, SECOND, 1, 0).is_ok() {}
    assert_eq!((0..100).filter(|_| cell.charge(rate, SECOND, 1, 5).is_ok()).count(), 5);
    assert!(cell.charge(rate, SECOND, 1, 0).is_err());
    // What cost more than the whole burst would never be let through otherwise.
    assert!(LimitCell::default().charge(rate, SECOND, 25, 0).is_ok());
}

#[test]
fn a_change_of_the_rate_keeps_the_units_that_are_used() {
    let (slow, fast) = (Rate::new(10, 1, 100).unwrap(), Rate::new(1_000, 1, 100).unwrap());
    let cell = LimitCell::default();
    for _ in 0..60 {
        cell.charge(slow, SECOND, 1, 0).unwrap();
    }
    assert_eq!(cell.peek(slow, SECOND).units, 40);
    assert_eq!(cell.peek(fast, SECOND).units, 40);
    assert_eq!(cell.peek(slow, SECOND).units, 40);
    let small = Rate::new(10, 1, 30).unwrap();
    assert_eq!(cell.peek(small, SECOND).units, 0);
    assert_eq!(cell.charge(small, SECOND, 1, 0).unwrap_err().wait_ns, 31 * SECOND / 10);
}

#[test]
fn threads_never_take_more_than_there_is() {
    let rate = Rate::new(1, 3_600, 10_000).unwrap();
    let cell = LimitCell::default();
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..5_000).filter(|_| cell.charge(rate, SECOND, 1, 0).is_ok()).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 10_000);
}

#[test]
fn a_rate_of_nothing_is_none() {
    assert_eq!(Rate::new(0, 1, 1), None);
    assert_eq!(Rate::new(1, 0, 1), None);
    assert_eq!(Rate::new(1, 1, 0), None);
    assert_eq!(Rate::new(u64::MAX, 1, 1), None);
    let bytes = Rate::new(1 << 30, 1, 1 << 30).unwrap();
    assert!((bytes.per_second() / f64::from(1 << 30) - 1.0).abs() < 0.001);
}

#[test]
fn shares_of_a_rate_are_never_more_than_the_whole() {
    let rate = Rate::new(50, 1, 200).unwrap();
    assert_eq!(rate.share(65_536), rate);
    let (half, rest) = (rate.share(32_768), rate.share(32_768));
    assert!(half.per_second() + rest.per_second() <= 50.0);
    assert!(half.burst() + rest.burst() <= 200);
    assert_eq!(rate.share(0).burst(), 1);
}
