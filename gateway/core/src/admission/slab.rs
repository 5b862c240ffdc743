//! Entries with stable places, and lists through them: taking one out of the middle costs the same as at an end, and
//! nothing is allocated while there were as many before.

/// Entries that keep their place until they are taken out.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Option<usize>,
    len: usize,
}

#[derive(Debug)]
enum Slot<T> {
    /// Nobody's; the next free one.
    Free(Option<usize>),
    Used(T),
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: None, len: 0 }
    }
}

impl<T> Slab<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, entry: T) -> usize {
        self.len = self.len.saturating_add(1);
        if let Some(place) = self.free
            && let Some(slot) = self.slots.get_mut(place)
            && let Slot::Free(next) = *slot
        {
            self.free = next;
            *slot = Slot::Used(entry);
            return place;
        }
        self.slots.push(Slot::Used(entry));
        self.slots.len().saturating_sub(1)
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        let slot = self.slots.get_mut(place)?;
        if matches!(slot, Slot::Free(_)) {
            return None;
        }
        let Slot::Used(entry) = core::mem::replace(slot, Slot::Free(self.free)) else { return None };
        self.free = Some(place);
        self.len = self.len.saturating_sub(1);
        Some(entry)
    }

    pub(super) fn get(&self, place: usize) -> Option<&T> {
        match self.slots.get(place)? {
            Slot::Used(entry) => Some(entry),
            Slot::Free(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        match self.slots.get_mut(place)? {
            Slot::Used(entry) => Some(entry),
            Slot::Free(_) => None,
        }
    }
}

/// Where an entry is in a list.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Link {
    before: Option<usize>,
    after: Option<usize>,
}

/// An entry that is in one list at most.
pub(super) trait Linked {
    fn link(&mut self) -> &mut Link;
}

/// A list through the entries of a slab, first in, first out.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct List {
    first: Option<usize>,
    last: Option<usize>,
}

impl List {
    pub(super) fn first(&self) -> Option<usize> {
        self.first
    }

    pub(super) fn push_back<T: Linked>(&mut self, slab: &mut Slab<T>, place: usize) {
        if let Some(entry) = slab.get_mut(place) {
            *entry.link() = Link { before: self.last, after: None };
        }
        match self.last.and_then(|last| slab.get_mut(last)) {
            Some(last) => last.link().after = Some(place),
            None => self.first = Some(place),
        }
        self.last = Some(place);
    }

    /// Takes an entry of this list out of it.
    pub(super) fn remove<T: Linked>(&mut self, slab: &mut Slab<T>, place: usize) {
        let Some(entry) = slab.get_mut(place) else { return };
        let Link { before, after } = core::mem::take(entry.link());
        match before.and_then(|before| slab.get_mut(before)) {
            Some(before) => before.link().after = after,
            None => self.first = after,
        }
        match after.and_then(|after| slab.get_mut(after)) {
            Some(after) => after.link().before = before,
            None => self.last = before,
        }
    }

    /// The entry after one of this list.
    pub(super) fn after<T: Linked>(slab: &mut Slab<T>, place: usize) -> Option<usize> {
        slab.get_mut(place)?.link().after
    }
}
