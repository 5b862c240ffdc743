//! How the servers of a pool are watched, checked.

use super::file::{
    AgentEntry, CheckEntry, DatabaseHealthEntry, HealthEntry, Lasting, LatencyHealthEntry, LoginEntry,
    PortHealthEntry, TrafficHealthEntry, Url, Whole,
};
use super::problem::Spot;
use super::read::{At, Reader, Step};
use crate::health::{Cadence, Damping};
use crate::pool::{Agent, AgentQuestion, CheckQuestion, HealthProbes, LoginProbe, RegionCheck};
use core::time::Duration;

/// Where gateways decide together, what one saw of a database counts for 3 s: it is asked more often than that.
const SHARED_INTERVAL_MAX: Duration = Duration::from_secs(2);

/// How servers are watched.
pub(super) struct Watched {
    /// `None`: not at all.
    pub(super) probes: Option<HealthProbes>,
    /// Who else is asked.
    pub(super) agent: Option<Agent>,
    /// Who logs in.
    pub(super) login: Option<LoginProbe>,
}

/// Checks how servers are watched. `together`: several gateways decide about the pool.
pub(super) fn check(written: HealthEntry, together: bool, reader: &mut Reader<'_>) -> Watched {
    reader.inside(Step::Key("health"), |reader| {
        let all = Cadence {
            interval: written.interval.0,
            fast_interval: fast(written.fast_interval.as_ref(), written.interval.0, None, reader),
            timeout: written.timeout.0,
            damping: damping_of_all(&written),
        };
        // What is left out for all is half of each signal's own interval.
        let inherited = written.fast_interval.as_ref().map(|written| written.value.0);
        let probes = HealthProbes {
            http: reader.inside(Step::Key("http"), |reader| port(&written.http, &all, inherited, reader)),
            gevent: reader
                .inside(Step::Key("gevent"), |reader| port(&written.gevent, &all, inherited, reader)),
            database: reader.inside(Step::Key("database"), |reader| {
                database(&written.database, &all, inherited, together, reader)
            }),
            traffic: traffic(&written.traffic, &all),
            latency: latency(&written.latency, &all),
            slow_start: written.slow_start.0,
            warm_up: written.warm_up.0,
        };
        let agent = written.agent.and_then(|written| {
            reader.inside(Step::Key("agent"), |reader| agent(written, all.damping, reader))
        });
        let login = written.login.map(|written| login(written, all.damping));
        Watched { probes: written.enabled.then_some(probes), agent, login }
    })
}

/// How many answers change one's mind, where nothing else is written.
pub(super) fn damping_of_all(written: &HealthEntry) -> Damping {
    damping(Some(&written.fall), Some(&written.rise), Damping { fall: 1, rise: 1 })
}

fn port(
    written: &PortHealthEntry,
    all: &Cadence,
    inherited: Option<Duration>,
    reader: &mut Reader<'_>,
) -> Cadence {
    let interval = written.interval.map_or(all.interval, |interval| interval.0);
    Cadence {
        interval,
        fast_interval: fast(written.fast_interval.as_ref(), interval, inherited, reader),
        timeout: written.timeout.map_or(all.timeout, |timeout| timeout.0),
        damping: damping(written.fall.as_ref(), written.rise.as_ref(), all.damping),
    }
}

fn database(
    written: &DatabaseHealthEntry,
    all: &Cadence,
    inherited: Option<Duration>,
    together: bool,
    reader: &mut Reader<'_>,
) -> Cadence {
    let interval = written.interval.as_ref().map_or(all.interval, |interval| interval.value.0);
    if let Some(own) = written.interval.as_ref().filter(|_| together && interval > SHARED_INTERVAL_MAX) {
        let message = "gateways that decide together forget within three seconds what a database said";
        reader.inside(Step::Key("interval"), |reader| {
            reader.error(own.at, message.into(), Some("write `2s` or less, or leave it out".into()));
        });
    }
    Cadence {
        interval: if together { interval.min(SHARED_INTERVAL_MAX) } else { interval },
        fast_interval: fast(written.fast_interval.as_ref(), interval, inherited, reader),
        timeout: written.timeout.map_or(all.timeout, |timeout| timeout.0),
        damping: damping(written.fall.as_ref(), None, all.damping),
    }
}

