//! What is known of pools, for operators.

use super::check::{Overruled, consequence};
use super::memory::{Draining, Memory, Pin, Remembered};
use super::next::{Outlook, next};
use super::pool::PoolWatch;
use super::seen::{BackendSeen, Seen};
use super::word::millis;
use fleetgate_core::health::{BackendSignal, DatabaseVerdict, LoginVerdict, Moment};
use fleetgate_core::pool::{BackendPlace, RegionCheck};
use fleetgate_core::region::{Judge, NotReady, RegionIndex, RegionVerdict, Route};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A pool that is watched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolReport {
    /// Name.
    pub pool: String,
    /// `serve`, `fenced`, `unwritable`, `agreeing` or `isolated`.
    pub route: String,
    /// Region that requests go to, if they go anywhere.
    pub serving: Option<String>,
    /// Requests that wait for a region.
    #[serde(default)]
    pub held: u32,
    /// What it means and what to do, in a sentence.
    pub means: String,
    /// What would happen next.
    #[serde(default)]
    pub next: String,
    /// Checks that did not pass when requests moved to their regions.
    #[serde(default)]
    pub overruled: Vec<OverruledReport>,
    /// Region that an operator pinned.
    pub pin: Option<Pin>,
    /// Regions, in the order of the config.
    pub regions: Vec<RegionReport>,
    /// Seconds since two databases take writes.
    #[serde(default)]
    pub conflict_seconds: Option<u64>,
    /// Until when it does not move by itself.
    #[serde(default)]
    pub frozen_until: Option<jiff::Timestamp>,
    /// Moves of this process, oldest first.
    pub moves: Vec<MoveReport>,
    /// The other gateways, where several decide together.
    #[serde(default)]
    pub gateways: Vec<GatewayReport>,
}

/// Another gateway of `nodes`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name.
    pub gateway: String,
    /// Milliseconds since it was last heard; `None`: never.
    pub milliseconds_ago: Option<u64>,
    /// Why it is not heard now, in a word.
    pub state: String,
    /// What is wrong, and what to do.
    pub problem: Option<String>,
}

/// A check that did not pass when requests moved to its region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OverruledReport {
    /// Region.
    pub region: String,
    /// Seconds since the move.
    pub seconds_ago: u64,
    /// The check, what it said, and what users may meet.
    pub words: String,
}

/// Another gateway, as it was last heard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GatewayReport {
    /// Its name; empty where it is not known who is missing.
    pub node: String,
    /// Milliseconds since it said what follows; `None`: it was not heard.
    pub milliseconds_ago: Option<u64>,
    /// Region that it lets everybody use.
    pub grants: Option<String>,
    /// What is wrong, and what to do.
    #[serde(default)]
    pub problem: Option<String>,
}

/// A region of a pool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegionReport {
    /// Name.
    pub region: String,
    /// `serving`, `read-only`, `standby-ready`, `not-ready` or `down`.
    pub verdict: String,
    /// Why it is not ready.
    pub why: Option<String>,
    /// Its database.
    pub database: DatabaseReport,
    /// Whether users can log in.
    #[serde(default)]
    pub login: Option<LoginReport>,
    /// What else it needs to take over.
    #[serde(default)]
    pub checks: Vec<CheckReport>,
    /// Names that lead to backends.
    #[serde(default)]
    pub names: Vec<NameReport>,
    /// Its backends.
    pub backends: Vec<BackendReport>,
}

/// Whether users can log in at a region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginReport {
    /// `unknown`, `works`, `partly` or `fails`.
    pub verdict: String,
    /// What was said where it failed, or else where it works.
    pub saw: String,
    /// What it means, in a sentence.
    pub means: String,
}

/// A check of what a region needs to take over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckReport {
    /// Name.
    pub check: String,
    /// `passing`, `failing` or `unknown`.
    pub standing: String,
    /// Seconds since it last changed.
    pub since_seconds: u64,
    /// What it last said.
    pub saw: String,
    /// What users may meet if requests move here while it does not pass.
    pub consequence: String,
}

/// A name that leads to backends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NameReport {
    /// Name and HTTP port.
    pub name: String,
    /// Addresses that are used.
    pub addresses: Vec<String>,
    /// Why the last answer is not used, or not wholly.
    pub problem: Option<String>,
    /// When a process before this one learnt the addresses, while this one has got none.
    #[serde(default)]
    pub remembered: Option<jiff::Timestamp>,
}

