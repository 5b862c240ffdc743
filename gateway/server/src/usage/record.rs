//! What stands in the files: frames with a checksum, each on a boundary of eight bytes.
//!
//! A frame is the CRC-32 of the rest, one word of kind and length, and the payload. Journals are laid out in advance, so
//! zeros are a place that nobody has written to. A count is 56 bytes, which lie in one page: it is there or it is not.

use super::act::Act;
use super::message::Message;
use fleetgate_core::quota::{BalanceRecord, Grant, Totals};
use serde::{Deserialize, Serialize};

/// Bytes of a frame before its payload.
const HEAD_BYTES: usize = 8;
/// Bytes of a count.
pub(super) const COUNT_BYTES: usize = HEAD_BYTES + 16 + 32;
/// Longest payload in bytes: the length has 24 bits.
const PAYLOAD_BYTES_MAX: usize = (1 << 24) - 1;

/// A page that nobody has written to.
const ZEROS: [u8; 4_096] = [0; 4_096];

const COUNT: u8 = 1;
const SYNCED: u8 = 2;
const NOTE: u8 = 3;

/// Names a tenant in the files: a hash of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct UsageKey([u8; 16]);

impl UsageKey {
    pub(super) fn of(tenant: &str) -> Self {
        let mut key = [0; 16];
        let hash = blake3::hash(tenant.as_bytes());
        key.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        Self(key)
    }
}

/// What is rarely written, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// First of a file.
    Begin {
        /// Version of the format.
        format: u32,
        /// Of a checkpoint, the last journal whose content is in it.
        through: u64,
    },
    /// A tenant that is counted from now on.
    Tenant { id: Box<str> },
    /// All that is known about a tenant: only in checkpoints.
    Book { id: Box<str>, totals: Totals, balances: Vec<BalanceRecord>, grants: Vec<Grant> },
    /// What follows from a tenant's usage, with the messages that go out about it: all of it or nothing.
    Ledger { id: Box<str>, balances: Vec<BalanceRecord>, grants: Vec<Grant>, queued: Vec<Message> },
    /// What an operator did.
    Acted(Act),
    /// A message that waits: only in checkpoints.
    Waiting(Message),
    /// A message that has arrived, or is given up.
    Done { message: Box<str> },
    /// Last of a checkpoint.
    End,
}

/// A tenant's usage that was added.
pub(super) fn count_frame(key: UsageKey, more: Totals) -> [u8; COUNT_BYTES] {
    let mut frame = [0; COUNT_BYTES];
    let totals = more.0.into_iter().flat_map(u64::to_le_bytes);
    let payload = key.0.into_iter().chain(totals);
    frame.iter_mut().skip(HEAD_BYTES).zip(payload).for_each(|(to, from)| *to = from);
    seal(&mut frame, COUNT, COUNT_BYTES - HEAD_BYTES);
    frame
}

/// All before it is on disk.
pub(super) fn synced_frame() -> [u8; HEAD_BYTES] {
    let mut frame = [0; HEAD_BYTES];
    seal(&mut frame, SYNCED, 0);
    frame
}

/// A note. Empty when it is too long, which bounds on all that grows rule out.
pub(super) fn note_frame(note: &Note) -> Vec<u8> {
    let mut frame = vec![0; HEAD_BYTES];
    if serde_json::to_writer(&mut frame, note).is_err() {
        return Vec::new();
    }
    let length = frame.len().saturating_sub(HEAD_BYTES);
    if length > PAYLOAD_BYTES_MAX {
        return Vec::new();
    }
    frame.resize(frame.len().next_multiple_of(HEAD_BYTES), 0);
    seal(&mut frame, NOTE, length);
    frame
}

fn seal(frame: &mut [u8], kind: u8, length: usize) {
    let word = u32::from(kind) << 24 | u32::try_from(length).unwrap_or(0);
    if let Some((head, payload)) = frame.split_at_mut_checked(HEAD_BYTES) {
        let checksum = checksum(word, payload);
        let words = checksum.to_le_bytes().into_iter().chain(word.to_le_bytes());
        head.iter_mut().zip(words).for_each(|(to, from)| *to = from);
    }
}

