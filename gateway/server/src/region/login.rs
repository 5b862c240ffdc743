//! Logging in at backends as a user of Odoo, to see whether it works: what Odoo says of its own health is said without the
//! database.

use super::asking::Turns;
use super::event::{Subject, VerdictEvent};
use super::http::post;
use super::odoo::Seen as Said;
use super::pool::PoolWatch;
use super::seen::{Seen, count_backends};
use crate::snapshot::BackendTlsClient;
use fleetgate_core::health::{BackendSignal, BackendVerdict, Doubt, LoginVerdict, Moment, Reading};
use fleetgate_core::odoo::headers::DBFILTER;
use fleetgate_core::odoo::login::{
    LoginFailure, PATH, filter, read, read_says, who, who_says, write, write_says,
};
use fleetgate_core::pool::LoginProbe;
use fleetgate_core::region::RegionIndex;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::timeout;

/// A login at one backend.
struct Login {
    /// Id of the user, once it is known: asking for it again would have Odoo note it again.
    user: Option<u64>,
    /// What leads Odoo to the database, where it has to be led.
    filter: Option<String>,
}

/// Why a login failed.
enum Failure {
    Broken(String),
    Told(LoginFailure),
}

impl From<String> for Failure {
    fn from(words: String) -> Self {
        Self::Broken(words)
    }
}

impl From<LoginFailure> for Failure {
    fn from(failure: LoginFailure) -> Self {
        Self::Told(failure)
    }
}

impl Login {
    /// Logs in once.
    async fn ask(&mut self, probe: &LoginProbe, address: SocketAddr, tls: Option<&BackendTlsClient>) -> Said {
        let patience = probe.cadence.timeout;
        match timeout(patience, self.work(probe, address, tls)).await {
            Ok(Ok(())) if probe.write => (Reading::Pass, "the user reads and writes".to_owned()),
            Ok(Ok(())) => (Reading::Pass, "the user reads".to_owned()),
            Ok(Err(Failure::Broken(words))) => (Reading::Fail, words),
            Ok(Err(Failure::Told(failure))) => {
                if failure.may_be_another_user() {
                    self.user = None;
                }
                (Reading::Fail, failure.to_string())
            }
            Err(_) => (Reading::Fail, format!("no answer within {patience:?}")),
        }
    }

    async fn work(
        &mut self,
        probe: &LoginProbe,
        address: SocketAddr,
        tls: Option<&BackendTlsClient>,
    ) -> Result<(), Failure> {
        let filter = self.filter.clone();
        let fields: Vec<_> = filter.iter().map(|filter| (DBFILTER, &**filter)).collect();
        let call = async |body| post(address, PATH, body, &fields, tls).await;
        let user = if let Some(user) = self.user {
            user
        } else {
            let (status, body) = call(who(probe)).await?;
            *self.user.insert(who_says(probe, status, &body)?)
        };
        let (status, body) = call(read(probe, user)).await?;
        read_says(probe, user, status, &body)?;
        if probe.write {
            let text = format!("Fleetgate, {}", jiff::Timestamp::now());
            let (status, body) = call(write(probe, user, &text)).await?;
            write_says(probe, status, &body)?;
        }
        Ok(())
    }
}

/// Logs in at a backend again and again, while its region's database takes writes.
pub(super) async fn ask_login(watch: Arc<PoolWatch>, region: RegionIndex, place: usize, probe: LoginProbe) {
    let Some(backend) = watch.backends.get(region).and_then(|region| region.get(place)).cloned() else {
        return;
    };
    let filter = filter(&probe, watch.pool.odoo_version, watch.pool.database_selection);
    let mut login = Login { user: None, filter };
    let mut turns = Turns::one_by_one(probe.cadence);
    loop {
        turns.next().await;
        // Odoo cannot serve on a standby, and what it says there is no news.
        let said = if watch.seen().judge.expects_logins(region) {
            Some(login.ask(&probe, backend.http.address, watch.tls_of(region).map(|tls| &**tls)).await)
        } else {
            None
        };
        turns.end(watch.note_login(region, place, said));
    }
}

