//! What a gateway says about a pool to the gateways of other sites: what it sees itself of the regions whose servers it
//! reaches.

use crate::health::{DatabaseReading, Instance, Role};
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

/// What a gateway last saw of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseWord {
    /// Milliseconds since then.
    pub age_ms: u64,
    /// `None`: no server answered.
    seen: Option<Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    system: u64,
    server: u64,
    timeline: u32,
    /// Milliseconds that a standby is behind; `None`: it takes writes.
    lag_ms: Option<u64>,
}

impl DatabaseWord {
    /// What was seen so long ago.
    #[must_use]
    pub fn new(reading: Option<DatabaseReading>, age_ms: u64) -> Self {
        let seen = reading.map(|DatabaseReading { instance, timeline, role }| Seen {
            system: instance.system,
            server: instance.server,
            timeline,
            lag_ms: if let Role::Standby { lag_ms } = role { Some(lag_ms) } else { None },
        });
        Self { age_ms, seen }
    }

    /// What was seen; `None`: no server answered.
    #[must_use]
    pub fn reading(&self) -> Option<DatabaseReading> {
        let Seen { system, server, timeline, lag_ms } = self.seen.as_ref()?;
        let role = lag_ms.map_or(Role::Writable, |lag_ms| Role::Standby { lag_ms });
        Some(DatabaseReading {
            instance: Instance { system: *system, server: *server },
            timeline: *timeline,
            role,
        })
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
            assert_eq!((word.reading(), word.age_ms), (reading, 5), "{text}");
        }
        assert_eq!(DatabaseWord::new(None, 5).reading(), None);
        assert_eq!(pool_of_path(word_path("main").as_bytes()), Some("main"));
        assert_eq!(pool_of_path(b"/web/login"), None);
    }
}
