//! A window that ends now, in sixty pieces.

use super::calendar::{Period, Span};

/// Pieces of a window: what is counted may be off by one of them.
pub(super) const PIECES: usize = 60;

/// Totals at the beginnings of the last sixty pieces of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rolling {
    /// Number of the piece that is under way, from 1970.
    piece: i64,
    marks: Box<[u64; PIECES]>,
}

impl Rolling {
    /// A window that began at a total.
    #[must_use]
    pub(super) fn new(span: Span, now: i64, total: u64) -> Self {
        Self { piece: piece_of(span, now), marks: Box::new([total; PIECES]) }
    }

    /// Moves on to the piece of `now`. A clock that goes back changes nothing.
    pub(super) fn roll(&mut self, span: Span, now: i64, total: u64) {
        let behind = piece_of(span, now).saturating_sub(self.piece);
        for _ in 0..behind.clamp(0, i64::try_from(PIECES).unwrap_or(i64::MAX)) {
            self.marks.rotate_left(1);
            if let Some(last) = self.marks.last_mut() {
                *last = total;
            }
        }
        self.piece = self.piece.max(piece_of(span, now));
    }

    /// The total at which the window begins.
    #[must_use]
    pub(super) fn base(&self) -> u64 {
        self.marks.first().copied().unwrap_or(0)
    }

    /// Forgets what was counted.
    pub(super) fn reset(&mut self, total: u64) {
        self.marks.fill(total);
    }

    /// The piece that is under way, with its place among all windows of the length as id.
    #[must_use]
    pub(super) fn period(&self, span: Span) -> Period {
        let length = piece_seconds(span);
        let starts = self.piece.saturating_mul(length);
        let id = format!("{}-{}", span.as_str(), starts.div_euclid(span.nominal_seconds()));
        Period { id: id.into(), starts, ends: starts.saturating_add(length) }
    }

    /// Number of the piece that is under way and the totals, the oldest first.
    #[must_use]
    pub(super) fn marks(&self) -> (i64, &[u64]) {
        (self.piece, self.marks.as_slice())
    }

    /// A window as [`Self::marks`] wrote it; `None` when that is no window.
    #[must_use]
    pub(super) fn from_marks(piece: i64, marks: &[u64]) -> Option<Self> {
        Some(Self { piece, marks: Box::new(marks.try_into().ok()?) })
    }
}

const fn piece_seconds(span: Span) -> i64 {
    // Every length is a multiple of a minute.
    span.nominal_seconds() / 60
}

fn piece_of(span: Span, now: i64) -> i64 {
    now.div_euclid(piece_seconds(span))
}
