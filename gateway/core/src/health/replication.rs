//! Whether a standby follows the primary.

use super::Moment;
use core::time::Duration;

/// What becomes of the WAL that a replication slot keeps: `wal_status` of `pg_replication_slots` (PostgreSQL 13 to 17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotWal {
    /// `reserved` or `extended`; also of a server that does not say, as PostgreSQL 12.
    Kept,
    /// `unreserved`: it goes with the next checkpoint.
    AtRisk,
    /// `lost`: nobody can follow by this slot any more.
    Lost,
}

/// A physical replication slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Name.
    pub name: Box<str>,
    /// Whether a standby streams by it now.
    pub active: bool,
    /// Its WAL.
    pub wal: SlotWal,
}

/// What a server says of replication.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replication {
    /// Whether it receives WAL from another server now; `None`: it does not say.
    pub receives: Option<bool>,
    /// The slot by which it does (`primary_slot_name`).
    pub slot: Option<Box<str>>,
    /// Its own slots.
    pub slots: Vec<Slot>,
}

/// How a standby follows the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Following {
    /// Neither of them says.
    #[default]
    Unknown,
    /// It streams.
    Streams,
    /// The primary runs, and it does not stream.
    Stopped,
    /// The primary has removed WAL that it needs: it cannot follow any more.
    Lost,
}

/// How a standby follows the primary, as far as the two say.
#[must_use]
pub fn following(standby: &Replication, primary: &Replication) -> Following {
    let named = standby.slot.as_deref();
    // A standby that follows another standby has its slot there.
    let slot = named.and_then(|name| primary.slots.iter().find(|slot| *slot.name == *name));
    match (slot, standby.receives) {
        (Some(Slot { wal: SlotWal::Lost, .. }), _) => Following::Lost,
        (Some(Slot { active: false, .. }), _) | (_, Some(false)) => Following::Stopped,
        (Some(_), _) | (None, Some(true)) => Following::Streams,
        (None, None) => Following::Unknown,
    }
}

/// For how long a standby does not stream until that is said: it begins again after five seconds by default
/// (`wal_retrieve_retry_interval`).
const STOPPED_FOR: Duration = Duration::from_secs(10);

/// What is believed of how a standby follows. What was last known while there was a primary holds on when that is gone: a
/// standby that had stopped lacks what came after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trail {
    believed: Following,
    stopped_since: Option<Moment>,
}

impl Trail {
    /// Takes what the two said.
    pub fn note(&mut self, following: Following, now: Moment) {
        match following {
            Following::Unknown => {}
            Following::Streams | Following::Lost => {
                *self = Self { believed: following, stopped_since: None };
            }
            Following::Stopped => {
                let since = *self.stopped_since.get_or_insert(now);
                if now.saturating_sub(since) >= STOPPED_FOR {
                    self.believed = following;
                }
            }
        }
    }

    /// What is believed.
    #[must_use]
    pub const fn believed(&self) -> Following {
        self.believed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(active: bool, wal: SlotWal) -> Replication {
        let slot = |name: &str, active, wal| Slot { name: name.into(), active, wal };
        let slots = vec![slot("other", true, SlotWal::Kept), slot("away", active, wal)];
        Replication { slots, ..Replication::default() }
    }

    fn standby(slot: Option<&str>, receives: Option<bool>) -> Replication {
        Replication { receives, slot: slot.map(Into::into), slots: Vec::new() }
    }

    #[test]
    fn a_standby_whose_slot_is_lost_or_idle_or_that_receives_nothing_does_not_follow() {
        let (kept, idle) = (primary(true, SlotWal::Kept), primary(false, SlotWal::Kept));
        let lost = primary(false, SlotWal::Lost);
        for (standby, primary, expected) in [
            (standby(Some("away"), Some(true)), &kept, Following::Streams),
            (standby(Some("away"), None), &kept, Following::Streams),
            (standby(Some("away"), Some(true)), &primary(true, SlotWal::AtRisk), Following::Streams),
            (standby(Some("away"), Some(true)), &idle, Following::Stopped),
            (standby(Some("away"), Some(false)), &kept, Following::Stopped),
            (standby(Some("away"), Some(false)), &lost, Following::Lost),
            (standby(Some("away"), Some(true)), &lost, Following::Lost),
            (standby(Some("elsewhere"), Some(true)), &lost, Following::Streams),
            (standby(None, Some(true)), &lost, Following::Streams),
            (standby(None, Some(false)), &kept, Following::Stopped),
            (standby(None, None), &kept, Following::Unknown),
            (standby(Some("elsewhere"), None), &kept, Following::Unknown),
        ] {
            assert_eq!(following(&standby, primary), expected, "{standby:?} {primary:?}");
        }
    }

    #[test]
    fn a_standby_that_begins_again_within_seconds_has_not_stopped() {
        let mut trail = Trail::default();
        for (at, following, believed) in [
            (1, Following::Streams, Following::Streams),
            (2, Following::Stopped, Following::Streams),
            (11, Following::Stopped, Following::Streams),
            (11, Following::Streams, Following::Streams),
            (12, Following::Stopped, Following::Streams),
            (22, Following::Stopped, Following::Stopped),
            (23, Following::Unknown, Following::Stopped),
            (24, Following::Streams, Following::Streams),
            (25, Following::Lost, Following::Lost),
        ] {
            trail.note(following, Moment::from_secs(at));
            assert_eq!(trail.believed(), believed, "{at}");
        }
    }
}
