//! What is counted.

use super::calendar::Span;
use serde::{Deserialize, Serialize};

/// Something that a tenant uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Meter {
    /// Requests that went to Odoo.
    Requests,
    /// Bytes of bodies sent to clients.
    Egress,
    /// Milliseconds for which workers were held. A worker of prefork Odoo serves one request at a time, so this is what
    /// a tenant truly costs.
    WorkerTime,
    /// Milliseconds for which websockets were open.
    WebsocketTime,
}

impl Meter {
    /// Every meter.
    pub const ALL: [Self; 4] = [Self::Requests, Self::Egress, Self::WorkerTime, Self::WebsocketTime];

    /// Place among [`Self::ALL`].
    #[must_use]
    pub const fn position(self) -> usize {
        match self {
            Self::Requests => 0,
            Self::Egress => 1,
            Self::WorkerTime => 2,
            Self::WebsocketTime => 3,
        }
    }

    /// Name in config, metrics and answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Egress => "egress",
            Self::WorkerTime => "worker_seconds",
            Self::WebsocketTime => "websocket_minutes",
        }
    }

    /// What is counted in one unit of the name: a worker-second is 1,000 counted milliseconds.
    #[must_use]
    pub const fn counted_per_unit(self) -> u64 {
        match self {
            Self::Requests | Self::Egress => 1,
            Self::WorkerTime => 1_000,
            Self::WebsocketTime => 60_000,
        }
    }
}

/// Usage by meter, in the order of [`Meter::ALL`]. It only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Totals(pub [u64; 4]);

impl Totals {
    /// The total of a meter.
    #[must_use]
    pub const fn of(&self, meter: Meter) -> u64 {
        let Self([requests, egress, worker, websocket]) = *self;
        match meter {
            Meter::Requests => requests,
            Meter::Egress => egress,
            Meter::WorkerTime => worker,
            Meter::WebsocketTime => websocket,
        }
    }

    /// The total of a meter, to change it.
    pub const fn of_mut(&mut self, meter: Meter) -> &mut u64 {
        let Self([requests, egress, worker, websocket]) = self;
        match meter {
            Meter::Requests => requests,
            Meter::Egress => egress,
            Meter::WorkerTime => worker,
            Meter::WebsocketTime => websocket,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        let mut sum = self;
        sum.0.iter_mut().zip(more.0).for_each(|(total, more)| *total = total.saturating_add(more));
        sum
    }
}

/// Which quota of a plan: a plan has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub struct QuotaKey {
    /// What it counts.
    pub meter: Meter,
    /// For how long.
    pub span: Span,
}

impl QuotaKey {
    /// Every key.
    pub const ALL: [Self; 12] = {
        const fn of(meter: Meter) -> [QuotaKey; 3] {
            [
                QuotaKey { meter, span: Span::Hour },
                QuotaKey { meter, span: Span::Day },
                QuotaKey { meter, span: Span::Month },
            ]
        }
        let [a, b, c] = of(Meter::Requests);
        let [d, e, f] = of(Meter::Egress);
        let [g, h, i] = of(Meter::WorkerTime);
        let [j, k, l] = of(Meter::WebsocketTime);
        [a, b, c, d, e, f, g, h, i, j, k, l]
    };

    /// Name in config and answers, such as `requests_per_day`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match (self.meter, self.span) {
            (Meter::Requests, Span::Hour) => "requests_per_hour",
            (Meter::Requests, Span::Day) => "requests_per_day",
            (Meter::Requests, Span::Month) => "requests_per_month",
            (Meter::Egress, Span::Hour) => "egress_per_hour",
            (Meter::Egress, Span::Day) => "egress_per_day",
            (Meter::Egress, Span::Month) => "egress_per_month",
            (Meter::WorkerTime, Span::Hour) => "worker_seconds_per_hour",
            (Meter::WorkerTime, Span::Day) => "worker_seconds_per_day",
            (Meter::WorkerTime, Span::Month) => "worker_seconds_per_month",
            (Meter::WebsocketTime, Span::Hour) => "websocket_minutes_per_hour",
            (Meter::WebsocketTime, Span::Day) => "websocket_minutes_per_day",
            (Meter::WebsocketTime, Span::Month) => "websocket_minutes_per_month",
        }
    }

    /// The key with a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == name)
    }
}

impl From<QuotaKey> for &'static str {
    fn from(key: QuotaKey) -> Self {
        key.as_str()
    }
}

impl TryFrom<String> for QuotaKey {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::parse(&name).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
            format!("`{name}` is no quota; there are {}", names.join(", "))
        })
    }
}
