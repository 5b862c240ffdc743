//! Limits: what a tenant may use at once and over time. Time is an argument; what is counted is in memory.

mod cell;
mod gcra;
mod login;
mod rate;
mod report;

pub use cell::LimitCell;
pub use gcra::{Exhausted, Moment, Remaining};
pub use login::Login;
pub use rate::Rate;
pub use report::{LimitReport, LimitUnit, LimitUse};

use crate::quota::QuotaTerms;
use crate::traffic::TrafficClass;
use core::net::IpAddr;
use core::num::NonZeroU16;
use std::sync::Arc;

/// Place of a tenant's limits in [`Fleet::limits`](crate::config::Fleet::limits). The first are those of a tenant
/// without a plan: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LimitsIndex(pub u32);

/// The limits of a tenant: those of its plan, with its own changes. Equal ones are stored once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Limits {
    /// Name of the plan.
    pub plan: Option<Box<str>>,
    /// Requests of all classes.
    pub requests: Option<Rate>,
    /// Bytes of the bodies of answers.
    pub bytes: Option<Rate>,
    /// Requests in flight at once, without websockets and polls.
    pub concurrent_requests: Option<u32>,
    /// Weight of the tenant among those who wait for workers. `None`: the usual one.
    pub worker_weight: Option<NonZeroU16>,
    /// Open websockets.
    pub websockets: Option<u32>,
    /// By the place of the class. `None`: no class has a limit.
    pub classes: Option<Box<[ClassLimits; TrafficClass::ALL.len()]>>,
    /// Requests of each client address.
    pub client: Option<Rate>,
    /// Requests of each session.
    pub session: Option<Rate>,
    /// Requests of each API key.
    pub api_key: Option<Rate>,
    /// Logins that a client address tries.
    pub login_attempts: Option<Rate>,
    /// Logins of a client address that fail.
    pub login_failures: Option<Rate>,
    /// Requests of a client address that send mails.
    pub mails: Option<Rate>,
    /// What may be used up in a period.
    pub quotas: Option<Arc<QuotaTerms>>,
}

/// The limits of one traffic class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClassLimits {
    /// Requests.
    pub requests: Option<Rate>,
    /// Requests in flight at once.
    pub concurrent_requests: Option<u32>,
}

/// Limits of a tenant without any.
static NONE: Limits = Limits {
    plan: None,
    requests: None,
    bytes: None,
    concurrent_requests: None,
    worker_weight: None,
    websockets: None,
    classes: None,
    client: None,
    session: None,
    api_key: None,
    login_attempts: None,
    login_failures: None,
    mails: None,
    quotas: None,
};

impl Limits {
    /// The limits at a place.
    #[must_use]
    pub fn at(all: &[Self], index: LimitsIndex) -> &Self {
        usize::try_from(index.0).ok().and_then(|index| all.get(index)).unwrap_or(&NONE)
    }

    /// The limits of a class, if any class has some.
    #[must_use]
    pub fn class(&self, class: TrafficClass) -> Option<&ClassLimits> {
        self.classes.as_ref()?.get(class.position())
    }

    /// The rate of a limit that counts for each of many clients.
    #[must_use]
    pub const fn keyed(&self, limit: LimitName) -> Option<Rate> {
        match limit {
            LimitName::Client => self.client,
            LimitName::Session => self.session,
            LimitName::ApiKey => self.api_key,
            LimitName::LoginAttempts => self.login_attempts,
            LimitName::LoginFailures => self.login_failures,
            LimitName::Mails => self.mails,
            LimitName::Requests
            | LimitName::Bytes
            | LimitName::ConcurrentRequests
            | LimitName::Websockets
            | LimitName::ClassRequests
            | LimitName::ClassConcurrentRequests => None,
        }
    }
}

/// A limit by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitName {
    /// Requests of the tenant over time.
    Requests,
    /// Bytes to the tenant's clients over time.
    Bytes,
    /// Requests of the tenant at once.
    ConcurrentRequests,
    /// Open websockets of the tenant.
    Websockets,
    /// Requests of a traffic class over time.
    ClassRequests,
    /// Requests of a traffic class at once.
    ClassConcurrentRequests,
    /// Requests of a client address.
    Client,
    /// Requests of a session.
    Session,
    /// Requests of an API key.
    ApiKey,
    /// Logins that a client address tries.
    LoginAttempts,
    /// Logins of a client address that failed.
    LoginFailures,
    /// Requests of a client address that send mails.
    Mails,
}

impl LimitName {
    /// Every limit.
    pub const ALL: [Self; 12] = [
        Self::Requests,
        Self::Bytes,
        Self::ConcurrentRequests,
        Self::Websockets,
        Self::ClassRequests,
        Self::ClassConcurrentRequests,
        Self::Client,
        Self::Session,
        Self::ApiKey,
        Self::LoginAttempts,
        Self::LoginFailures,
        Self::Mails,
    ];

    /// Name in logs, metrics and header fields; never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Bytes => "bytes",
            Self::ConcurrentRequests => "concurrent_requests",
            Self::Websockets => "websockets",
            Self::ClassRequests => "class_requests",
            Self::ClassConcurrentRequests => "class_concurrent_requests",
            Self::Client => "client",
            Self::Session => "session",
            Self::ApiKey => "api_key",
            Self::LoginAttempts => "login_attempts",
            Self::LoginFailures => "login_failures",
            Self::Mails => "mails",
        }
    }
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 network gives to one site (RFC 6177, section 2).
#[must_use]
pub fn client_block(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => IpAddr::V6(core::net::Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests;