/// The database of a region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabaseReport {
    /// `writable`, `standby`, `unreachable`, `diverged` or `unwatched`.
    pub verdict: String,
    /// What the probe last saw.
    pub saw: String,
    /// Seconds since it last changed.
    pub since_seconds: u64,
}

/// A backend.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackendReport {
    /// HTTP port.
    pub backend: String,
    /// `up`, `degraded`, `draining` or `down`.
    pub verdict: String,
    /// Why an operator takes it out.
    #[serde(default)]
    pub draining: Option<Draining>,
    /// Its signals.
    pub signals: Vec<SignalReport>,
}

/// A signal of a backend.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignalReport {
    /// `http`, `gevent`, `traffic`, `latency`, `agent` or `login`.
    pub signal: String,
    /// `passing`, `failing` or `unknown`.
    pub standing: String,
    /// Seconds since it last changed.
    pub since_seconds: u64,
    /// Failures that are not forgiven.
    pub failures: u8,
    /// What was last seen.
    pub saw: String,
}

/// A move to another region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MoveReport {
    /// Region that served.
    pub from: String,
    /// Region that serves.
    pub to: String,
    /// `promoted`, `backends` or `operator`.
    pub cause: String,
    /// Seconds ago.
    pub seconds_ago: u64,
}

/// Reads one pool.
pub(super) fn of(watch: &PoolWatch, memory: &Memory) -> PoolReport {
    let remembered = memory.of(&watch.pool.name);
    let (route, seen) = (watch.route(), watch.seen());
    read(watch, &Picture { judge: &seen.judge, seen: &seen, backends: &seen.backends, route }, &remembered)
}

/// Reads one pool as it would be in the moment after an operator held it in a region.
pub(super) fn if_pinned(watch: &PoolWatch, pin: Option<RegionIndex>, remembered: &Remembered) -> PoolReport {
    let (judge, route) = watch.outlook(pin);
    let seen = watch.seen();
    read(watch, &Picture { judge: &judge, seen: &seen, backends: &seen.backends, route }, remembered)
}

/// Reads one pool as it would be in the moment after an operator took a backend out, or back in.
pub(super) fn if_drained(
    watch: &PoolWatch,
    backend: &str,
    draining: bool,
    remembered: &Remembered,
) -> PoolReport {
    let (route, seen) = (watch.route(), watch.seen());
    let mut backends = seen.backends.clone();
    let states = watch.backends.iter().flatten().zip(backends.iter_mut().flatten());
    for (_, known) in states.filter(|(state, _)| state.http.address.to_string() == backend) {
        known.health.set_draining(draining);
    }
    read(watch, &Picture { judge: &seen.judge, seen: &seen, backends: &backends, route }, remembered)
}

/// What a report is made of.
struct Picture<'a> {
    judge: &'a Judge,
    seen: &'a Seen,
    backends: &'a [Vec<BackendSeen>],
    route: Route,
}

fn read(watch: &PoolWatch, picture: &Picture<'_>, remembered: &Remembered) -> PoolReport {
    let (now, Picture { judge, seen, route, .. }) = (watch.now(), picture);
    let name = |region: usize| {
        watch.pool.regions.get(region).map(|region| region.name.to_string()).unwrap_or_default()
    };
    let moves = judge.moves().iter().map(|done| MoveReport {
        from: name(done.from),
        to: name(done.to),
        cause: done.cause.as_str().to_owned(),
        seconds_ago: now.saturating_sub(done.at).as_secs(),
    });
    let serving = match *route {
        Route::Serve(region) | Route::Fenced(region) => Some(name(region)),
        Route::Unwritable | Route::Agreeing(_) | Route::Isolated => None,
    };
    PoolReport {
        pool: watch.pool.name.to_string(),
        route: route.as_str().to_owned(),
        held: watch.held(),
        means: match &remembered.pin {
            Some(pin) if *route == Route::Unwritable => format!(
                "it is held in {}, whose database takes no writes: requests are refused; `fleetgate regions unpin` lets it go",
                pin.region
            ),
            _ => means(watch, picture, serving.as_deref().unwrap_or_default()),
        },
        next: next(&Outlook { watch, judge, seen }, *route, remembered.pin.as_ref().map(|pin| &*pin.region)),
        overruled: seen.overruled.iter().map(|overruled| overruled_report(watch, overruled, now)).collect(),
        serving,
        pin: remembered.pin.clone(),
        regions: (0..watch.pool.regions.len())
            .filter_map(|place| region_report(watch, picture, place, &remembered.draining))
            .collect(),
        conflict_seconds: judge.conflict_since().map(|since| now.saturating_sub(since).as_secs()),
        frozen_until: watch.frozen_until(),
        moves: moves.collect(),
        gateways: gateways(watch, seen),
    }
}

