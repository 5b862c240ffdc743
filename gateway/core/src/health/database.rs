//! Whether the PostgreSQL of a region can be written.

use super::{Damped, Damping, Moment, Reading};

/// One running PostgreSQL server. Two regions that read the same instance share one database server, and are no two
/// writable sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance {
    /// `system_identifier` of `pg_control_system()`: the same for a primary and all its standbys.
    pub system: u64,
    /// `pg_postmaster_start_time()` in microseconds since 1970, and the port: different for each server.
    pub server: u64,
}

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `pg_is_in_recovery()` is false, and transactions are read-write.
    Writable,
    /// In recovery, or read-only by its settings. `lag_ms`: milliseconds that the last replayed transaction is old, 0
    /// when everything that was received is replayed.
    Standby {
        /// Milliseconds.
        lag_ms: u64,
    },
}

/// What one run of the probe saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseReading {
    /// Which server answered.
    pub instance: Instance,
    /// Its timeline: one higher after each promotion.
    pub timeline: u32,
    /// What it does.
    pub role: Role,
}

/// What is believed of a region's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseVerdict {
    /// No probe is configured, or none ever got an answer.
    Unwatched,
    /// It takes writes.
    Writable,
    /// It follows another. Milliseconds behind.
    Standby {
        /// Milliseconds.
        lag_ms: u64,
    },
    /// It does not answer.
    Unreachable,
    /// It takes writes on a timeline that the fleet has left: an old primary that came back.
    Diverged,
}

impl DatabaseVerdict {
    /// Names of all of them.
    pub const NAMES: [&'static str; 5] = ["unwatched", "writable", "standby", "unreachable", "diverged"];

    /// Name in logs, metrics and answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unwatched => "unwatched",
            Self::Writable => "writable",
            Self::Standby { .. } => "standby",
            Self::Unreachable => "unreachable",
            Self::Diverged => "diverged",
        }
    }
}

/// The database of one region, as the probe sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Database {
    answers: Damped,
    last: Option<DatabaseReading>,
    since: Moment,
    /// When it was first seen writable without a break.
    writable_since: Option<Moment>,
    /// Whether it lets nobody look: neither it nor a silence that is believed said anything since.
    hides: bool,
}

impl Database {
    /// Takes what the probe saw; `None` when it got no answer. Whether the role or the server changed.
    pub fn note(&mut self, seen: Option<DatabaseReading>, damping: Damping, now: Moment) -> bool {
        let reading = if seen.is_some() { Reading::Pass } else { Reading::Fail };
        // What a server says of itself is no opinion: it is believed at once. Only silence is damped.
        let damping = if seen.is_some() { Damping { rise: 1, ..damping } } else { damping };
        let failed = self.answers.is_failing();
        let mut changed = self.answers.note(reading, damping, now);
        if failed != self.answers.is_failing() {
            self.since = now;
        }
        self.hides &= seen.is_none() && !self.answers.is_failing();
        if let Some(seen) = seen {
            let news = self.last.is_none_or(|last| {
                (last.instance, last.timeline, writes(last)) != (seen.instance, seen.timeline, writes(seen))
            });
            if news {
                self.since = now;
                self.writable_since = writes(seen).then_some(now);
            }
            self.last = Some(seen);
            changed |= news;
        }
        changed
    }

    /// Notes that nobody serves there: the machine refuses connections, or the server says that it ends or begins. That is
    /// no silence, and believed at once. Whether anything changed.
    pub fn note_gone(&mut self, now: Moment) -> bool {
        self.note(None, Damping { fall: 1, rise: 1 }, now)
    }

    /// Notes that the server is there and lets nobody look: nothing follows about what it is.
    pub const fn note_refused(&mut self) {
        self.hides = true;
    }

    /// Whether it may take writes that nobody sees: it lets nobody look, and never said that it follows, or not lately.
    #[must_use]
    pub fn may_write_unseen(&self) -> bool {
        self.hides && self.last.is_none_or(writes)
    }

    /// What the server itself last said, however long ago.
    #[must_use]
    pub const fn last(&self) -> Option<&DatabaseReading> {
        self.last.as_ref()
    }

    /// Whether it answers, damped.
    #[must_use]
    pub const fn answers(&self) -> &Damped {
        &self.answers
    }

    /// Since when it says the same, or is silent.
    #[must_use]
    pub const fn since(&self) -> Moment {
        self.since
    }

    /// What is believed, apart from what other regions say.
    #[must_use]
    pub fn verdict(&self) -> DatabaseVerdict {
        match self.last {
            None => DatabaseVerdict::Unwatched,
            Some(_) if self.answers.is_failing() => DatabaseVerdict::Unreachable,
            Some(DatabaseReading { role: Role::Writable, .. }) => DatabaseVerdict::Writable,
            Some(DatabaseReading { role: Role::Standby { lag_ms }, .. }) => {
                DatabaseVerdict::Standby { lag_ms }
            }
        }
    }

