//! How a pool's servers are watched, and how it moves between regions, as written.

use super::collection::{Choice, List, OneOf};
use super::quotas::Url;
use super::value::{Lasting, SecretText, Sentence, Whole, schema_of, text_schema};
use crate::config::Secret;
use crate::config::read::{At, Read, Reader, Text, section};
use crate::config::yaml::Node;
use crate::region::FailoverMode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

section! {
    /// How servers are watched.
    pub(in crate::config) struct HealthEntry {
        /// Asks Odoo and PostgreSQL whether they are well. Turned off, only what requests meet says anything.
        enabled: bool = true,
        /// From one question to the next at most: each pause is 5 to 15 % shorter, by chance.
        interval: Lasting<200, 60_000> = "1s",
        /// The same after a failure that is not forgiven, until it is, or the server is down. Left out, half of `interval`.
        fast_interval: Option<At<Lasting<100, 60_000>>> = null,
        /// For an answer. Less than two seconds takes one lost packet for a dead server.
        timeout: Lasting<100, 60_000> = "2500ms",
        /// Failures until a server is down. They need not be in a row.
        fall: Whole<1, 100> = 3,
        /// Good answers in a row until failures are forgiven.
        rise: Whole<1, 100> = 2,
        /// What differs for Odoo's HTTP port.
        http: PortHealthEntry = {},
        /// What differs for Odoo's gevent port.
        gevent: PortHealthEntry = {},
        /// What differs for the database.
        database: DatabaseHealthEntry = {},
        /// What differs for what requests of clients meet.
        traffic: TrafficHealthEntry = {},
        /// How late answers begin, beside those of other servers of the region.
        latency: LatencyHealthEntry = {},
        /// From a server's return until it takes its whole share: its processes load a registry for each tenant.
        slow_start: Lasting<0, 3_600_000> = "30s",
        /// For how long at most a server that came back is asked for the login page of each of its tenants, one after the
        /// other, those with the most requests first, before it is asked like the others: its processes have loaded no
        /// registry. Each page is asked for as often at once as the server has `workers`, 32 times at most. Only where another
        /// server of the region serves meanwhile. `0s` turns it off.
        warm_up: Lasting<0, 600_000> = "30s",
        /// Who else is asked about each backend, such as an agent that knows of its disk or its maintenance. Whoever says
        /// no as often as `fall` takes the backend down.
        agent: Option<At<AgentEntry>> = null,
        /// A user of Odoo that logs in at each backend and works there as a program does: Odoo's health route knows nothing of
        /// a database that it cannot use. A backend where that fails, while it works at another one on the same database
        /// server, is down. Where it fails at all of them, it is the database: that is told, and takes nobody down.
        login: Option<LoginEntry> = null,
    }
}

section! {
    /// A user of Odoo that logs in to see whether it works. Nobody logs in where the database takes no writes.
    pub(in crate::config) struct LoginEntry {
        /// Database of the user: every worker of every backend loads it.
        database: Sentence<63>,
        /// Login of the user. It needs no rights: one of the portal will do.
        user: Sentence<200>,
        /// Its password or an API key: `file:` and the path of a file that holds it.
        password: SecretText,
        /// Writes the user's own email signature too: finds a database that can be read and not written.
        write: bool = false,
        /// From one login to the next at most, and half of it after a failure that is not forgiven.
        interval: Lasting<200, 3_600_000> = "15s",
        /// For all answers of one login. A process that has not loaded the database yet needs seconds.
        timeout: Lasting<100, 60_000> = "10s",
    }
}

section! {
    /// Something that a region needs to take over: a `command`, or a `url`.
    pub(in crate::config) struct CheckEntry {
        /// Program and arguments that the gateway runs, as its own user and without a shell: exit status 0 says that it is
        /// well. Its environment is `PATH`, `FLEETGATE_POOL`, `FLEETGATE_REGION` (the one that is checked) and
        /// `FLEETGATE_SERVING` (the one that serves). When its time is over, it is killed with all that it has started.
        command: Option<List<Sentence<1_000>, 1, 32>> = null,
        /// URL that is asked, with `http://`: 200 to 299 says that it is well.
        url: Option<Url> = null,
        /// From one question to the next at most, and half of it after a failure that is not forgiven.
        interval: Lasting<200, 3_600_000> = "30s",
        /// For an answer.
        timeout: Lasting<100, 60_000> = "10s",
    }
}

