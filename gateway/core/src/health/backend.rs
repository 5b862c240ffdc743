//! Whether a backend is asked.

use super::{Damped, Damping, Doubt, Moment, Reading, Standing};
use crate::traffic::BackendPort;
use core::time::Duration;

/// What is watched of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendSignal {
    /// Whether Odoo's HTTP port answers a probe.
    Http,
    /// Whether Odoo's gevent port answers a probe.
    Gevent,
    /// What requests of clients met on the HTTP port: refused connections, resets, errors of the server.
    Traffic,
    /// How late answers to clients begin, beside those of other backends of the region.
    Latency,
    /// What an agent beside Odoo says.
    Agent,
    /// Whether a user can log in and work.
    Login,
}

impl BackendSignal {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Http, Self::Gevent, Self::Traffic, Self::Latency, Self::Agent, Self::Login];

    /// Name in logs, metrics and answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Gevent => "gevent",
            Self::Traffic => "traffic",
            Self::Latency => "latency",
            Self::Agent => "agent",
            Self::Login => "login",
        }
    }
}

/// What follows from the signals of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendVerdict {
    /// It serves.
    Up,
    /// It serves, but one of its ports or its traffic does not do well: others are asked first there.
    Degraded,
    /// An operator takes it out: it ends what it has.
    Draining,
    /// It does not serve.
    Down,
}

impl BackendVerdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Up, Self::Degraded, Self::Draining, Self::Down];

    /// Name in logs, metrics and answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

/// The signals of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackendHealth {
    http: Damped,
    gevent: Damped,
    traffic: Damped,
    latency: Damped,
    agent: Damped,
    login: Damped,
    /// Whether logins work at another backend on the same database server.
    others_log_in: bool,
    draining: bool,
    /// When it came back after it was down.
    recovered: Option<Moment>,
}

impl BackendHealth {
    /// Takes a reading. Whether the verdict changed.
    pub fn note(&mut self, signal: BackendSignal, reading: Reading, damping: Damping, now: Moment) -> bool {
        self.change(now, |health| {
            health.signal_mut(signal).note(reading, damping, now);
        })
    }

    /// Takes whether logins work at another backend on the same database server: where they fail at all, it is the database,
    /// and no backend is to blame. Whether the verdict changed.
    pub fn set_others_log_in(&mut self, others: bool, now: Moment) -> bool {
        self.change(now, |health| health.others_log_in = others)
    }

    /// Forgets what logins said. Whether the verdict changed.
    pub fn forget_login(&mut self, now: Moment) -> bool {
        self.change(now, |health| (health.login, health.others_log_in) = (Damped::default(), false))
    }

    /// Whether logins work, and nothing speaks against it: none has failed lately.
    #[must_use]
    pub fn logs_in(&self) -> bool {
        self.login.standing() == Standing::Passing && self.login.counts().0 == 0
    }

    fn change(&mut self, now: Moment, change: impl FnOnce(&mut Self)) -> bool {
        let before = self.verdict();
        change(self);
        let after = self.verdict();
        if before == BackendVerdict::Down && after != BackendVerdict::Down {
            self.recovered = Some(now);
        }
        before != after
    }

    /// Takes it out, or back in.
    pub const fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Whether an operator takes it out, whatever its signals say.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// One of the signals.
    #[must_use]
    pub const fn signal(&self, signal: BackendSignal) -> &Damped {
        match signal {
            BackendSignal::Http => &self.http,
            BackendSignal::Gevent => &self.gevent,
            BackendSignal::Traffic => &self.traffic,
            BackendSignal::Latency => &self.latency,
            BackendSignal::Agent => &self.agent,
            BackendSignal::Login => &self.login,
        }
    }

    const fn signal_mut(&mut self, signal: BackendSignal) -> &mut Damped {
        match signal {
            BackendSignal::Http => &mut self.http,
            BackendSignal::Gevent => &mut self.gevent,
            BackendSignal::Traffic => &mut self.traffic,
            BackendSignal::Latency => &mut self.latency,
            BackendSignal::Agent => &mut self.agent,
            BackendSignal::Login => &mut self.login,
        }
    }

