//! Asking Patroni which member of a region takes writes.
//!
//! Source: Patroni 3.0.2, `patroni/api.py`: `GET /patroni` is always answered with what the member knows of itself,
//! `GET /primary` with 200 by the member that has the leader's lock, and by nobody else.

use super::database::Statement;
use super::http::{NoAnswer, get_target};
use crate::snapshot::BackendTlsClient;
use fleetgate_core::health::{DatabaseReading, Instance, Replication, Role};
use fleetgate_core::host::HostName;
use fleetgate_core::http_target::HttpTarget;
use fleetgate_core::pool::{BackendTls, PostgresTls};
use futures_util::future::join_all;
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Lag of a standby that does not say how far it is behind.
const UNKNOWN_LAG_MS: u64 = 86_400_000;

/// Asks the members of a region.
pub(super) struct PatroniProbe {
    members: Vec<Member>,
    /// The one that last took writes.
    leader: Mutex<Option<usize>>,
    patience: Duration,
}

struct Member {
    target: HttpTarget,
    /// `Err`: no certificate can hold the host.
    tls: Option<Result<BackendTlsClient, String>>,
}

/// What a member is, and what it says of replication.
type Answer = (DatabaseReading, Replication);

/// What a member says of itself.
#[derive(Debug, Deserialize)]
struct Said {
    role: String,
    #[serde(default)]
    timeline: Option<u32>,
    #[serde(default)]
    database_system_identifier: Option<String>,
    #[serde(default)]
    postmaster_start_time: Option<String>,
    /// Since Patroni 3.2.
    #[serde(default)]
    replication_state: Option<String>,
    #[serde(default)]
    xlog: Xlog,
}

#[derive(Debug, Default, Deserialize)]
struct Xlog {
    #[serde(default)]
    received_location: Option<u64>,
    #[serde(default)]
    replayed_location: Option<u64>,
    #[serde(default)]
    replayed_timestamp: Option<String>,
}

impl PatroniProbe {
    pub(super) fn new(members: &[HttpTarget], tls: Option<&PostgresTls>, patience: Duration) -> Self {
        let client = |target: &HttpTarget| {
            let tls = tls.filter(|_| target.tls)?;
            let name = HostName::parse(&target.host).map_err(|error| error.to_string());
            Some(name.map(|server_name| {
                let PostgresTls { authorities, client } = tls.clone();
                BackendTlsClient::new(&BackendTls { server_name, authorities, client })
            }))
        };
        let members = members.iter().map(|target| Member { target: target.clone(), tls: client(target) });
        Self { members: members.collect(), leader: Mutex::default(), patience }
    }

    /// Asks all members at once. The one that takes writes speaks for the region, else the standby that is least behind.
    pub(super) async fn ask(&self) -> Statement {
        let asked = self.members.iter().map(|member| async {
            let answer = timeout(self.patience, member.ask()).await;
            answer.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.patience).into()))
        });
        let answers = join_all(asked).await;
        let (mut silence, mut untrusted) = (Vec::new(), false);
        let mut best: Option<(usize, &Answer)> = None;
        for (place, (member, answer)) in self.members.iter().zip(&answers).enumerate() {
            match answer {
                Ok(answer) if best.is_none_or(|(_, best)| lag_ms(answer.0) < lag_ms(best.0)) => {
                    best = Some((place, answer));
                }
                Ok(_) => {}
                Err(why) => {
                    untrusted |= matches!(why, NoAnswer::Untrusted(_));
                    let HttpTarget { host, port, .. } = &member.target;
                    silence.push(format!("{host}:{port}: {}", why.words()));
                }
            }
        }
        // Others follow one that is silent for a moment: this is silence, and nobody's promotion.
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        let leader_is_silent = leader.is_some_and(|place| answers.get(place).is_some_and(Result::is_err));
        match best {
            Some((place, (seen, replication))) if seen.role == Role::Writable => {
                *leader = Some(place);
                Statement::Seen(*seen, replication.clone())
            }
            Some((_, (seen, replication))) if !leader_is_silent => {
                *leader = None;
                Statement::Seen(*seen, replication.clone())
            }
            // Whether one that is not believed takes writes is not known.
            Some(_) | None if untrusted => Statement::Refused(silence.join("; ")),
            Some(_) | None => Statement::Silent(silence.join("; ")),
        }
    }
}

