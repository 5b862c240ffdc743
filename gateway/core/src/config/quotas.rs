//! What plans and tenants write about quotas, and the terms that come of it.

use super::file::QuotasEntry;
use crate::quota::{Calendar, Quota, QuotaKey, QuotaTerms, Stage, Threshold};
use std::sync::Arc;

/// Percent of the rates that is left of a tenant that is slowed down.
const SLOWED_PERCENT: u8 = 25;

/// What happens as a quota is used up, unless something else is written.
const THRESHOLDS: [(u16, Stage); 5] = [
    (50, Stage::Warned),
    (80, Stage::Warned),
    (90, Stage::Warned),
    (100, Stage::Shed),
    (120, Stage::Stopped),
];

/// Quotas that are written in one place; the others are left as they are.
#[derive(Debug, Clone, Default)]
pub(super) struct QuotaChanges {
    quotas: Vec<Quota>,
    zone: Option<Box<str>>,
    anchor_day: Option<u8>,
    rolling: Option<bool>,
    thresholds: Option<Vec<Threshold>>,
    carry_over_percent: Option<u8>,
    slowed_percent: Option<u8>,
}

impl QuotaChanges {
    /// What was written, without the layout of the file.
    pub(super) fn of(written: QuotasEntry) -> Self {
        let limits = limits(&written);
        let quotas = QuotaKey::ALL.into_iter().zip(limits).filter_map(|(key, limit)| {
            Some(Quota { key, limit: limit?.saturating_mul(key.meter.counted_per_unit()) })
        });
        let thresholds = written.thresholds.map(|list| {
            let mut thresholds: Vec<Threshold> = list
                .0
                .into_iter()
                .map(|entry| Threshold {
                    percent: entry.percent.0,
                    stage: entry.then.0,
                    only: entry.only.map(|only| only.0),
                })
                .collect();
            thresholds.sort_by_key(|threshold| threshold.percent);
            thresholds
        });
        let small = |percent: u16| u8::try_from(percent).unwrap_or(u8::MAX);
        Self {
            quotas: quotas.collect(),
            zone: written.time_zone.map(|zone| zone.0),
            anchor_day: written.month_starts_on.map(|day| small(day.0)),
            rolling: written.rolling,
            thresholds,
            carry_over_percent: written.carry_over_percent.map(|percent| small(percent.0)),
            slowed_percent: written.slow_to_percent.map(|percent| small(percent.0)),
        }
    }

    /// These changes on top of others.
    pub(super) fn over(&self, base: &Self) -> Self {
        let mut quotas = self.quotas.clone();
        let has = |quota: &&Quota| self.quotas.iter().all(|own| own.key != quota.key);
        quotas.extend(base.quotas.iter().filter(has));
        quotas.sort_by_key(|quota| quota.key);
        Self {
            quotas,
            zone: self.zone.clone().or_else(|| base.zone.clone()),
            anchor_day: self.anchor_day.or(base.anchor_day),
            rolling: self.rolling.or(base.rolling),
            thresholds: self.thresholds.clone().or_else(|| base.thresholds.clone()),
            carry_over_percent: self.carry_over_percent.or(base.carry_over_percent),
            slowed_percent: self.slowed_percent.or(base.slowed_percent),
        }
    }

    /// Whether a threshold lowers the tenant's rate.
    pub(super) fn slows(&self) -> bool {
        let slows = |threshold: &Threshold| threshold.stage == Stage::Slowed;
        self.thresholds.as_ref().is_some_and(|thresholds| thresholds.iter().any(slows))
    }

    /// The terms; `None` without a quota.
    pub(super) fn settle(&self) -> Option<Arc<QuotaTerms>> {
        if self.quotas.is_empty() {
            return None;
        }
        let usual = || THRESHOLDS.map(|(percent, stage)| Threshold { percent, stage, only: None }).to_vec();
        // The zone was found when the file was read.
        let calendar = Calendar::new(self.zone.as_deref().unwrap_or("UTC"), self.anchor_day.unwrap_or(1));
        Some(Arc::new(QuotaTerms {
            quotas: self.quotas.clone(),
            thresholds: self.thresholds.clone().unwrap_or_else(usual),
            calendar: calendar.unwrap_or_default(),
            rolling: self.rolling.unwrap_or(false),
            carry_over_percent: self.carry_over_percent.unwrap_or(0),
            slowed_percent: self.slowed_percent.unwrap_or(SLOWED_PERCENT),
        }))
    }
}

/// The limits in the order of [`QuotaKey::ALL`].
fn limits(written: &QuotasEntry) -> [Option<u64>; 12] {
    let count = |count: &Option<super::file::QuotaCount>| count.as_ref().map(|count| u64::from(count.0));
    [
        written.requests_per_hour.map(|amount| amount.0),
        written.requests_per_day.map(|amount| amount.0),
        written.requests_per_month.map(|amount| amount.0),
        written.egress_per_hour.map(|size| size.0),
        written.egress_per_day.map(|size| size.0),
        written.egress_per_month.map(|size| size.0),
        count(&written.worker_seconds_per_hour),
        count(&written.worker_seconds_per_day),
        count(&written.worker_seconds_per_month),
        count(&written.websocket_minutes_per_hour),
        count(&written.websocket_minutes_per_day),
        count(&written.websocket_minutes_per_month),
    ]
}