    /// Since when it is seen writable, if it is.
    #[must_use]
    pub fn writable_since(&self) -> Option<Moment> {
        self.writable_since.filter(|_| self.verdict() == DatabaseVerdict::Writable)
    }

    /// Whether it answered a probe that ran after a moment; `None` when none did. Silence of that very moment counts, an
    /// answer does not: it may be a little older.
    #[must_use]
    pub fn answered_after(&self, moment: Moment) -> Option<bool> {
        match self.answers.last()? {
            (at, Reading::Pass) => (at > moment).then_some(true),
            (at, Reading::Fail) => (at >= moment).then_some(false),
        }
    }
}

fn writes(reading: DatabaseReading) -> bool {
    reading.role == Role::Writable
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAMPING: Damping = Damping { fall: 3, rise: 2 };

    #[test]
    fn silence_is_believed_after_a_while_and_a_refusal_at_once() {
        let instance = Instance { system: 7, server: 1 };
        let seen = Some(DatabaseReading { instance, timeline: 1, role: Role::Writable });
        let mut database = Database::default();
        database.note(seen, DAMPING, Moment::from_secs(1));
        for (at, expected) in [
            (2, DatabaseVerdict::Writable),
            (3, DatabaseVerdict::Writable),
            (4, DatabaseVerdict::Unreachable),
        ] {
            database.note(None, DAMPING, Moment::from_secs(at));
            assert_eq!(database.verdict(), expected);
        }
        database.note(seen, DAMPING, Moment::from_secs(5));
        assert_eq!(database.verdict(), DatabaseVerdict::Writable);
        assert!(database.note_gone(Moment::from_secs(6)));
        assert_eq!(
            (database.verdict(), database.since()),
            (DatabaseVerdict::Unreachable, Moment::from_secs(6))
        );
        // Less silence than would be believed of one that was there a moment ago.
        assert!(!database.note(None, DAMPING, Moment::from_secs(6)));
        assert_eq!(database.verdict(), DatabaseVerdict::Unreachable);
        database.note(seen, DAMPING, Moment::from_secs(7));
        assert_eq!(database.verdict(), DatabaseVerdict::Writable);
    }

    #[test]
    fn a_role_that_changes_is_news_and_writing_counts_from_when_it_began() {
        let instance = Instance { system: 7, server: 1 };
        let mut database = Database::default();
        let mut note = |role, at| {
            let seen = Some(DatabaseReading { instance, timeline: 1, role });
            let news = database.note(seen, DAMPING, Moment::from_secs(at));
            (news, database.writable_since().map(|since| since.as_secs()), database.since().as_secs())
        };
        assert_eq!(note(Role::Writable, 1), (true, Some(1), 1));
        assert_eq!(note(Role::Writable, 2), (false, Some(1), 1));
        // As when all of a server is made read-only by its settings, and given back.
        assert_eq!(note(Role::Standby { lag_ms: 0 }, 3), (true, None, 3));
        assert_eq!(note(Role::Standby { lag_ms: 9 }, 4), (false, None, 3));
        assert_eq!(note(Role::Writable, 5), (true, Some(5), 5));
    }

    #[test]
    fn an_answer_counts_when_it_came_later_and_silence_of_the_same_moment_does() {
        let instance = Instance { system: 7, server: 1 };
        let seen = Some(DatabaseReading { instance, timeline: 1, role: Role::Writable });
        let at = Moment::from_secs;
        let mut database = Database::default();
        assert_eq!(database.answered_after(at(0)), None);
        database.note(seen, DAMPING, at(5));
        assert_eq!([4, 5].map(|moment| database.answered_after(at(moment))), [Some(true), None]);
        database.note(None, DAMPING, at(7));
        assert_eq!(
            [6, 7, 8].map(|moment| database.answered_after(at(moment))),
            [Some(false), Some(false), None]
        );
        // Who lets nobody look is there, until it says something, or is silent for long enough.
        database.note_refused();
        database.note(None, Damping { fall: 9, rise: 2 }, at(10));
        assert!(database.may_write_unseen());
        database.note_gone(at(11));
        assert!(!database.may_write_unseen());
        database.note_refused();
        assert!(database.may_write_unseen(), "it is back");
        database.note(
            Some(DatabaseReading { instance, timeline: 1, role: Role::Standby { lag_ms: 0 } }),
            DAMPING,
            at(12),
        );
        database.note_refused();
        assert!(!database.may_write_unseen(), "it said that it follows");
    }
}
