//! One quota of one tenant: where its period began on the scale of the meter's total.

use super::calendar::{Period, Periods, Span};
use super::elsewhere::{Elsewhere, NodeUse};
use super::grant::{Grant, use_up};
use super::meter::QuotaKey;
use super::rolling::Rolling;
use super::terms::{QuotaTerms, percent_of};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A clock that was set back by less than this changes no period: clocks are corrected around midnight too.
const CLOCK_STEP_SECONDS: i64 = 300;

/// What is known about a quota of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    key: QuotaKey,
    period: Arc<Period>,
    /// Total at which the period began.
    base: u64,
    /// Taken over from the period before.
    carried: u64,
    /// The highest threshold that was reported in the period.
    fired_percent: u16,
    rolling: Option<Box<Rolling>>,
    previous: Option<Box<Closed>>,
    /// What other nodes have used.
    elsewhere: Elsewhere,
    /// When an operator last made it begin anew, in seconds since 1970.
    reset_at: i64,
}

/// A period that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Which.
    pub period: Period,
    /// What was used in it, as the meter counts.
    pub used: u64,
    /// What could have been, with what was carried over, without grants.
    pub limit: u64,
    carried: u64,
    fired_percent: u16,
    /// Of what was used, that of other nodes.
    #[serde(default)]
    elsewhere: u64,
}

/// A balance as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceRecord {
    /// Which quota.
    pub key: QuotaKey,
    period: Period,
    base: u64,
    carried: u64,
    fired_percent: u16,
    /// Number of the piece and the totals of a rolling window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<(i64, Vec<u64>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Closed>,
    #[serde(default, skip_serializing_if = "Elsewhere::is_empty")]
    elsewhere: Elsewhere,
    #[serde(default)]
    reset_at: i64,
}

impl Balance {
    /// Opens a balance: what was counted before is not held against the quota.
    #[must_use]
    pub(super) fn open(
        key: QuotaKey,
        terms: &QuotaTerms,
        total: u64,
        now: i64,
        periods: &mut Periods,
    ) -> Self {
        let rolling = terms.rolling.then(|| Box::new(Rolling::new(key.span, now, total)));
        let period = rolling
            .as_ref()
            .map_or_else(|| terms.calendar.period_at(key.span, now), |window| window.period(key.span));
        let period = periods.share(period);
        Self {
            key,
            period,
            base: total,
            carried: 0,
            fired_percent: 0,
            rolling,
            previous: None,
            elsewhere: Elsewhere::default(),
            reset_at: 0,
        }
    }

    /// Which quota.
    #[must_use]
    pub const fn key(&self) -> QuotaKey {
        self.key
    }

    /// The period that is under way. Of a window, the piece that is.
    #[must_use]
    pub const fn period(&self) -> &Arc<Period> {
        &self.period
    }

    /// What was used in the period, on all nodes.
    #[must_use]
    pub fn used(&self, total: u64) -> u64 {
        self.own(total).saturating_add(self.elsewhere())
    }

    /// What was used in the period on this node.
    const fn own(&self, total: u64) -> u64 {
        total.saturating_sub(self.base)
    }

    /// What other nodes have used in the period, as far as they said.
    fn elsewhere(&self) -> u64 {
        // Windows of nodes end in pieces that need not be the same.
        let reach = if self.rolling.is_some() { self.key.span.nominal_seconds() } else { 1 };
        let from = self.period.starts.saturating_sub(reach);
        self.elsewhere.sum(|used| {
            used.starts > from && used.starts < self.period.ends && used.reset_at >= self.reset_at
        })
    }

    /// What this node says to others.
    #[must_use]
    pub fn node_use(&self, total: u64) -> NodeUse {
        NodeUse { starts: self.period.starts, reset_at: self.reset_at, used: self.own(total) }
    }

    /// Notes what another node said; true when that is news.
    pub fn note_elsewhere(&mut self, node: &str, used: NodeUse) -> bool {
        self.elsewhere.note(node, used, self.rolling.is_none())
    }

    /// What was carried over from the period before.
    #[must_use]
    pub const fn carried(&self) -> u64 {
        self.carried
    }

    /// The last period that ended.
    #[must_use]
    pub fn previous(&self) -> Option<&Closed> {
        self.previous.as_deref()
    }

    /// The total at which a part of a limit is used; `None` when it is used at `total`.
    pub(super) fn reached_at(&self, total: u64, limit: u64, percent: u16) -> Option<u64> {
        let part = percent_of(limit, percent);
        (self.used(total) < part).then(|| self.base.saturating_add(part.saturating_sub(self.elsewhere())))
    }

    /// The moments between which the balance need not be rolled: from the first, before the second.
    pub(super) fn valid(&self) -> (i64, i64) {
        (self.period.starts.saturating_sub(CLOCK_STEP_SECONDS), self.period.ends)
    }