section! {
    /// How a port of Odoo is asked. What is left out is as `health` has it for all.
    pub(in crate::config) struct PortHealthEntry {
        /// From one question to the next at most.
        interval: Option<Lasting<200, 60_000>> = null,
        /// The same after a failure that is not forgiven.
        fast_interval: Option<At<Lasting<100, 60_000>>> = null,
        /// For an answer.
        timeout: Option<Lasting<100, 60_000>> = null,
        /// Failures until the port fails.
        fall: Option<Whole<1, 100>> = null,
        /// Good answers in a row until failures are forgiven.
        rise: Option<Whole<1, 100>> = null,
    }
}

section! {
    /// How the database is asked, itself or Patroni. What it says of itself is believed at once. What is left out is as
    /// `health` has it for all.
    pub(in crate::config) struct DatabaseHealthEntry {
        /// From one question to the next at most. With `failover.quorum`, 2 s at most.
        interval: Option<At<Lasting<200, 60_000>>> = null,
        /// The same after a question that was not answered.
        fast_interval: Option<At<Lasting<100, 60_000>>> = null,
        /// For an answer.
        timeout: Option<Lasting<100, 60_000>> = null,
        /// Questions without an answer until it is unreachable.
        fall: Option<Whole<1, 100>> = null,
    }
}

section! {
    /// How requests of clients are read. What is left out is as `health` has it for all.
    pub(in crate::config) struct TrafficHealthEntry {
        /// Requests of so long are looked at together.
        interval: Option<Lasting<200, 60_000>> = null,
        /// Bad looks until others are asked first.
        fall: Option<Whole<1, 100>> = null,
        /// Good looks in a row until bad ones are forgiven.
        rise: Option<Whole<1, 100>> = null,
    }
}

section! {
    /// How a server is found out whose answers begin far later than those of its equals. `fall` and `rise` are as `health` has
    /// them for all where they are left out.
    pub(in crate::config) struct LatencyHealthEntry {
        /// Answers of so long are looked at together.
        interval: Lasting<1_000, 600_000> = "10s",
        /// Slow looks until others are asked first.
        fall: Option<Whole<1, 100>> = null,
        /// Looks in a row that are not slow until slow ones are forgiven.
        rise: Option<Whole<1, 100>> = null,
    }
}

section! {
    /// Who is asked about a backend beside Odoo: a `port` beside Odoo, or a `command`.
    pub(in crate::config) struct AgentEntry {
        /// Port at the address of each backend that answers over plain HTTP: 200 to 299 says that the backend is well.
        port: Option<Whole<1, 65_535>> = null,
        /// What is asked there.
        path: AgentPath = "/",
        /// Program and arguments that the gateway runs, as its own user and without a shell: exit status 0 says that the
        /// backend is well. Its environment is `PATH`, `FLEETGATE_POOL`, `FLEETGATE_REGION`, `FLEETGATE_BACKEND` and
        /// `FLEETGATE_WEBSOCKET` (addresses). When its time is over, it is killed with all that it has started.
        command: Option<List<Sentence<1_000>, 1, 32>> = null,
        /// From one question to the next at most.
        interval: Lasting<200, 3_600_000> = "5s",
        /// The same after a failure that is not forgiven. Left out, half of `interval`.
        fast_interval: Option<At<Lasting<100, 3_600_000>>> = null,
        /// For an answer.
        timeout: Lasting<100, 60_000> = "2500ms",
        /// Times that it says no, or nothing, until the backend is down. Left out, as `health` has it for all.
        fall: Option<Whole<1, 100>> = null,
        /// Times in a row that it says yes until that is forgiven. Left out, as `health` has it for all.
        rise: Option<Whole<1, 100>> = null,
    }
}

text_schema! { AgentPath; }

/// What an agent is asked.
#[derive(Debug)]
pub(in crate::config) struct AgentPath(pub(in crate::config) Box<str>);

impl Text for AgentPath {
    fn expected() -> Cow<'static, str> {
        "a path, and a query if there is one, such as `/ready`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains('#') {
            true if text.starts_with('/') => Ok(Self(text.into())),
            true => Err("it does not start with `/`".into()),
            false => Err("it holds a character that no path has".into()),
        }
    }
}

