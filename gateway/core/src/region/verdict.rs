//! What a region could do for a pool.

use crate::health::{Database, DatabaseVerdict, Following, Trail};
use crate::region::FailoverPolicy;

/// What is known of a region of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegionState {
    /// Its database.
    pub database: Database,
    /// How its database follows the primary, while it is a standby.
    pub trail: Trail,
    /// Whether it stands by.
    pub standby: bool,
    /// Backends that serve.
    pub backends_up: u8,
    /// Backends.
    pub backends: u8,
    /// Whether a check of what it needs to take over fails, or has not passed yet.
    pub lacks: bool,
    /// Whether logins fail at all of its backends.
    pub logins_fail: bool,
}

/// What a region could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionVerdict {
    /// It takes writes, and requests go there.
    Serving,
    /// Its database takes writes, and so does another one: requests that only read go there.
    ReadOnly,
    /// It could take over once its database is promoted, or at once when it takes writes already.
    StandbyReady,
    /// It could not take over.
    NotReady(NotReady),
    /// Nothing there answers.
    Down,
}

/// Why a region could not take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// No backend serves.
    Backends,
    /// The standby is too far behind.
    Lag,
    /// The standby does not stream from the primary.
    Stopped,
    /// The primary has removed WAL that the standby needs.
    Lost,
    /// The database takes writes on a timeline that the fleet has left.
    Diverged,
    /// The database takes writes, and so does another one that the pool has.
    Rival,
    /// The database does not answer.
    Database,
    /// The database is not watched, so nobody knows whether it takes writes.
    Unwatched,
    /// A check of what it needs fails, or has not passed yet.
    Check,
    /// Nobody can log in at any of its backends.
    Login,
}

impl NotReady {
    /// Name in logs, metrics and answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backends => "no backend serves",
            Self::Lag => "the standby is too far behind",
            Self::Stopped => {
                "the standby does not stream from the primary: look at its log, and at `primary_conninfo`"
            }
            Self::Lost => "the primary has removed WAL that the standby needs: rebuild it",
            Self::Diverged => {
                "the database is on a timeline that the fleet has left: rebuild it as a standby"
            }
            Self::Rival => "its database takes writes, and so does another one: make one of them a standby",
            Self::Database => "the database does not answer",
            Self::Unwatched => "the database is not watched: add `postgres` to the region",
            Self::Check => "a check does not pass",
            Self::Login => "nobody can log in at its backends",
        }
    }
}

impl RegionVerdict {
    /// Names of all of them.
    pub const NAMES: [&'static str; 5] = ["serving", "read-only", "standby-ready", "not-ready", "down"];

    /// Name in logs, metrics and answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::ReadOnly => "read-only",
            Self::StandbyReady => "standby-ready",
            Self::NotReady(_) => "not-ready",
            Self::Down => "down",
        }
    }
}

impl RegionState {
    /// What the region could do. `database` is the judge's opinion of its database; `serves` says that requests go there.
    #[must_use]
    pub fn verdict(&self, database: DatabaseVerdict, serves: bool, policy: &FailoverPolicy) -> RegionVerdict {
        let lag_max = u64::try_from(policy.lag_max.as_millis()).unwrap_or(u64::MAX);
        match database {
            DatabaseVerdict::Unreachable if self.backends_up == 0 => RegionVerdict::Down,
            DatabaseVerdict::Unreachable => RegionVerdict::NotReady(NotReady::Database),
            DatabaseVerdict::Diverged => RegionVerdict::NotReady(NotReady::Diverged),
            _ if self.backends_up == 0 => RegionVerdict::NotReady(NotReady::Backends),
            DatabaseVerdict::Unwatched if !serves => RegionVerdict::NotReady(NotReady::Unwatched),
            DatabaseVerdict::Unwatched => RegionVerdict::Serving,
            DatabaseVerdict::Writable if serves => RegionVerdict::Serving,
            DatabaseVerdict::Standby { .. } if self.trail.believed() == Following::Lost => {
                RegionVerdict::NotReady(NotReady::Lost)
            }
            DatabaseVerdict::Standby { .. } if self.trail.believed() == Following::Stopped => {
                RegionVerdict::NotReady(NotReady::Stopped)
            }
            DatabaseVerdict::Standby { lag_ms } if lag_ms > lag_max => RegionVerdict::NotReady(NotReady::Lag),
            DatabaseVerdict::Writable | DatabaseVerdict::Standby { .. } if self.lacks => {
                RegionVerdict::NotReady(NotReady::Check)
            }
            DatabaseVerdict::Writable if self.logins_fail => RegionVerdict::NotReady(NotReady::Login),
            DatabaseVerdict::Writable | DatabaseVerdict::Standby { .. } => RegionVerdict::StandbyReady,
        }
    }

    /// Whether it may be moved to by nobody's decision.
    pub(super) const fn may_take_over(&self) -> bool {
        self.backends_up > 0 && !self.lacks && !self.logins_fail
    }
}
