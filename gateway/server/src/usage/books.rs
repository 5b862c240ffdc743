//! What the files say together.

use super::act::Act;
use super::message::Message;
use super::record::{Note, UsageKey, note_frame};
use fleetgate_core::quota::{BalanceRecord, Grant, Totals};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Version of the format of all files.
pub(super) const FORMAT: u32 = 1;
/// What operators did, at most; the oldest is forgotten first.
pub(super) const ACTS_MAX: usize = 1_000;
/// Messages that wait, at most; the oldest is given up first.
const WAITING_MAX: usize = 10_000;

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Tenants. One without an id was counted before its name was read.
    pub(super) tenants: FxHashMap<UsageKey, Book>,
    /// What operators did, the oldest first.
    pub(super) acts: VecDeque<Act>,
    /// Messages that wait, the oldest first.
    pub(super) waiting: VecDeque<Message>,
    /// The last journal that all this comes from.
    pub(super) through: u64,
}

/// What is known about one tenant.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    pub(super) id: Box<str>,
    pub(super) totals: Totals,
    pub(super) balances: Vec<BalanceRecord>,
    pub(super) grants: Vec<Grant>,
}

impl Books {
    /// Adds usage of a tenant.
    pub(super) fn count(&mut self, key: UsageKey, more: Totals) {
        let book = self.tenants.entry(key).or_default();
        book.totals = book.totals.plus(more);
    }

    /// Adds what a note says.
    pub(super) fn note(&mut self, note: Note) {
        match note {
            Note::Begin { .. } | Note::End => {}
            Note::Tenant { id } => self.book(id, |_| {}),
            Note::Book { id, totals, balances, grants } => self.book(id, |book| {
                book.totals = book.totals.plus(totals);
                (book.balances, book.grants) = (balances, grants);
            }),
            Note::Ledger { id, balances, grants, queued } => {
                self.book(id, |book| (book.balances, book.grants) = (balances, grants));
                queued.into_iter().for_each(|message| wait(&mut self.waiting, message));
            }
            Note::Acted(act) => keep_act(&mut self.acts, act),
            Note::Waiting(message) => wait(&mut self.waiting, message),
            Note::Done { message } => self.waiting.retain(|waiting| waiting.id != message),
        }
    }

    fn book(&mut self, id: Box<str>, change: impl FnOnce(&mut Book)) {
        let book = self.tenants.entry(UsageKey::of(&id)).or_default();
        book.id = id;
        change(book);
    }

    /// All of it, as a checkpoint.
    pub(super) fn checkpoint(&self) -> Vec<u8> {
        let mut bytes = note_frame(&Note::Begin { format: FORMAT, through: self.through });
        let mut add = |note: Note| bytes.extend(note_frame(&note));
        for book in self.tenants.values() {
            let Book { id, totals, balances, grants } = book.clone();
            add(Note::Book { id, totals, balances, grants });
        }
        self.acts.iter().cloned().for_each(|act| add(Note::Acted(act)));
        self.waiting.iter().cloned().for_each(|message| add(Note::Waiting(message)));
        add(Note::End);
        bytes
    }
}

/// Keeps what an operator did.
pub(super) fn keep_act(acts: &mut VecDeque<Act>, act: Act) {
    if acts.len() >= ACTS_MAX {
        acts.pop_front();
    }
    acts.push_back(act);
}

/// Keeps a message until it has arrived.
pub(super) fn wait(waiting: &mut VecDeque<Message>, message: Message) {
    if waiting.iter().any(|known| known.id == message.id) {
        return;
    }
    if waiting.len() >= WAITING_MAX {
        waiting.pop_front();
    }
    waiting.push_back(message);
}
