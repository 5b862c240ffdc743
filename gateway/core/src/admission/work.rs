//! What a request is to the scheduler.

use crate::traffic::{BackendPort, TrafficClass};
use core::time::Duration;

/// Kinds of work that share the workers of a pool by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkClass {
    /// People wait for it: pages, the calls of the web client, files.
    Interactive,
    /// Calls by programs, and webhooks.
    Program,
    /// What people or programs wait for, and of which it is known that it takes long.
    Slow,
    /// Printing, exports and imports, and what crawlers ask for.
    Background,
}

impl WorkClass {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Interactive, Self::Program, Self::Slow, Self::Background];

    /// Expected time of a worker from which a request is slow.
    pub const SLOW_FROM: Duration = Duration::from_secs(1);

    /// The class of a request, as far as its head tells. `None` for what the gevent port serves: it takes no worker.
    #[must_use]
    pub const fn of(class: TrafficClass, crawler: bool) -> Option<Self> {
        match (class, class.port()) {
            (_, BackendPort::Gevent) => None,
            (_, BackendPort::Http) if crawler => Some(Self::Background),
            (TrafficClass::Rpc | TrafficClass::Integration, BackendPort::Http) => Some(Self::Program),
            (TrafficClass::Report, BackendPort::Http) => Some(Self::Background),
            (_, BackendPort::Http) => Some(Self::Interactive),
        }
    }

    /// The class of a request whose time is known.
    pub(super) fn with_cost(self, cost_us: u64) -> Self {
        let may_be_slow = matches!(self, Self::Interactive | Self::Program);
        if may_be_slow && cost_us >= micros(Self::SLOW_FROM) { Self::Slow } else { self }
    }

    /// Place among [`Self::ALL`].
    #[must_use]
    pub const fn position(self) -> usize {
        match self {
            Self::Interactive => 0,
            Self::Program => 1,
            Self::Slow => 2,
            Self::Background => 3,
        }
    }

    /// Name in metrics, logs and answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Program => "program",
            Self::Slow => "slow",
            Self::Background => "background",
        }
    }

    /// Share of the workers while every class wants more than it gets, in percent.
    #[must_use]
    pub const fn weight(self) -> u16 {
        match self {
            Self::Interactive => 60,
            Self::Program => 15,
            Self::Slow => 20,
            Self::Background => 5,
        }
    }

    /// Whether the class may never take the last workers.
    #[must_use]
    pub const fn is_long(self) -> bool {
        matches!(self, Self::Slow | Self::Background)
    }

    /// Time of a worker that is expected of a route nobody has asked for yet: rather too much, because a worker cannot
    /// be taken back.
    pub(super) const fn unknown_cost(self) -> Duration {
        match self {
            Self::Interactive | Self::Program | Self::Slow => Self::SLOW_FROM,
            Self::Background => Duration::from_secs(5),
        }
    }
}

/// Longest wait for a worker. People give up on a page and press reload after some seconds, which doubles the work;
/// programs have time-outs of their own, 30 s and more; crawlers come again.
#[must_use]
pub const fn wait_max(class: TrafficClass, crawler: bool) -> Duration {
    match class {
        _ if crawler => Duration::from_millis(500),
        TrafficClass::Page | TrafficClass::Static => Duration::from_secs(10),
        TrafficClass::Rpc | TrafficClass::Integration => Duration::from_secs(15),
        TrafficClass::Report => Duration::from_secs(30),
        TrafficClass::Websocket | TrafficClass::Longpolling => Duration::ZERO,
    }
}

/// Microseconds of a duration.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