fn region_report(
    watch: &PoolWatch,
    picture: &Picture<'_>,
    place: RegionIndex,
    draining: &BTreeMap<String, Draining>,
) -> Option<RegionReport> {
    let (now, Picture { judge, seen, backends, .. }) = (watch.now(), picture);
    let region = watch.pool.regions.get(place)?;
    let verdict = judge.verdict(place);
    let why = if let Some(RegionVerdict::NotReady(why)) = verdict { Some(why) } else { None };
    let state = judge.regions().get(place);
    let backends = backends.get(place).map_or(&[][..], Vec::as_slice);
    let states = watch.backends.get(place).map_or(&[][..], Vec::as_slice);
    Some(RegionReport {
        region: region.name.to_string(),
        verdict: verdict.map_or("", RegionVerdict::as_str).to_owned(),
        why: why.map(|why| reason(watch, seen, place, why)),
        login: login_report(watch, seen, place, verdict),
        checks: checks_of(seen, place, &region.checks, now),
        database: DatabaseReport {
            verdict: judge.database(place).as_str().to_owned(),
            saw: seen.databases.get(place).map(|seen| seen.words.clone()).unwrap_or_default(),
            since_seconds: state.map_or(0, |state| now.saturating_sub(state.database.since()).as_secs()),
        },
        names: names_of(watch, &region.backends),
        backends: states
            .iter()
            .zip(backends)
            .map(|(backend, seen)| backend_report(backend.http.address.to_string(), seen, now, draining))
            .collect(),
    })
}

/// Each of the others, heard or not.
fn gateways(watch: &PoolWatch, seen: &Seen) -> Vec<GatewayReport> {
    let (now, company) = (watch.now(), &seen.company);
    let why = |node: &str| {
        let absent = company.absent.iter().find(|absent| *absent.node == *node);
        absent.map(|absent| absent.why.clone())
    };
    let heard = company.others.iter().map(|other| GatewayReport {
        node: other.node.to_string(),
        milliseconds_ago: Some(millis(now.saturating_sub(other.heard.at))),
        grants: other
            .heard
            .grants
            .and_then(|region| watch.pool.regions.get(region))
            .map(|region| region.name.to_string()),
        problem: why(&other.node),
    });
    let unheard =
        company.absent.iter().filter(|absent| !company.others.iter().any(|other| other.node == absent.node));
    let unheard = unheard.map(|absent| GatewayReport {
        node: absent.node.to_string(),
        milliseconds_ago: None,
        grants: None,
        problem: Some(absent.why.clone()),
    });
    heard.chain(unheard).collect()
}

fn names_of(watch: &PoolWatch, places: &[BackendPlace]) -> Vec<NameReport> {
    let named = places.iter().filter_map(|place| Some((place, place.name()?)));
    let report = named.map(|(place, name)| {
        let facts = watch.addresses.facts(name);
        NameReport {
            name: place.to_string(),
            addresses: facts.addresses.iter().map(ToString::to_string).collect(),
            problem: facts.problem,
            remembered: facts.remembered,
        }
    });
    report.collect()
}

/// Why a region is not ready.
fn reason(watch: &PoolWatch, seen: &Seen, region: RegionIndex, why: NotReady) -> String {
    if why != NotReady::Check {
        return why.as_str().to_owned();
    }
    let lacking = watch.lacking(seen, region).into_iter();
    let words: Vec<String> = lacking.map(|(name, said)| format!("`{name}`: {said}")).collect();
    format!("{}: {}", why.as_str(), words.join("; "))
}

