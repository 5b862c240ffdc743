//! Plans, what tenants change about them, and the limits that come of it.

use super::file::{
    Burst, ClassLimitEntry, ClassLimitsEntry, Count, LimitsEntry, Named, PLANS_MAX, PerSecond, RateEntry,
};
use super::problem::Spot;
use super::quotas::QuotaChanges;
use super::read::{At, Lenient, Reader, Step};
use crate::limit::{ClassLimits, Limits, LimitsIndex, Rate};
use crate::traffic::TrafficClass;
use core::num::NonZeroU16;
use rustc_hash::FxHashMap;

/// Limits that are written in one place; the others are left as they are.
#[derive(Debug, Clone, Default)]
pub(super) struct LimitChanges {
    /// Where they are written.
    at: Spot,
    requests: RateChange,
    bytes: RateChange,
    concurrent_requests: Option<u32>,
    worker_weight: Option<NonZeroU16>,
    websockets: Option<u32>,
    /// By the place of the class.
    classes: [ClassChange; CLASSES],
    client: RateChange,
    session: RateChange,
    api_key: RateChange,
    login_attempts: Option<u32>,
    login_failures: Option<u32>,
    mails: Option<u32>,
    quotas: QuotaChanges,
}

const CLASSES: usize = TrafficClass::ALL.len();
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

/// A rate as written: units a second, and the burst with its place.
#[derive(Debug, Clone, Copy, Default)]
struct RateChange {
    units: Option<u64>,
    burst: Option<(Spot, u64)>,
}

impl RateChange {
    fn requests(units: Option<PerSecond>, burst: Option<Burst>) -> Self {
        let burst = burst.map(|burst| (burst.at, u64::from(burst.value.0)));
        Self { units: units.map(|units| u64::from(units.0)), burst }
    }

    fn of(written: Option<RateEntry>) -> Self {
        written.map(|rate| Self::requests(Some(rate.requests_per_second), rate.burst)).unwrap_or_default()
    }

    fn over(self, base: Self) -> Self {
        Self { units: self.units.or(base.units), burst: self.burst.or(base.burst) }
    }

    /// The rate. `names` are the keys of the burst and of the units.
    fn settle(self, names: [&'static str; 2]) -> Result<Option<Rate>, Contradiction> {
        match (self.units, self.burst) {
            (Some(units), burst) => Ok(Rate::new(units, 1, burst.map_or(units, |(_, burst)| burst))),
            (None, Some((at, _))) => {
                let [burst, units] = names;
                let message = format!("there is a `{burst}` and no `{units}` that it could be over");
                let hint = format!("write `{units}:`, or remove `{burst}`");
                Err(Contradiction { at, key: burst, message, hint })
            }
            (None, None) => Ok(None),
        }
    }
}

/// Limits of a class as written.
#[derive(Debug, Clone, Copy, Default)]
struct ClassChange {
    at: Spot,
    requests: RateChange,
    concurrent_requests: Option<u32>,
}

impl ClassChange {
    fn of(written: Option<At<ClassLimitEntry>>) -> Self {
        let Some(At { at, value: ClassLimitEntry { requests_per_second, burst, concurrent_requests } }) =
            written
        else {
            return Self::default();
        };
        let requests = RateChange::requests(requests_per_second, burst);
        Self { at, requests, concurrent_requests: concurrent_requests.map(|count| count.0) }
    }

    fn over(self, base: Self) -> Self {
        Self {
            at: if self.at == Spot::default() { base.at } else { self.at },
            requests: self.requests.over(base.requests),
            concurrent_requests: self.concurrent_requests.or(base.concurrent_requests),
        }
    }

