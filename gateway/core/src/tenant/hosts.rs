//! Hosts and whose they are, laid out for fleets that no cache of a processor holds.
//!
//! What a look-up costs is the lines of memory that it waits for. Here they are two, however large the fleet: a slot of
//! a table of hashes, and a record in which the text of the host stands beside all that most decisions need of its
//! entry.

use super::TenantIndex;
use crate::guard::GuardsIndex;
use crate::pool::PoolIndex;
use core::hash::Hasher;
use rustc_hash::FxHasher;

/// Low bits of a slot: where the record begins, from 1. The others are bits of the hash.
const PLACE_BITS: u32 = 40;
/// A slot without a record.
const FREE: u64 = 0;
/// Bytes of a record before its text.
const HEADER_BYTES: usize = 12;
/// Of a record's shape: the host is a suffix behind `*.`.
const STAR: u8 = 1;
/// Of a record's shape: see [`Brief::plain`].
const PLAIN: u8 = 2;

/// What most decisions need of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Brief {
    /// Which entry.
    pub(super) index: TenantIndex,
    /// Its pool.
    pub(super) pool: PoolIndex,
    /// Its guards.
    pub(super) guards: GuardsIndex,
    /// Whether the entry is active, has no canonical host and asks for no certificates.
    pub(super) plain: bool,
}

/// A host as it was added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'t> {
    pub(super) brief: Brief,
    /// Whether it is every host one label below `text`.
    pub(super) star: bool,
    text: &'t [u8],
}

impl<'t> Record<'t> {
    /// The host, without a star.
    pub(super) fn text(&self) -> &'t str {
        core::str::from_utf8(self.text).unwrap_or_default()
    }
}

/// Hosts with their entries.
///
/// Hosts are written by operators, so a fast hash without protection against chosen keys is safe here.
#[derive(Debug, Default)]
pub(super) struct HostTable {
    /// A power of two of slots, at most three quarters of them taken; who finds a slot taken looks at the next.
    slots: Vec<u64>,
    records: Vec<u8>,
    hosts: usize,
}

impl HostTable {
    /// An empty table with room for a number of hosts.
    pub(super) fn with_capacity(hosts: usize) -> Self {
        let mut table = Self::default();
        table.make_room(hosts);
        table
    }

    /// The entry of exactly this host, or of exactly this suffix.
    pub(super) fn find(&self, star: bool, host: &str) -> Option<Brief> {
        let hash = hash(host.as_bytes());
        let mut at = hash;
        loop {
            let slot = self.slot(at)?;
            if slot >> PLACE_BITS == hash >> PLACE_BITS
                && let Some(record) = self.record(slot)
                && record.star == star
                && record.text == host.as_bytes()
            {
                return Some(record.brief);
            }
            at = at.wrapping_add(1);
        }
    }

    /// Adds a host.
    ///
    /// # Errors
    /// The entry that has it already; the table is unchanged.
    pub(super) fn insert(&mut self, star: bool, host: &str, brief: Brief) -> Result<(), TenantIndex> {
        if let Some(taken) = self.find(star, host) {
            return Err(taken.index);
        }
        self.make_room(self.hosts.saturating_add(1));
        let place = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        let shape = if star { STAR } else { 0 } | if brief.plain { PLAIN } else { 0 };
        // A host is at most 253 bytes long.
        let len = u8::try_from(host.len()).unwrap_or(u8::MAX);
        self.records.extend_from_slice(&brief.index.0.to_le_bytes());
        self.records.extend_from_slice(&brief.guards.0.to_le_bytes());
        self.records.extend_from_slice(&brief.pool.0.to_le_bytes());
        self.records.extend_from_slice(&[shape, len]);
        self.records.extend_from_slice(host.as_bytes());
        self.take_slot(hash(host.as_bytes()), place);
        self.hosts = self.hosts.saturating_add(1);
        Ok(())
    }