    /// What follows from the signals. A backend of which nothing is known serves.
    #[must_use]
    pub fn verdict(&self) -> BackendVerdict {
        let login = self.login.is_failing() && self.others_log_in;
        if self.http.is_failing() || self.agent.is_failing() || login {
            BackendVerdict::Down
        } else if self.draining {
            BackendVerdict::Draining
        } else if self.gevent.is_failing() || self.is_bad_for_requests() {
            BackendVerdict::Degraded
        } else {
            BackendVerdict::Up
        }
    }

    fn is_bad_for_requests(&self) -> bool {
        self.traffic.is_failing() || self.latency.is_failing()
    }

    /// Whether a port is asked after those of other backends.
    #[must_use]
    pub fn avoids(&self, port: BackendPort) -> bool {
        let own = match port {
            BackendPort::Http => self.is_bad_for_requests(),
            BackendPort::Gevent => self.gevent.is_failing(),
        };
        own || matches!(self.verdict(), BackendVerdict::Down | BackendVerdict::Draining)
    }

    /// Whether a port gives no good answer to its own probes: what waits for one there may wait for long.
    #[must_use]
    pub fn is_lost(&self, port: BackendPort) -> bool {
        self.probed(port).is_failing()
    }

    /// Whether a port takes what leaves a lost one of an equal: its own probes pass, and nothing speaks against it. Servers
    /// that freeze together are found out one after the other, and by then each of them has failed a probe.
    #[must_use]
    pub fn takes_over(&self, port: BackendPort) -> bool {
        let own = self.probed(port);
        own.standing() == Standing::Passing && own.doubt() == Doubt::None && !self.avoids(port)
    }

    /// What the own probes of a port say.
    const fn probed(&self, port: BackendPort) -> &Damped {
        match port {
            BackendPort::Http => &self.http,
            BackendPort::Gevent => &self.gevent,
        }
    }

