//! Periods as people count them: by the clock on the wall of the tenant.

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span as Distance, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Span {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight: 23 or 25 hours when clocks change.
    Day,
    /// From the anchor day to the next.
    Month,
}

impl Span {
    /// Every length.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// How long it usually is, in seconds; a month has 30 days here.
    #[must_use]
    pub const fn nominal_seconds(self) -> i64 {
        match self {
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Month => 2_592_000,
        }
    }

    /// Name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// A time from one moment to another, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Same for the same period on every node, and never reused: `2026-11@Europe/Paris#d1`.
    pub id: Box<str>,
    /// First second.
    pub starts: i64,
    /// First second after it.
    pub ends: i64,
}

impl Period {
    /// Whether a moment is in it.
    #[must_use]
    pub const fn holds(&self, at: i64) -> bool {
        self.starts <= at && at < self.ends
    }
}

/// Where a tenant's periods begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    zone: TimeZone,
    name: Arc<str>,
    anchor_day: i8,
}

impl core::hash::Hash for Calendar {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        // A zone is what its name says.
        (&self.name, self.anchor_day).hash(state);
    }
}

impl Default for Calendar {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, name: "UTC".into(), anchor_day: 1 }
    }
}

impl Calendar {
    /// A calendar of an IANA time zone, such as `Europe/Paris`, whose months begin on a day from 1 to 31; in a month
    /// that is too short, on its last. `None` when there is no such zone.
    ///
    /// Zones come from the database inside of the program, so that all nodes agree whatever their systems have.
    #[must_use]
    pub fn new(zone: &str, anchor_day: u8) -> Option<Self> {
        let found = TimeZoneDatabase::bundled().get(zone).ok()?;
        let name = found.iana_name().unwrap_or("UTC").into();
        Some(Self { zone: found, name, anchor_day: i8::try_from(anchor_day).ok()?.clamp(1, 31) })
    }

    /// Name of the time zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.name
    }

    /// Day of the month on which months begin.
    #[must_use]
    pub const fn anchor_day(&self) -> i8 {
        self.anchor_day
    }

    /// The period that a moment is in.
    #[must_use]
    pub fn period_at(&self, span: Span, at: i64) -> Period {
        // Only beyond the year 9999, where no calendar is.
        self.civil_period(span, at).unwrap_or_else(|| equal_blocks(span, at))
    }

    /// The period that begins where another of the same length ends.
    ///
    /// When the zone or the anchor changed meanwhile, the calendar has no boundary there. The period then lasts to the
    /// next boundary that is at least half a length away, so that a change is no second quota for a few hours.
    #[must_use]
    pub fn period_after(&self, span: Span, end: i64) -> Period {
        let found = self.period_at(span, end);
        if found.starts == end || found.ends.saturating_sub(end) >= span.nominal_seconds() / 2 {
            return Period { starts: end, ..found };
        }
        Period { starts: end, ..self.period_at(span, found.ends) }
    }

    fn civil_period(&self, span: Span, at: i64) -> Option<Period> {
        let local = Timestamp::from_second(at).ok()?.to_zoned(self.zone.clone());
        match span {
            Span::Hour => {
                let offset = i64::from(local.offset().seconds());
                let into_the_hour = at.checked_add(offset)?.rem_euclid(3_600);
                let starts = at.checked_sub(into_the_hour)?;
                let first = Timestamp::from_second(starts).ok()?.to_zoned(self.zone.clone());
                // With the offset: in autumn there are two hours of one name.
                let id = format!("{}@{}", first.strftime("%Y-%m-%dT%H%:z"), self.name);
                Some(Period { id: id.into(), starts, ends: starts.checked_add(3_600)? })
            }
            Span::Day => {
                let today = local.date();
                let id = format!("{today}@{}", self.name);
                let (starts, ends) = (self.midnight(today)?, self.midnight(today.tomorrow().ok()?)?);
                Some(Period { id: id.into(), starts, ends })
            }
            Span::Month => {
                let today = local.date();
                let this_month = self.anchor_in(today.first_of_month());
                let month = if this_month <= today {
                    today.first_of_month()
                } else {
                    today.first_of_month().checked_sub(Distance::new().months(1)).ok()?
                };
                let next = month.checked_add(Distance::new().months(1)).ok()?;
                let id = format!("{}@{}#d{}", month.strftime("%Y-%m"), self.name, self.anchor_day);
                let starts = self.midnight(self.anchor_in(month))?;
                Some(Period { id: id.into(), starts, ends: self.midnight(self.anchor_in(next))? })
            }
        }
    }

    /// The anchor day of a month, given its first day.
    fn anchor_in(&self, first: Date) -> Date {
        let day = self.anchor_day.min(first.days_in_month());
        first.with().day(day).build().unwrap_or(first)
    }

    /// When a day begins. Where clocks go forward at midnight, that is later.
    fn midnight(&self, day: Date) -> Option<i64> {
        Some(day.to_zoned(self.zone.clone()).ok()?.timestamp().as_second())
    }
}

fn equal_blocks(span: Span, at: i64) -> Period {
    let length = span.nominal_seconds();
    let starts = at.saturating_sub(at.rem_euclid(length));
    let id = format!("{starts}/{length}");
    Period { id: id.into(), starts, ends: starts.saturating_add(length) }
}

/// Periods that tenants share: a fleet has few of them at a time, and each tenant names one a quota.
#[derive(Debug, Default)]
pub struct Periods(Vec<Arc<Period>>);

/// Periods that are kept for sharing.
const PERIODS_MAX: usize = 256;

impl Periods {
    /// The same period, shared.
    #[must_use]
    pub fn share(&mut self, period: Period) -> Arc<Period> {
        if let Some(known) = self.0.iter().rev().find(|known| ***known == period) {
            return Arc::clone(known);
        }
        if self.0.len() >= PERIODS_MAX {
            self.0.retain(|known| Arc::strong_count(known) > 1);
        }
        if self.0.len() >= PERIODS_MAX {
            self.0.clear();
        }
        let shared = Arc::new(period);
        self.0.push(Arc::clone(&shared));
        shared
    }
}