section! {
    /// How a pool moves between regions. A database that was promoted is followed whatever stands here, and one that was
    /// not is never served.
    pub(in crate::config) struct FailoverEntry {
        /// Who leaves a region whose servers are all down while its database is well: `manual` is a person, `automatic`
        /// the gateway, for a region with servers on the same database.
        mode: At<OneOf<FailoverMode>> = "manual",
        /// How many gateways decide together, over `nodes`, or else over the Redis of `redis`: a region is served while more
        /// than half of them let it be, so a gateway that is cut off from the others serves nobody, and what only one of them
        /// sees moves nothing. Left out, each gateway decides for itself.
        quorum: Option<At<Whole<3, 63>>> = null,
        /// Least time between two automatic moves.
        hold_down: Lasting<0, 86_400_000> = "10m",
        /// Automatic moves in 24 hours at most.
        moves_per_day_max: Whole<1, 20> = 3,
        /// Times in which the pool does not move by itself (`mode: automatic`), such as those of a sale. Promotions are
        /// followed as ever.
        freeze: List<At<FreezeEntry>, 0, FREEZES_MAX> = [],
        /// Furthest that a standby may be behind to be called ready.
        lag_max: Lasting<0, 86_400_000> = "30s",
        /// For how long after no database takes writes any more requests wait for one that does, instead of being
        /// refused: a switch from one region to another then costs time and no errors. At most 1,000 requests of a pool
        /// wait, with their bodies in the spool. Counted from the end of service, so whoever comes later in an outage is
        /// refused at once. `0s` holds nothing. Gateways that decide together need longer, because each leaves a lease of 5 s
        /// between two regions.
        #[schemars(extend("x-default" = "`5s`, and `15s` with `quorum`"))]
        hold: Option<At<Lasting<0, 60_000>>> = null,
    }
}

/// Most freezes of a pool.
const FREEZES_MAX: usize = 100;

section! {
    /// A time in which nothing moves by itself.
    pub(in crate::config) struct FreezeEntry {
        /// Its first moment.
        from: Moment,
        /// The first moment after it.
        until: Moment,
    }
}

text_schema! { Moment; }

/// A moment in time.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Moment(pub(in crate::config) jiff::Timestamp);

impl Text for Moment {
    fn expected() -> Cow<'static, str> {
        "a time of RFC 3339, such as `2026-11-27T00:00:00+01:00`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "it is no such time".into())
    }
}

impl Choice for FailoverMode {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("manual", Self::Manual), ("automatic", Self::Automatic)];
}

/// Where the PostgreSQL server of a region is, and who asks it.
#[derive(Debug)]
pub(in crate::config) struct PostgresUrl(pub(in crate::config) Secret);

impl Read for PostgresUrl {
    fn expected() -> Cow<'static, str> {
        "`postgres://user:password@host:port/database`, or `file:` and the path of a file that holds it"
            .into()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let SecretText(url) = SecretText::read(node, reader)?;
        if let Err(reason) = judge(url.reveal()) {
            let hint = format!("expected {}", Self::expected());
            reader.error(node.at, format!("this is no address of a PostgreSQL server: {reason}"), Some(hint));
            return None;
        }
        Some(Self(url))
    }
}

fn judge(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let rest = rest.ok_or("it does not start with `postgres://`")?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (user, server) = authority.rsplit_once('@').ok_or("it names no user")?;
    if user.is_empty() || user.starts_with(':') {
        return Err("it names no user");
    }
    let after_bracket = server.rsplit_once(']').map_or(server, |(_, after)| after);
    let host_length = after_bracket
        .rfind(':')
        .map_or(server.len(), |colon| server.len().saturating_sub(after_bracket.len().saturating_sub(colon)));
    if host_length == 0 {
        return Err("it names no host");
    }
    match after_bracket.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().map_or(true, |port| port == 0) => {
            Err("the port is not a number from 1 to 65535")
        }
        _ => Ok(()),
    }
}

impl JsonSchema for PostgresUrl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PostgresUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema_of::<Self>(json_schema!({ "type": "string", "minLength": 1 }))
    }
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn an_address_of_postgresql_names_a_user_and_a_host() {
        for good in [
            "postgres://probe@10.0.0.21/postgres",
            "postgresql://probe:secret@db.example.com:5432",
            "postgres://probe@[fd00::1]:5432/postgres?sslmode=require",
            "postgres://probe@[fd00::1]",
        ] {
            assert_eq!(judge(good), Ok(()), "{good}");
        }
        for bad in [
            "10.0.0.21",
            "mysql://probe@10.0.0.21",
            "postgres://10.0.0.21/postgres",
            "postgres://@10.0.0.21",
            "postgres://probe@:5432",
            "postgres://probe@/postgres",
            "postgres://probe@10.0.0.21:0",
            "postgres://probe@10.0.0.21:port",
        ] {
            assert!(judge(bad).is_err(), "{bad}");
        }
    }
}
