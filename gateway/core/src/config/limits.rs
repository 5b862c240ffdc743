//! Plans, what tenants change about them, and the limits that come of it.

use super::file::{LimitsEntry, Named, PLANS_MAX};
use super::problem::Spot;
use super::read::{Lenient, Reader, Step};
use crate::limit::{Limits, LimitsIndex, Rate};
use rustc_hash::FxHashMap;

/// Limits that are written in one place; the others are left as they are.
#[derive(Debug, Clone, Default)]
pub(super) struct LimitChanges {
    /// Where they are written.
    at: Spot,
    requests_per_second: Option<u32>,
    burst: Option<(Spot, u32)>,
    concurrent_requests: Option<u32>,
    websockets: Option<u32>,
}

/// Limits that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contradiction {
    pub(super) at: Spot,
    /// The key at fault.
    pub(super) key: &'static str,
    pub(super) message: String,
    pub(super) hint: &'static str,
}

impl LimitChanges {
    /// What was written, without the layout of the file.
    pub(super) fn of(at: Spot, written: LimitsEntry) -> Self {
        let LimitsEntry { requests_per_second, burst, concurrent_requests, websockets } = written;
        Self {
            at,
            requests_per_second: requests_per_second.map(|count| count.0),
            burst: burst.map(|burst| (burst.at, burst.value.0)),
            concurrent_requests: concurrent_requests.map(|count| count.0),
            websockets: websockets.map(|count| count.0),
        }
    }

    /// These changes on top of others.
    fn over(&self, base: &Self) -> Self {
        Self {
            at: self.at,
            requests_per_second: self.requests_per_second.or(base.requests_per_second),
            burst: self.burst.or(base.burst),
            concurrent_requests: self.concurrent_requests.or(base.concurrent_requests),
            websockets: self.websockets.or(base.websockets),
        }
    }

    /// The limits, if they go together.
    fn settle(&self, plan: Option<&str>) -> Result<Limits, Contradiction> {
        Ok(Limits {
            plan: plan.map(Into::into),
            requests: self.rate()?,
            concurrent_requests: self.concurrent_requests,
            websockets: self.websockets,
        })
    }

    fn rate(&self) -> Result<Option<Rate>, Contradiction> {
        match (self.requests_per_second, self.burst) {
            (Some(units), burst) => {
                let burst = burst.map_or(units, |(_, burst)| burst);
                Ok(Rate::new(u64::from(units), 1, u64::from(burst)))
            }
            (None, Some((at, _))) => Err(Contradiction {
                at,
                key: "burst",
                message: "there is a `burst` and no `requests_per_second` that it could be over".into(),
                hint: "write `requests_per_second:`, or remove `burst`",
            }),
            (None, None) => Ok(None),
        }
    }
}

/// Plans by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Plans {
    /// Whether `named` is all there is to know: the main file could be read that far.
    known: bool,
    /// `None`: the plan has a problem of its own.
    named: Vec<(Box<str>, Option<LimitChanges>)>,
}

impl Plans {
    /// Checks each plan by itself.
    pub(super) fn check(
        written: Option<Lenient<Named<LimitsEntry, PLANS_MAX>>>,
        reader: &mut Reader<'_>,
    ) -> Self {
        let written = match written {
            Some(Lenient(None)) => return Self::default(),
            Some(Lenient(Some(named))) => named.0,
            None => Vec::new(),
        };
        let named = written.into_iter().map(|(at, name, entry)| {
            let changes = entry.map(|entry| LimitChanges::of(at, entry)).filter(|changes| {
                let Err(found) = changes.settle(Some(&name)) else { return true };
                reader.inside(Step::Key("plans"), |reader| {
                    reader.inside(Step::Name(name.clone()), |reader| {
                        reader.inside(Step::Key(found.key), |reader| {
                            reader.error(found.at, found.message, Some(found.hint.into()));
                        });
                    });
                });
                false
            });
            (name, changes)
        });
        Self { known: true, named: named.collect() }
    }

    /// The plan of a name.
    pub(super) fn get(&self, name: &str) -> PlanChoice<'_> {
        match self.named.iter().find(|(known, _)| **known == *name) {
            Some((name, Some(plan))) => PlanChoice::Found(name, plan),
            None if self.known => PlanChoice::Unknown,
            Some((_, None)) | None => PlanChoice::Broken,
        }
    }

    /// Every name that is written.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.named.iter().map(|(name, _)| &**name)
    }
}

/// What a plan's name leads to.
pub(super) enum PlanChoice<'p> {
    Found(&'p str, &'p LimitChanges),
    /// The plan has a problem of its own, which was reported where it is.
    Broken,
    Unknown,
}

/// Limits of a fleet under construction: equal ones have one place.
pub(super) struct LimitSets {
    all: Vec<Limits>,
    places: FxHashMap<Limits, LimitsIndex>,
}

impl LimitSets {
    pub(super) fn new() -> Self {
        let none = Limits::default();
        let places = FxHashMap::from_iter([(none.clone(), LimitsIndex::default())]);
        Self { all: vec![none], places }
    }

    /// The limits of a tenant: those of its plan, with its own changes.
    pub(super) fn of_tenant(
        &mut self,
        plan: Option<(&str, &LimitChanges)>,
        changes: Option<&LimitChanges>,
    ) -> Result<LimitsIndex, Contradiction> {
        let name = plan.map(|(name, _)| name);
        let limits = match (plan.map(|(_, plan)| plan), changes) {
            (None, None) => return Ok(LimitsIndex::default()),
            (Some(plan), None) => plan.settle(name)?,
            (None, Some(changes)) => changes.settle(name)?,
            (Some(plan), Some(changes)) => {
                changes.over(plan).settle(name).map_err(|found| Contradiction { at: changes.at, ..found })?
            }
        };
        Ok(self.place(limits))
    }

    /// Every set, by its place.
    pub(super) fn finish(self) -> Vec<Limits> {
        self.all
    }

    fn place(&mut self, limits: Limits) -> LimitsIndex {
        if let Some(known) = self.places.get(&limits) {
            return *known;
        }
        // There are far fewer tenants than places.
        let index = LimitsIndex(u32::try_from(self.all.len()).unwrap_or_default());
        self.all.push(limits.clone());
        self.places.insert(limits, index);
        index
    }
}