fn checksum(word: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&word.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// What is at a place of a file.
#[derive(Debug)]
pub(super) enum Piece {
    /// Usage of a tenant that was added.
    Count(UsageKey, Totals),
    /// All before it is on disk.
    Synced,
    /// A note.
    Note(Box<Note>),
    /// Nobody has written here.
    Hole,
    /// This is no frame, and neither is what follows up to the next piece.
    Damaged,
}

/// Reads a file's frames from a place on.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where the next piece begins.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// The frame at a place, and where it ends.
    fn frame(&self, at: usize) -> Option<(Piece, usize)> {
        let (checksum, word) = (self.word(at)?, self.word(at.checked_add(4)?)?);
        let length = usize::try_from(word & 0x00ff_ffff).ok()?;
        let from = at.checked_add(HEAD_BYTES)?;
        let end = from.checked_add(length.next_multiple_of(HEAD_BYTES))?;
        let padded = self.bytes.get(from..end)?;
        if self::checksum(word, padded) != checksum {
            return None;
        }
        let payload = padded.get(..length)?;
        let piece = match word.to_be_bytes() {
            [COUNT, ..] => {
                let (key, totals) = payload.split_first_chunk::<16>()?;
                let mut counted = Totals::default();
                let (chunks, _) = totals.as_chunks::<8>();
                counted.0.iter_mut().zip(chunks).for_each(|(to, from)| *to = u64::from_le_bytes(*from));
                Piece::Count(UsageKey(*key), counted)
            }
            [SYNCED, ..] => Piece::Synced,
            [NOTE, ..] => Piece::Note(serde_json::from_slice(payload).ok()?),
            _ => return None,
        };
        Some((piece, end))
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk::<4>()?))
    }

    /// Where the zeros end that begin at a place.
    fn hole_end(&self, at: usize) -> usize {
        let mut end = at;
        while self.bytes.get(end..).and_then(<[u8]>::first_chunk) == Some(&ZEROS) {
            end = end.saturating_add(ZEROS.len());
        }
        while self.bytes.get(end..).and_then(<[u8]>::first_chunk) == Some(&[0; HEAD_BYTES]) {
            end = end.saturating_add(HEAD_BYTES);
        }
        end
    }
}

impl Iterator for Scan<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.at >= self.bytes.len() {
            return None;
        }
        if let Some((piece, end)) = self.frame(self.at) {
            self.at = end;
            return Some(piece);
        }
        let hole_end = self.hole_end(self.at);
        if hole_end > self.at {
            self.at = hole_end;
            return Some(Piece::Hole);
        }
        while self.at < self.bytes.len() && self.frame(self.at).is_none() && self.hole_end(self.at) == self.at
        {
            self.at = self.at.saturating_add(HEAD_BYTES);
        }
        Some(Piece::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(bytes: &[u8]) -> Vec<String> {
        Scan::new(bytes, 0)
            .map(|piece| match piece {
                Piece::Count(_, totals) => format!("{:?}", totals.0),
                Piece::Synced => "Synced".to_owned(),
                Piece::Note(_) => "Note".to_owned(),
                Piece::Hole => "Hole".to_owned(),
                Piece::Damaged => "Damaged".to_owned(),
            })
            .collect()
    }

    fn file() -> Vec<u8> {
        let mut bytes = note_frame(&Note::Begin { format: 1, through: 6 });
        bytes.extend(count_frame(UsageKey::of("acme"), Totals([1, 2, 3, 4])));
        bytes.extend(synced_frame());
        bytes.extend(note_frame(&Note::Tenant { id: "a".into() }));
        bytes.extend(count_frame(UsageKey::of("zen"), Totals([5, 0, 0, u64::MAX])));
        bytes
    }

    #[test]
    fn what_was_written_is_read_and_holes_are_no_damage() {
        let mut bytes = file();
        let all = ["Note", "[1, 2, 3, 4]", "Synced", "Note", "[5, 0, 0, 18446744073709551615]"];
        assert_eq!(pieces(&bytes), all);
        bytes.extend([0; 64]);
        bytes.extend(count_frame(UsageKey::of("zen"), Totals([1, 0, 0, 0])));
        bytes.extend([0; 4096]);
        assert_eq!(pieces(&bytes)[all.len()..], ["Hole", "[1, 0, 0, 0]", "Hole"]);
    }

    proptest! {
        #[test]
        fn a_changed_bit_is_damage_and_never_another_count(bit in 0..8 * file().len()) {
            let mut bytes = file();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let sound = pieces(&file());
            for piece in pieces(&bytes) {
                prop_assert!(piece == "Damaged" || piece == "Hole" || sound.contains(&piece), "{piece}");
            }
            prop_assert_ne!(pieces(&bytes), sound);
        }

        #[test]
        fn bytes_from_anywhere_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Scan::new(&bytes, 0).count() <= bytes.len());
        }
    }
}