    /// Whether a threshold was reported in this period; from now on it was.
    pub(super) fn note_fired(&mut self, percent: u16) -> bool {
        let first = percent > self.fired_percent;
        self.fired_percent = self.fired_percent.max(percent);
        first
    }

    /// Forgets what was used in the period. What was reported stays reported.
    pub fn reset(&mut self, total: u64, now: i64) {
        self.base = total;
        self.reset_at = now;
        if let Some(window) = &mut self.rolling {
            window.reset(total);
        }
    }

    /// Moves on to the period of `now`; true when anything changed. `limit` is the plan's for the period that ends.
    pub(super) fn roll(
        &mut self,
        terms: &QuotaTerms,
        limit: u64,
        grants: &mut [Grant],
        total: u64,
        now: i64,
        periods: &mut Periods,
    ) -> bool {
        if terms.rolling {
            return self.roll_window(total, now, periods);
        }
        let span = self.key.span;
        if self.rolling.take().is_some() {
            self.period = periods.share(terms.calendar.period_at(span, now));
            return true;
        }
        let (from, until) = self.valid();
        if now >= until {
            let following = terms.calendar.period_after(span, until);
            let next = if following.holds(now) { following } else { terms.calendar.period_at(span, now) };
            self.close(terms, limit, grants, total, next.starts == until);
            self.period = periods.share(next);
        } else if now < from {
            self.go_back(terms, now, periods, span);
        } else {
            return false;
        }
        true
    }

    fn close(&mut self, terms: &QuotaTerms, limit: u64, grants: &mut [Grant], total: u64, adjacent: bool) {
        let used = self.used(total);
        let own = limit.saturating_add(self.carried);
        use_up(grants, self.key, self.period.ends, used.saturating_sub(own));
        // Of periods in between, nothing was used.
        let unused = if adjacent { own.saturating_sub(used) } else { limit };
        let closed = Closed {
            period: Period::clone(&self.period),
            used,
            limit: own,
            carried: self.carried,
            fired_percent: self.fired_percent,
            elsewhere: self.elsewhere(),
        };
        self.elsewhere.forget_before(self.period.ends);
        self.previous = Some(Box::new(closed));
        self.carried = unused.min(percent_of(limit, u16::from(terms.carry_over_percent)));
        self.base = total;
        self.fired_percent = 0;
    }

    /// The clock was wrong, and was set back: the period before is under way again, with what was used since.
    fn go_back(&mut self, terms: &QuotaTerms, now: i64, periods: &mut Periods, span: Span) {
        match self.previous.take() {
            Some(previous) if previous.period.holds(now) => {
                self.base = self.base.saturating_sub(previous.used.saturating_sub(previous.elsewhere));
                self.carried = previous.carried;
                self.fired_percent = previous.fired_percent;
                self.period = periods.share(previous.period);
            }
            _ => {
                self.carried = 0;
                self.fired_percent = 0;
                self.period = periods.share(terms.calendar.period_at(span, now));
            }
        }
    }

    fn roll_window(&mut self, total: u64, now: i64, periods: &mut Periods) -> bool {
        let span = self.key.span;
        // What a calendar's period had counted stays for a whole window.
        let base = self.base;
        let window = self.rolling.get_or_insert_with(|| Box::new(Rolling::new(span, now, base)));
        window.roll(span, now, total);
        let period = window.period(span);
        if *self.period == period {
            return false;
        }
        if self.period.id != period.id {
            self.fired_percent = 0;
            self.carried = 0;
        }
        self.base = window.base();
        self.period = periods.share(period);
        true
    }

    /// The balance to be written down.
    #[must_use]
    pub fn record(&self) -> BalanceRecord {
        BalanceRecord {
            key: self.key,
            period: Period::clone(&self.period),
            base: self.base,
            carried: self.carried,
            fired_percent: self.fired_percent,
            window: self.rolling.as_ref().map(|window| {
                let (piece, marks) = window.marks();
                (piece, marks.to_vec())
            }),
            previous: self.previous.as_deref().cloned(),
            elsewhere: self.elsewhere.clone(),
            reset_at: self.reset_at,
        }
    }

    /// A balance as it was written down.
    #[must_use]
    pub fn restore(state: BalanceRecord, periods: &mut Periods) -> Self {
        let window = state.window.and_then(|(piece, marks)| Rolling::from_marks(piece, &marks));
        Self {
            key: state.key,
            period: periods.share(state.period),
            base: state.base,
            carried: state.carried,
            fired_percent: state.fired_percent,
            rolling: window.map(Box::new),
            previous: state.previous.map(Box::new),
            elsewhere: state.elsewhere,
            reset_at: state.reset_at,
        }
    }
}
