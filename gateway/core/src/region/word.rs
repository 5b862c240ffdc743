//! What a gateway says about a pool to the gateways of other sites: what it sees itself of the regions whose servers it
//! reaches.

use crate::health::{DatabaseReading, Instance, Role};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Host under which gateways ask each other. No name in DNS ends in this way (RFC 2606, section 2).
pub const GATEWAYS_HOST: &str = "gateways.fleetgate.invalid";
/// What a path begins with before the name of the pool that is asked about.
const PATH: &str = "/pools/";

/// What a gateway says about a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarWord {
    /// By the names of regions. One that the gateway does not reach itself is left out.
    pub regions: BTreeMap<String, RegionWord>,
}

/// What a gateway says about a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionWord {
    /// What it last saw of the database; `None`: nothing yet, or it may not look.
    pub database: Option<DatabaseWord>,
    /// Backends that serve.
    pub backends_up: u8,
}

/// What a gateway saw of a database: how long ago in milliseconds, and system, server, timeline and how far a standby is
/// behind in milliseconds; nothing of one that did not answer. Short, because gateways say it several times a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseWord(u64, Option<(u64, u64, u32, Option<u64>)>);

impl DatabaseWord {
    /// What was seen so long ago.
    #[must_use]
    pub fn new(reading: Option<DatabaseReading>, age_ms: u64) -> Self {
        let seen = reading.map(|DatabaseReading { instance, timeline, role }| {
            let behind_ms = if let Role::Standby { lag_ms } = role { Some(lag_ms) } else { None };
            (instance.system, instance.server, timeline, behind_ms)
        });
        Self(age_ms, seen)
    }

    /// How long ago.
    #[must_use]
    pub const fn age(&self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// What was seen; `None`: no server answered.
    #[must_use]
    pub fn reading(&self) -> Option<DatabaseReading> {
        let (system, server, timeline, behind_ms) = self.1?;
        let role = behind_ms.map_or(Role::Writable, |lag_ms| Role::Standby { lag_ms });
        Some(DatabaseReading { instance: Instance { system, server }, timeline, role })
    }
}

/// Path of the question about a pool.
#[must_use]
pub fn word_path(pool: &str) -> String {
    format!("{PATH}{pool}")
}

/// The pool that a path asks about.
#[must_use]
pub fn pool_of_path(path: &[u8]) -> Option<&str> {
    core::str::from_utf8(path).ok()?.strip_prefix(PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_told_as_it_was() {
        let instance = Instance { system: u64::MAX, server: 1 };
        for role in [Role::Writable, Role::Standby { lag_ms: 7 }] {
            let reading = Some(DatabaseReading { instance, timeline: 3, role });
            let text = serde_json::to_string(&DatabaseWord::new(reading, 5)).unwrap();
            let word: DatabaseWord = serde_json::from_str(&text).unwrap();
            assert_eq!((word.reading(), word.age()), (reading, Duration::from_millis(5)), "{text}");
        }
        assert_eq!(DatabaseWord::new(None, 5).reading(), None);
        assert_eq!(pool_of_path(word_path("main").as_bytes()), Some("main"));
        assert_eq!(pool_of_path(b"/web/login"), None);
    }
}