    /// The limits of the class, if they can be reached at all.
    fn settle(self, tenant: &LimitChanges) -> Result<ClassLimits, Contradiction> {
        let beyond = |key: &str, class: u64, tenant: u64| Contradiction {
            at: self.at,
            key: "classes",
            message: format!("{class} of `{key}` for a class can never be reached: the tenant has {tenant}"),
            hint: format!("write less than `{key}` of the tenant, or remove it here"),
        };
        let names = ["burst", "requests_per_second"];
        if let (Some(class), Some(tenant)) = (self.requests.units, tenant.requests.units)
            && class > tenant
        {
            return Err(beyond("requests_per_second", class, tenant));
        }
        if let (Some(class), Some(tenant)) = (self.concurrent_requests, tenant.concurrent_requests)
            && class > tenant
        {
            return Err(beyond("concurrent_requests", class.into(), tenant.into()));
        }
        let requests = self.requests.settle(names)?;
        Ok(ClassLimits { requests, concurrent_requests: self.concurrent_requests })
    }
}

fn class_changes(written: Option<ClassLimitsEntry>) -> [ClassChange; CLASSES] {
    let Some(written) = written else { return Default::default() };
    let ClassLimitsEntry { page, rpc, r#static, report, websocket, longpolling, integration } = written;
    // In the order of `TrafficClass::ALL`.
    [page, rpc, r#static, report, websocket, longpolling, integration].map(ClassChange::of)
}

/// Limits that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contradiction {
    pub(super) at: Spot,
    /// The key at fault.
    pub(super) key: &'static str,
    pub(super) message: String,
    pub(super) hint: String,
}

impl LimitChanges {
    /// What was written, without the layout of the file.
    pub(super) fn of(at: Spot, written: LimitsEntry) -> Self {
        let number = |count: Option<Count<1, 1_000_000>>| count.map(|count| count.0);
        let (attempts, failures) = written
            .logins
            .map(|logins| (logins.attempts_per_minute, logins.failures_per_minute))
            .unwrap_or_default();
        Self {
            at,
            requests: RateChange::requests(written.requests_per_second, written.burst),
            bytes: RateChange {
                units: written.bytes_per_second.map(|size| size.0),
                burst: written.burst_bytes.map(|size| (size.at, size.value.0)),
            },
            concurrent_requests: number(written.concurrent_requests),
            worker_weight: written
                .worker_weight
                .and_then(|weight| weight.0.try_into().ok())
                .and_then(NonZeroU16::new),
            websockets: number(written.websockets),
            classes: class_changes(written.classes),
            client: RateChange::of(written.client),
            session: RateChange::of(written.session),
            api_key: RateChange::of(written.api_key),
            login_attempts: attempts.map(|count| count.0),
            login_failures: failures.map(|count| count.0),
            mails: number(written.mails_per_hour),
            quotas: written.quotas.map(QuotaChanges::of).unwrap_or_default(),
        }
    }

    /// These changes on top of others.
    fn over(&self, base: &Self) -> Self {
        let mut classes = base.classes;
        for (class, own) in classes.iter_mut().zip(&self.classes) {
            *class = own.over(*class);
        }
        Self {
            at: self.at,
            requests: self.requests.over(base.requests),
            bytes: self.bytes.over(base.bytes),
            concurrent_requests: self.concurrent_requests.or(base.concurrent_requests),
            worker_weight: self.worker_weight.or(base.worker_weight),
            websockets: self.websockets.or(base.websockets),
            classes,
            client: self.client.over(base.client),
            session: self.session.over(base.session),
            api_key: self.api_key.over(base.api_key),
            login_attempts: self.login_attempts.or(base.login_attempts),
            login_failures: self.login_failures.or(base.login_failures),
            mails: self.mails.or(base.mails),
            quotas: self.quotas.over(&base.quotas),
        }
    }

    /// The limits, if they go together.
    fn settle(&self, plan: Option<&str>) -> Result<Limits, Contradiction> {
        if self.quotas.slows() && self.requests.units.is_none() {
            return Err(Contradiction {
                at: self.at,
                key: "quotas",
                message: "a threshold says `slow`, and there is no rate that it could lower".into(),
                hint: "write `requests_per_second:`, or let the threshold `warn`, `shed` or `stop`".into(),
            });
        }
        let requests = ["burst", "requests_per_second"];
        let mut classes = [ClassLimits::default(); CLASSES];
        for (class, change) in classes.iter_mut().zip(&self.classes) {
            *class = change.settle(self)?;
        }
        let per = |units: Option<u32>, seconds| {
            units.and_then(|units| Rate::new(u64::from(units), seconds, u64::from(units)))
        };
        Ok(Limits {
            plan: plan.map(Into::into),
            requests: self.requests.settle(requests)?,
            bytes: self.bytes.settle(["burst_bytes", "bytes_per_second"])?,
            concurrent_requests: self.concurrent_requests,
            worker_weight: self.worker_weight,
            websockets: self.websockets,
            classes: (classes != [ClassLimits::default(); CLASSES]).then(|| Box::new(classes)),
            client: self.client.settle(requests)?,
            session: self.session.settle(requests)?,
            api_key: self.api_key.settle(requests)?,
            login_attempts: per(self.login_attempts, MINUTE),
            login_failures: per(self.login_failures, MINUTE),
            mails: per(self.mails, HOUR),
            quotas: self.quotas.settle(),
        })
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
                            reader.error(found.at, found.message, Some(found.hint));
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