fn overruled_report(watch: &PoolWatch, overruled: &Overruled, now: Moment) -> OverruledReport {
    OverruledReport {
        region: watch.region_name(overruled.region).to_owned(),
        seconds_ago: now.saturating_sub(overruled.at).as_secs(),
        words: overruled.words.clone(),
    }
}

fn login_report(
    watch: &PoolWatch,
    seen: &Seen,
    region: RegionIndex,
    verdict: Option<RegionVerdict>,
) -> Option<LoginReport> {
    let _asked = watch.pool.login.as_ref()?;
    let login = seen.logins(region);
    let dead = matches!(verdict, Some(RegionVerdict::NotReady(NotReady::Backends)));
    let means = match login {
        LoginVerdict::Unknown if !seen.judge.expects_logins(region) => {
            "nobody is expected to log in where the database takes no writes"
        }
        LoginVerdict::Unknown => "nobody has logged in yet",
        LoginVerdict::Works => "users can work at each backend",
        LoginVerdict::Partly => "it works at others: where it fails, the backend is asked last",
        LoginVerdict::Fails if dead => {
            "no backend of this region can use a database that those of another region can: look at the way from here to PostgreSQL"
        }
        LoginVerdict::Fails => {
            "it fails at every backend, so it is the database or the user, and no backend is taken out"
        }
    };
    Some(LoginReport {
        verdict: login.as_str().to_owned(),
        saw: seen.login_words(region),
        means: means.to_owned(),
    })
}

fn checks_of(seen: &Seen, region: RegionIndex, checks: &[RegionCheck], now: Moment) -> Vec<CheckReport> {
    let known = seen.checks.get(region).map_or(&[][..], Vec::as_slice);
    let report = checks.iter().zip(known).map(|(check, seen)| CheckReport {
        check: check.name.to_string(),
        standing: seen.health.standing().as_str().to_owned(),
        since_seconds: now.saturating_sub(seen.health.since()).as_secs(),
        saw: seen.words.clone(),
        consequence: consequence(&check.name),
    });
    report.collect()
}

fn means(watch: &PoolWatch, Picture { judge, seen, route, .. }: &Picture<'_>, serving: &str) -> String {
    let databases = judge.database_verdicts();
    let company = watch.company(seen).unwrap_or_default();
    match route {
        Route::Serve(_) if databases.iter().all(|verdict| *verdict == DatabaseVerdict::Unwatched) => {
            format!("requests go to {serving}; its database is not watched, so it is trusted to take writes")
        }
        Route::Serve(_) => format!("requests go to {serving}, whose database takes writes"),
        Route::Fenced(_) if judge.unseen_rival().is_some() => format!(
            "the database of {serving} lets nobody look and may take writes, and another one does: {serving} shows pages, and writes are refused until the probe is let in, or `fleetgate regions pin` decides"
        ),
        Route::Fenced(_) => format!(
            "two databases take writes: {serving} shows pages, and writes are refused until one of them is a standby, or `fleetgate regions pin` decides"
        ),
        Route::Unwritable => {
            "no database takes writes: requests are refused until the primary is back or a standby is promoted; then the pool follows by itself".to_owned()
        }
        Route::Agreeing(_) => {
            format!("too few gateways let the region be used yet: requests are refused; {company}")
        }
        Route::Isolated => {
            format!("this gateway hears no majority of the others: requests are refused; {company}")
        }
    }
}

fn backend_report(
    backend: String,
    seen: &BackendSeen,
    now: Moment,
    draining: &BTreeMap<String, Draining>,
) -> BackendReport {
    let signals = BackendSignal::ALL.iter().zip(&seen.words).filter_map(|(signal, saw)| {
        let damped = seen.health.signal(*signal);
        let _read = damped.last()?;
        Some(SignalReport {
            signal: signal.as_str().to_owned(),
            standing: damped.standing().as_str().to_owned(),
            since_seconds: now.saturating_sub(damped.since()).as_secs(),
            failures: damped.counts().0,
            saw: saw.clone(),
        })
    });
    BackendReport {
        verdict: seen.health.verdict().as_str().to_owned(),
        draining: draining.get(&backend).cloned(),
        backend,
        signals: signals.collect(),
    }
}