fn traffic(written: &TrafficHealthEntry, all: &Cadence) -> Cadence {
    let interval = written.interval.map_or(all.interval, |interval| interval.0);
    let damping = damping(written.fall.as_ref(), written.rise.as_ref(), all.damping);
    Cadence { interval, fast_interval: interval, damping, ..*all }
}

fn latency(written: &LatencyHealthEntry, all: &Cadence) -> Cadence {
    let interval = written.interval.0;
    let damping = damping(written.fall.as_ref(), written.rise.as_ref(), all.damping);
    Cadence { interval, fast_interval: interval, damping, ..*all }
}

/// `None` after a problem was reported.
fn agent(At { at, value }: At<AgentEntry>, all: Damping, reader: &mut Reader<'_>) -> Option<Agent> {
    let cadence = Cadence {
        interval: value.interval.0,
        fast_interval: fast(value.fast_interval.as_ref(), value.interval.0, None, reader),
        timeout: value.timeout.0,
        damping: damping(value.fall.as_ref(), value.rise.as_ref(), all),
    };
    let question = match (value.port, value.command) {
        (Some(port), None) => AgentQuestion::Http { port: port.0, path: value.path.0 },
        (None, Some(command)) => AgentQuestion::Command(command.0.into_iter().map(|word| word.0).collect()),
        _ => {
            let message = "an agent has either a `port` or a `command`".into();
            reader.error(at, message, Some("write one of the two".into()));
            return None;
        }
    };
    Some(Agent { question, cadence })
}

fn login(written: LoginEntry, damping: Damping) -> LoginProbe {
    let LoginEntry { database, user, password, write, interval, timeout } = written;
    LoginProbe {
        database: database.0,
        user: user.0,
        password: password.0,
        write,
        cadence: steady(interval.0, timeout.0, damping),
    }
}

/// Of what is asked seldom: half the time after a failure.
fn steady(interval: Duration, timeout: Duration, damping: Damping) -> Cadence {
    Cadence { interval, fast_interval: interval / 2, timeout, damping }
}

/// The checks of a region.
pub(super) fn check_region(
    written: Vec<(Spot, Box<str>, Option<At<CheckEntry>>)>,
    damping: Damping,
    reader: &mut Reader<'_>,
) -> Box<[RegionCheck]> {
    let mut checks = Vec::with_capacity(written.len());
    for (_, name, entry) in written {
        let Some(At { at, value }) = entry else { continue };
        let question = match (value.url, value.command) {
            (Some(Url(target)), None) if !target.tls => Ok(CheckQuestion::Http(target)),
            (None, Some(command)) => {
                Ok(CheckQuestion::Command(command.0.into_iter().map(|word| word.0).collect()))
            }
            (Some(_), None) => {
                Err(("a check is not asked over TLS", "write `http://`, or a `command` such as `curl`"))
            }
            _ => Err(("a check has either a `url` or a `command`", "write one of the two")),
        };
        match question {
            Ok(question) => {
                let cadence = steady(value.interval.0, value.timeout.0, damping);
                checks.push(RegionCheck { name, question, cadence });
            }
            Err((message, hint)) => reader.inside(Step::Name(name), |reader| {
                reader.error(at, message.into(), Some(hint.into()));
            }),
        }
    }
    checks.into()
}

/// How soon a signal that may be about to fail is asked again: never later than else.
fn fast<const MAX_MS: u64>(
    written: Option<&At<Lasting<100, MAX_MS>>>,
    interval: Duration,
    inherited: Option<Duration>,
    reader: &mut Reader<'_>,
) -> Duration {
    let Some(written) = written else { return inherited.unwrap_or(interval / 2).min(interval) };
    if written.value.0 > interval {
        reader.inside(Step::Key("fast_interval"), |reader| {
            let message = "it is longer than the interval".into();
            reader.error(written.at, message, Some(format!("write {interval:?} or less, or leave it out")));
        });
    }
    written.value.0
}

fn damping(fall: Option<&Whole<1, 100>>, rise: Option<&Whole<1, 100>>, all: Damping) -> Damping {
    let count = |written: Option<&Whole<1, 100>>, all: u8| {
        written.map_or(all, |Whole(number)| u8::try_from(*number).unwrap_or(u8::MAX))
    };
    Damping { fall: count(fall, all.fall), rise: count(rise, all.rise) }
}