    /// How much of its share a backend takes that came back, from 0 to 1,000: it has no registry in memory, and the
    /// first request of each tenant loads one.
    #[must_use]
    pub fn share_permille(&self, slow_start: Duration, now: Moment) -> u16 {
        let Some(recovered) = self.recovered else { return 1_000 };
        let passed = now.saturating_sub(recovered).as_millis();
        let share = passed.saturating_mul(1_000).checked_div(slow_start.as_millis()).unwrap_or(1_000);
        u16::try_from(share.min(1_000)).unwrap_or(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAMPING: Damping = Damping { fall: 3, rise: 2 };

    fn fail(health: &mut BackendHealth, signal: BackendSignal, times: u64) {
        for at in 0..times {
            health.note(signal, Reading::Fail, DAMPING, Moment::from_secs(at));
        }
    }

    #[test]
    fn a_backend_of_which_nothing_is_known_serves() {
        let health = BackendHealth::default();
        assert_eq!(health.verdict(), BackendVerdict::Up);
    }

    #[test]
    fn a_gevent_port_that_fails_costs_websockets_alone() {
        let mut health = BackendHealth::default();
        fail(&mut health, BackendSignal::Gevent, 3);
        assert_eq!(health.verdict(), BackendVerdict::Degraded);
        assert!(health.avoids(BackendPort::Gevent) && !health.avoids(BackendPort::Http));
    }

    #[test]
    fn a_http_port_that_fails_takes_the_backend_down() {
        let mut health = BackendHealth::default();
        fail(&mut health, BackendSignal::Http, 2);
        assert_eq!(health.verdict(), BackendVerdict::Up);
        fail(&mut health, BackendSignal::Http, 1);
        assert_eq!(health.verdict(), BackendVerdict::Down);
        assert!(health.avoids(BackendPort::Gevent) && health.avoids(BackendPort::Http));
    }

    #[test]
    fn an_agent_that_says_no_takes_the_backend_down_and_an_operator_has_others_asked_first() {
        let mut health = BackendHealth::default();
        fail(&mut health, BackendSignal::Agent, 3);
        assert_eq!(health.verdict(), BackendVerdict::Down);
        let mut health = BackendHealth::default();
        health.set_draining(true);
        assert_eq!(health.verdict(), BackendVerdict::Draining);
        assert!(health.avoids(BackendPort::Gevent) && health.avoids(BackendPort::Http));
    }

    #[test]
    fn a_port_is_lost_when_its_own_probes_fail_and_by_no_word_of_others() {
        let ports = [BackendPort::Http, BackendPort::Gevent];
        for (signal, lost) in [
            (BackendSignal::Http, [true, false]),
            (BackendSignal::Gevent, [false, true]),
            (BackendSignal::Traffic, [false, false]),
            (BackendSignal::Agent, [false, false]),
            (BackendSignal::Login, [false, false]),
        ] {
            let mut health = BackendHealth::default();
            health.set_draining(true);
            fail(&mut health, signal, 2);
            assert_eq!(ports.map(|port| health.is_lost(port)), [false, false], "{signal:?}");
            fail(&mut health, signal, 1);
            assert_eq!(ports.map(|port| health.is_lost(port)), lost, "{signal:?}");
        }
    }

    #[test]
    fn a_port_takes_over_while_its_probes_pass_and_nothing_speaks_against_it() {
        let port = BackendPort::Gevent;
        let mut health = BackendHealth::default();
        assert!(!health.takes_over(port), "nothing is known of it");
        health.note(BackendSignal::Gevent, Reading::Pass, DAMPING, Moment::ZERO);
        assert!(health.takes_over(port));
        fail(&mut health, BackendSignal::Gevent, 1);
        assert!(!health.takes_over(port), "it may be about to fail");
        for at in 1..=2 {
            health.note(BackendSignal::Gevent, Reading::Pass, DAMPING, Moment::from_secs(at));
        }
        assert!(health.takes_over(port));
        health.set_draining(true);
        assert!(!health.takes_over(port));
        health.set_draining(false);
        fail(&mut health, BackendSignal::Http, 3);
        assert!(!health.takes_over(port), "websockets are opened elsewhere first");
    }

    #[test]
    fn a_login_that_fails_takes_a_backend_down_where_it_works_at_another_one() {
        let mut health = BackendHealth::default();
        fail(&mut health, BackendSignal::Login, 3);
        assert_eq!(health.verdict(), BackendVerdict::Up);
        assert!(health.set_others_log_in(true, Moment::from_secs(9)));
        assert_eq!(health.verdict(), BackendVerdict::Down);
        assert!(health.set_others_log_in(false, Moment::from_secs(10)));
        assert_eq!(health.verdict(), BackendVerdict::Up);
        health.set_others_log_in(true, Moment::from_secs(11));
        assert!(health.forget_login(Moment::from_secs(12)));
        assert_eq!(health.verdict(), BackendVerdict::Up);
    }

    #[test]
    fn one_login_that_failed_speaks_against_nobody_else() {
        let mut health = BackendHealth::default();
        health.note(BackendSignal::Login, Reading::Pass, DAMPING, Moment::ZERO);
        assert!(health.logs_in());
        fail(&mut health, BackendSignal::Login, 1);
        assert!(!health.logs_in(), "two backends whose database breaks fail one after the other");
    }

    #[test]
    fn a_backend_that_comes_back_takes_its_share_step_by_step() {
        let (mut health, slow_start) = (BackendHealth::default(), Duration::from_secs(10));
        assert_eq!(health.share_permille(slow_start, Moment::ZERO), 1_000);
        fail(&mut health, BackendSignal::Http, 3);
        for at in [100, 101] {
            health.note(BackendSignal::Http, Reading::Pass, DAMPING, Moment::from_secs(at));
        }
        let share = |at: u64| health.share_permille(slow_start, Moment::from_secs(at));
        assert_eq!((share(101), share(106), share(111), share(500)), (0, 500, 1_000, 1_000));
        assert_eq!(health.share_permille(Duration::ZERO, Moment::from_secs(101)), 1_000);
    }
}