impl Member {
    async fn ask(&self) -> Result<Answer, NoAnswer> {
        let (_, body) = self.get("patroni").await?;
        let said: Said = serde_json::from_slice(&body)
            .map_err(|error| format!("its answer is none of Patroni: {error}"))?;
        let leads = is_primary(&said.role);
        if leads && self.get("primary").await?.0 != 200 {
            return Err("it runs a primary without the leader's lock".to_owned().into());
        }
        let state = said.replication_state.as_ref().filter(|_| !leads);
        let receives = state.map(|state| state == "streaming");
        let replication = Replication { receives, ..Replication::default() };
        Ok((reading(&said, leads, jiff::Timestamp::now())?, replication))
    }

    async fn get(&self, what: &str) -> Result<(u16, hyper::body::Bytes), NoAnswer> {
        let tls = match &self.tls {
            None => None,
            Some(Ok(tls)) => Some(tls),
            Some(Err(error)) => return Err(error.clone().into()),
        };
        let path = self.target.path.trim_end_matches('/');
        get_target(&self.target, &format!("{path}/{what}"), tls).await
    }
}

/// `master` until Patroni 4.
fn is_primary(role: &str) -> bool {
    matches!(role, "master" | "primary")
}

fn reading(said: &Said, leads: bool, now: jiff::Timestamp) -> Result<DatabaseReading, String> {
    let missing = |what: &str| format!("it does not say its {what} yet");
    let system = said.database_system_identifier.as_ref().and_then(|system| system.parse().ok());
    let started = said.postmaster_start_time.as_ref().ok_or_else(|| missing("start time"))?;
    let server = fleetgate_core::backend::stable_hash(started.as_bytes());
    let instance = Instance { system: system.ok_or_else(|| missing("system identifier"))?, server };
    let timeline = said.timeline.ok_or_else(|| missing("timeline"))?;
    let role = if leads { Role::Writable } else { Role::Standby { lag_ms: behind_ms(&said.xlog, now) } };
    Ok(DatabaseReading { instance, timeline, role })
}

/// A standby that has replayed all it received is not behind, however old the last transaction is.
fn behind_ms(xlog: &Xlog, now: jiff::Timestamp) -> u64 {
    if xlog.received_location.is_some() && xlog.received_location == xlog.replayed_location {
        return 0;
    }
    let replayed = xlog.replayed_timestamp.as_ref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let behind = replayed.and_then(|replayed| u64::try_from(now.duration_since(replayed).as_millis()).ok());
    behind.unwrap_or(UNKNOWN_LAG_MS)
}

/// How far a member is behind; one that takes writes is ahead of all.
fn lag_ms(seen: DatabaseReading) -> Option<u64> {
    match seen.role {
        Role::Writable => None,
        Role::Standby { lag_ms } => Some(lag_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDBY: &str = r#"{"state": "running", "postmaster_start_time": "2026-11-25 20:00:00.123456+00:00",
        "role": "replica", "server_version": 150014, "timeline": 3, "database_system_identifier": "7412",
        "xlog": {"received_location": 100, "replayed_location": 90,
        "replayed_timestamp": "2026-11-25 20:59:58.5+00:00", "paused": false}, "dcs_last_seen": 1, "patroni": {}}"#;

    fn read(text: &str, leads: bool) -> Result<DatabaseReading, String> {
        reading(&serde_json::from_str(text).unwrap(), leads, "2026-11-25T21:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_member_is_read_as_it_describes_itself() {
        let seen = read(STANDBY, false).unwrap();
        assert_eq!((seen.instance.system, seen.timeline), (7412, 3));
        assert_eq!(seen.role, Role::Standby { lag_ms: 1_500 });
        let caught_up = read(&STANDBY.replace("90", "100"), false).unwrap();
        assert_eq!(caught_up.role, Role::Standby { lag_ms: 0 });
        assert_eq!(read(&STANDBY.replace("replica", "master"), true).unwrap().role, Role::Writable);
        for incomplete in ["\"timeline\": 3, ", "\"database_system_identifier\": \"7412\","] {
            assert!(read(&STANDBY.replace(incomplete, ""), false).is_err(), "{incomplete}");
        }
    }
}
