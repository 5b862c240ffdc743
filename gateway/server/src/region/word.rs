//! What a gateway says to the others about the regions of its pools.
//!
//! Short, because it is said four times a second: about 150 bytes a pool with two regions.

use fleetgate_core::health::Moment;
use fleetgate_core::pool::Pool;
use fleetgate_core::region::{DatabaseWord, Heard, RegionIndex, Sight};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Version of what is said. A gateway that hears another one believes nothing of it.
const VERSION: u32 = 1;

/// What one gateway says about all pools.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Word {
    version: u32,
    /// Its process id: two processes of one gateway tell themselves apart by it.
    process: u32,
    /// Age of the process in milliseconds when it decided what it says.
    pub(super) age_ms: u64,
    /// Names of all gateways that it decides with, itself included, where the config names them.
    pub(super) gateways: Vec<Box<str>>,
    pub(super) pools: BTreeMap<Box<str>, PoolWord>,
}

/// What one gateway says about a pool: the region that it lets everybody use, how many gateways decide, and what it saw, by
/// region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PoolWord(Option<Box<str>>, u8, BTreeMap<Box<str>, SightWord>);

/// What was seen of a database, and whether the gateway was anchored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SightWord(bool, DatabaseWord);

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Word {
    pub(super) fn new(
        age: Duration,
        gateways: Vec<Box<str>>,
        pools: impl Iterator<Item = (Box<str>, PoolWord)>,
    ) -> Self {
        let (process, pools) = (std::process::id(), pools.collect());
        Self { version: VERSION, process, age_ms: millis(age), gateways, pools }
    }

    /// Whether this very process said it.
    pub(super) fn is_own(&self) -> bool {
        self.process == std::process::id()
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what was said. The error says why it is not believed, and what to do.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let version = |text| serde_json::from_slice::<Versioned>(text).map(|read| read.version);
        match serde_json::from_slice::<Self>(text) {
            Ok(word) if word.version == VERSION => Ok(word),
            Ok(Self { version, .. }) => Err(other_version(version)),
            Err(error) => Err(match version(text) {
                Ok(version) if version != VERSION => other_version(version),
                _ => format!("it says what this gateway cannot read ({error}): are both of one version?"),
            }),
        }
    }
}

fn other_version(version: u32) -> String {
    format!(
        "it speaks version {version} of what gateways say, and this one {VERSION}: upgrade the older of the two"
    )
}

impl PoolWord {
    pub(super) fn new(
        pool: &Pool,
        quorum: u8,
        grants: Option<RegionIndex>,
        sights: &[Option<Sight>],
        now: Moment,
    ) -> Self {
        let word = |sight: &Sight| {
            let age_ms = millis(now.saturating_sub(sight.at));
            SightWord(sight.anchored, DatabaseWord::new(sight.seen, age_ms))
        };
        let named = pool.regions.iter().zip(sights);
        let sights = named.filter_map(|(region, sight)| Some((region.name.clone(), word(sight.as_ref()?))));
        let grants = grants.and_then(|region| pool.regions.get(region)).map(|region| region.name.clone());
        Self(grants, quorum, sights.collect())
    }

    /// How many gateways decide, as the one that spoke has it.
    pub(super) const fn quorum(&self) -> u8 {
        self.1
    }

    /// What it lets everybody use, said at a moment on this gateway's clock.
    pub(super) fn heard(&self, pool: &Pool, at: Moment) -> Heard {
        let place = |name: &str| pool.regions.iter().position(|region| *region.name == *name);
        Heard { at, grants: self.0.as_ref().and_then(|name| place(name)) }
    }

    /// What it saw, by region.
    pub(super) fn sights(&self, pool: &Pool, at: Moment) -> Vec<Option<Sight>> {
        let sight = |SightWord(anchored, database): &SightWord| Sight {
            seen: database.reading(),
            at: at.saturating_sub(database.age()),
            anchored: *anchored,
        };
        pool.regions.iter().map(|region| self.2.get(&region.name).map(sight)).collect()
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_version_says_is_not_believed_and_what_to_do_is_said() {
        let text = Word::new(Duration::from_secs(1), Vec::new(), std::iter::empty()).text();
        assert!(Word::parse(text.as_bytes()).is_ok(), "{text}");
        for other in
            ["{\"version\":2}", "{\"version\":2,\"process\":1,\"age_ms\":1,\"gateways\":[],\"pools\":{}}"]
        {
            let error = Word::parse(other.as_bytes()).unwrap_err();
            assert!(error.contains("version 2") && error.contains("upgrade the older"), "{error}");
        }
        assert!(Word::parse(b"[]").unwrap_err().contains("cannot read"));
    }
}