    /// All hosts, in the order in which they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = self.records.as_slice();
        core::iter::from_fn(move || {
            let record = read(rest)?;
            rest = rest.get(HEADER_BYTES.saturating_add(record.text.len())..)?;
            Some(record)
        })
    }

    /// Gives back what only growing needed.
    pub(super) fn shrink_to_fit(&mut self) {
        self.records.shrink_to_fit();
    }

    /// The slot for a hash; `None` when it is free.
    fn slot(&self, hash: u64) -> Option<u64> {
        let mask = u64::try_from(self.slots.len()).ok()?.wrapping_sub(1);
        let slot = self.slots.get(usize::try_from(hash & mask).ok()?).copied()?;
        (slot != FREE).then_some(slot)
    }

    fn record(&self, slot: u64) -> Option<Record<'_>> {
        let place = slot & ((1 << PLACE_BITS) - 1);
        read(self.records.get(usize::try_from(place).ok()?.checked_sub(1)?..)?)
    }

    /// Takes the next free slot for a record that begins at a place.
    fn take_slot(&mut self, hash: u64, place: u64) {
        let mut at = hash;
        while self.slot(at).is_some() {
            at = at.wrapping_add(1);
        }
        let mask = u64::try_from(self.slots.len()).unwrap_or(u64::MAX).wrapping_sub(1);
        if let Some(slot) = usize::try_from(at & mask).ok().and_then(|at| self.slots.get_mut(at)) {
            *slot = hash >> PLACE_BITS << PLACE_BITS | place.saturating_add(1);
        }
    }

    /// Grows until at most three quarters of the slots are taken by a number of hosts.
    fn make_room(&mut self, hosts: usize) {
        let needed = hosts.saturating_add(hosts / 3).saturating_add(1).next_power_of_two();
        if needed <= self.slots.len() {
            return;
        }
        self.slots = vec![FREE; needed];
        let mut place = 0_usize;
        let records = core::mem::take(&mut self.records);
        while let Some(record) = records.get(place..).and_then(read) {
            self.take_slot(hash(record.text), u64::try_from(place).unwrap_or(u64::MAX));
            place = place.saturating_add(HEADER_BYTES).saturating_add(record.text.len());
        }
        self.records = records;
    }
}

fn hash(host: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(host);
    hasher.finish()
}

/// The record at the start of some bytes.
fn read(bytes: &[u8]) -> Option<Record<'_>> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let &[i0, i1, i2, i3, g0, g1, g2, g3, p0, p1, shape, len] = header;
    let brief = Brief {
        index: TenantIndex(u32::from_le_bytes([i0, i1, i2, i3])),
        guards: GuardsIndex(u32::from_le_bytes([g0, g1, g2, g3])),
        pool: PoolIndex(u16::from_le_bytes([p0, p1])),
        plain: shape & PLAIN != 0,
    };
    Some(Record { brief, star: shape & STAR != 0, text: rest.get(..usize::from(len))? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn brief(number: u32) -> Brief {
        Brief {
            index: TenantIndex(number),
            pool: PoolIndex(u16::try_from(number % 7).unwrap()),
            guards: GuardsIndex(number % 11),
            plain: number.is_multiple_of(3),
        }
    }

    proptest! {
        #[test]
        fn a_table_says_what_a_map_says(
            hosts in prop::collection::vec((any::<bool>(), "[a-c]{1,3}|[a-z.]{1,253}"), 0..200),
            others in prop::collection::vec("[a-c]{1,3}", 0..50),
        ) {
            let (mut table, mut map) = (HostTable::with_capacity(hosts.len() / 4), BTreeMap::new());
            for ((star, host), number) in hosts.iter().zip(0..) {
                let free = !map.contains_key(&(*star, host.as_str()));
                let inserted = table.insert(*star, host, brief(number));
                prop_assert_eq!(inserted.is_ok(), free);
                let owner = *map.entry((*star, host.as_str())).or_insert(number);
                if let Err(taken) = inserted {
                    prop_assert_eq!(taken, TenantIndex(owner));
                }
            }
            table.shrink_to_fit();
            for host in hosts.iter().map(|(_, host)| host).chain(&others) {
                for star in [false, true] {
                    let expected = map.get(&(star, host.as_str())).copied().map(brief);
                    prop_assert_eq!(table.find(star, host), expected);
                }
            }
            let all: BTreeMap<_, _> =
                table.iter().map(|record| ((record.star, record.text().to_owned()), record.brief)).collect();
            let expected: BTreeMap<_, _> =
                map.iter().map(|((star, host), number)| ((*star, (*host).to_owned()), brief(*number))).collect();
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn an_empty_table_has_no_host() {
        assert_eq!(HostTable::default().find(false, "acme.example.com"), None);
        assert_eq!(HostTable::with_capacity(0).find(true, ""), None);
    }
}
