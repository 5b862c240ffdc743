//! The limits of a tenant: what it costs to charge a request to all of them.

use crate::Failure;
use crate::admission::fleet;
use crate::fleet::Dice;
use crate::machine::use_measured_core;
use crate::report::{Figure, Unit, median};
use fleetgate::limits::{PlaceFor, PlaceLease, moment};
use fleetgate::snapshot::{Snapshot, TenantAccount};
use fleetgate_core::config::Fleet;
use fleetgate_core::limit::{Limits, LimitsIndex, Moment, Rate};
use fleetgate_core::traffic::TrafficClass;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// Requests a pass.
const REQUESTS: u32 = 100_000;
/// Passes; the median counts.
const PASSES: usize = 15;
/// Requests at once of a tenant.
const CONCURRENT: u32 = 100;

/// Over random accounts of tables of two sizes, on one thread and on two at once.
pub(crate) async fn charging() -> Result<Vec<Figure>, Failure> {
    let small = Snapshot::build(limited(10_000)?, "figures", None);
    let large = Snapshot::build(limited(100_000)?, "figures", None);
    let figure = |name, value| Figure { name, value, unit: Unit::Nanoseconds };
    Ok(vec![
        figure("limit_check_ns_10k", charges(&small, 1, None)?),
        figure("limit_check_ns_100k", charges(&large, 1, None)?),
        figure("limit_check_ns_100k_2_threads", on_two_threads(&large)?),
    ])
}

/// A fleet whose tenants all have a plan with rates of requests and bytes, and requests at once.
fn limited(tenants: u32) -> Result<Fleet, Failure> {
    let rate = |units, burst| Rate::new(units, 1, burst).ok_or("a rate that cannot be counted");
    let plan = Limits {
        plan: Some("standard".into()),
        requests: Some(rate(1_000, 100_000)?),
        bytes: Some(rate(10_000_000, 100_000_000)?),
        concurrent_requests: Some(CONCURRENT),
        ..Limits::default()
    };
    // The first limits are those of every tenant of the table.
    Ok(Fleet { limits: vec![plan], ..fleet(tenants)? })
}

/// The slower of two threads, each on a core of its own if there are several.
fn on_two_threads(snapshot: &Snapshot) -> Result<f64, Failure> {
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            use_measured_core()?;
            charges(snapshot, 2, Some(&start))
        });
        let own = charges(snapshot, 1, Some(&start));
        let other = other.join().map_err(|_| "a thread that charges broke off")?;
        Ok(own?.max(other?))
    })
}

/// Nanoseconds of CPU for one request.
fn charges(snapshot: &Snapshot, series: u64, start: Option<&Barrier>) -> Result<f64, Failure> {
    let asked = random_accounts(snapshot, series);
    let served = asked.and_then(|asked| {
        let served = pass(snapshot, &asked);
        if served == REQUESTS { Ok(asked) } else { Err(format!("{served} of {REQUESTS} had room").into()) }
    });
    // Reached in any case: the other thread waits here too.
    if let Some(start) = start {
        start.wait();
    }
    let asked = served?;
    let mut times = Vec::with_capacity(PASSES);
    for _ in 0..PASSES {
        let started = clock_gettime(ClockId::ThreadCPUTime);
        black_box(pass(black_box(snapshot), black_box(&asked)));
        let taken = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime) - started)?;
        times.push(taken.as_secs_f64() * 1e9 / f64::from(REQUESTS));
    }
    Ok(median(times).ok_or("no pass was measured")?)
}

fn random_accounts(snapshot: &Snapshot, series: u64) -> Result<Vec<Arc<TenantAccount>>, Failure> {
    let entries: Vec<_> = snapshot.fleet.tenants.iter().map(|(index, _)| index).collect();
    let (mut dice, end) = (Dice::new(series), u32::try_from(entries.len())?);
    let account = |_| {
        let entry = usize::try_from(dice.below(end)).ok().and_then(|at| entries.get(at));
        entry.and_then(|entry| snapshot.entry_account(*entry)).map(Arc::clone)
    };
    (0..REQUESTS).map(account).collect::<Option<_>>().ok_or_else(|| "an entry without an account".into())
}

/// Charges as the proxy does: a place for the time of the request, then the rates. How many had room.
fn pass(snapshot: &Snapshot, asked: &[Arc<TenantAccount>]) -> u32 {
    let now: Moment = moment(Instant::now());
    let mut served = 0;
    for account in asked {
        let limits = Limits::at(&snapshot.fleet.limits, LimitsIndex::default());
        let max = limits.concurrent_requests.unwrap_or(u32::MAX);
        let place = black_box(PlaceLease::take(account, PlaceFor::Request, max));
        let charged = account.used().charge_request(
            snapshot.accounts().shares(),
            limits,
            TrafficClass::Page,
            now,
            false,
            None,
        );
        if place.is_some() && black_box(charged).is_ok() {
            served += 1;
        }
    }
    served
}