impl PoolWatch {
    /// Takes what a login said; `None` when nobody could be expected to log in. What is thought of logins now.
    fn note_login(self: &Arc<Self>, region: RegionIndex, place: usize, said: Option<Said>) -> Doubt {
        let now = self.now();
        let mut seen = self.seen();
        // The database may have changed while it was asked.
        let said = said.filter(|_| seen.judge.expects_logins(region));
        let Some(backend) = seen.backends.get_mut(region).and_then(|region| region.get_mut(place)) else {
            return Doubt::None;
        };
        let before = backend.health;
        let words = said.as_ref().map(|(_, words)| words.clone()).unwrap_or_default();
        match said {
            Some((reading, _)) => {
                let damping = self.cadence(BackendSignal::Login).damping;
                backend.health.note(BackendSignal::Login, reading, damping, now)
            }
            None => backend.health.forget_login(now),
        };
        backend.says(BackendSignal::Login, &words);
        let doubt = backend.health.signal(BackendSignal::Login).doubt();
        if before == backend.health {
            return doubt;
        }
        let told = self.weigh_logins(&mut seen, region, (place, before.verdict()), now);
        drop(seen);
        told.into_iter().for_each(|event| self.tell(event));
        self.conclude();
        doubt
    }

    /// What follows for all backends on the same database server from what was said at one of them, whose verdict was another
    /// one before.
    fn weigh_logins(
        &self,
        seen: &mut Seen,
        region: RegionIndex,
        (place, before): (usize, BackendVerdict),
        now: Moment,
    ) -> Vec<VerdictEvent> {
        let regions = 0..self.pool.regions.len();
        let group: Vec<RegionIndex> =
            regions.filter(|other| seen.judge.is_same_server(*other, region)).collect();
        let mut working = Vec::new();
        for region in &group {
            let backends = seen.backends.get(*region).into_iter().flatten().enumerate();
            let working_here = backends.filter(|(_, backend)| backend.health.logs_in());
            working.extend(working_here.map(|(place, _)| (*region, place)));
        }
        let mut told = Vec::new();
        for other in group {
            for (at, backend) in seen.backends.get_mut(other).into_iter().flatten().enumerate() {
                let was = if (other, at) == (region, place) { before } else { backend.health.verdict() };
                let others = working.iter().any(|place| *place != (other, at));
                backend.health.set_others_log_in(others, now);
                if let Some(state) = self.backends.get(other).and_then(|region| region.get(at)) {
                    self.set_health(state, &backend.health, was, now);
                }
                let saw = format!("login: {}", backend.said(BackendSignal::Login));
                told.extend(self.backend_event(other, at, was, backend.health.verdict(), saw));
            }
            told.extend(self.login_event(seen, other));
            let Seen { judge, backends, .. } = &mut *seen;
            count_backends(judge, other, backends.get(other).map_or(&[], Vec::as_slice));
            self.show_abandoned(seen, other);
        }
        told
    }

    /// Tells what logins at a region say together, if that is news.
    fn login_event(&self, seen: &mut Seen, region: RegionIndex) -> Option<VerdictEvent> {
        let now = seen.logins(region);
        if let Some(state) = seen.judge.region_mut(region) {
            state.logins_fail = now == LoginVerdict::Fails;
        }
        // That nobody logs in any more follows from what is told of the database.
        if now == LoginVerdict::Unknown {
            return None;
        }
        let told = seen.told_logins.get_mut(region).filter(|told| **told != now)?;
        let before = std::mem::replace(told, now);
        let saw = seen.login_words(region);
        let event = self.event(Subject::Login, region, before.as_str(), now.as_str());
        Some(VerdictEvent { saw, ..event })
    }
}
