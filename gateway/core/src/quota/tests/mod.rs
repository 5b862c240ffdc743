//! Quotas against calendars, clocks and a model that adds everything up.

mod calendar;
mod ledger;
mod model;

use super::*;
use jiff::Timestamp;

/// Second of a moment.
fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

fn key(name: &str) -> QuotaKey {
    QuotaKey::parse(name).unwrap()
}

fn threshold(percent: u16, stage: Stage) -> Threshold {
    Threshold { percent, stage, only: None }
}

/// One quota, which warns at 80 % and stops at 100 %.
fn terms(name: &str, limit: u64, zone: &str, anchor_day: u8) -> QuotaTerms {
    QuotaTerms {
        quotas: vec![Quota { key: key(name), limit }],
        thresholds: vec![threshold(80, Stage::Warned), threshold(100, Stage::Stopped)],
        calendar: Calendar::new(zone, anchor_day).unwrap(),
        ..QuotaTerms::default()
    }
}

/// A tenant with a clock.
#[derive(Default)]
struct Tenant {
    ledger: Ledger,
    totals: Totals,
    periods: Periods,
    fired: Vec<Fired>,
}

impl Tenant {
    fn see(&mut self, terms: &QuotaTerms, now: i64) -> Assessment {
        assess(terms, &mut self.ledger, self.totals, now, &mut self.periods, &mut self.fired)
    }

    /// Uses an amount of the meter of the first quota.
    fn spend(&mut self, terms: &QuotaTerms, now: i64, amount: u64) -> Assessment {
        self.see(terms, now);
        *self.totals.of_mut(terms.quotas[0].key.meter) += amount;
        self.see(terms, now)
    }

    fn used(&self, key: QuotaKey) -> u64 {
        self.ledger.balance(key).unwrap().used(self.totals.of(key.meter))
    }

    fn period(&self, key: QuotaKey) -> Period {
        Period::clone(self.ledger.balance(key).unwrap().period())
    }
}
