//! What one connection is used for, planned ahead from the seed: so the same visit can be shown again byte by byte.

use std::fmt::Write as _;

use super::crafted::{Crafted, Place};
use super::dice::Dice;
use super::mark::Mark;
use super::tenants::Sessions;

/// One connection's worth of requests of both tenants.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) http2: bool,
    pub(super) steps: Vec<Step>,
}

/// What is sent at once: one request, or several behind each other (HTTP/1) or beside each other (HTTP/2).
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) requests: Vec<Crafted>,
    pub(super) then: Then,
    /// Where the bytes are cut into two writes.
    pub(super) cut: Option<usize>,
}

/// What the client does after sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Reads every answer and goes on with the connection.
    GoOn,
    /// Reads one answer, asks once more for what nobody refuses, and leaves.
    AskOnceMore,
    /// Leaves without reading.
    Leave,
    /// Leaves when the first bytes of an answer are there.
    LeaveMidway,
    /// Says that no more bytes will follow, and reads what comes.
    HalfClose,
}

/// What the client knows of a request that it sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) mark: Mark,
    pub(super) head_only: bool,
    pub(super) names_other: bool,
}

impl Asked {
    pub(super) fn about(crafted: &Crafted) -> Self {
        Self {
            mark: crafted.mark,
            head_only: crafted.method == "HEAD",
            names_other: crafted.names(crafted.mark.tenant.other()),
        }
    }
}

impl Visit {
    pub(super) fn plan(seed: u64, visit: u64, sessions: &Sessions) -> Self {
        let mut dice = Dice::of(seed, visit);
        let http2 = dice.once_in(5);
        let mut request = 0;
        let mut place = || {
            request += 1;
            Place { visit, request }
        };
        let mut steps = Vec::new();
        for _ in 0..2 + dice.below(12) {
            let count = match dice.below(8) {
                0 => 2 + dice.below(3),
                _ if http2 => 1 + dice.below(4),
                _ => 1,
            };
            let requests = match dice.below(30) {
                0 if !http2 => vec![Crafted::handshake(&mut dice, place(), sessions)],
                _ => (0..count).map(|_| Crafted::roll(&mut dice, place(), sessions)).collect(),
            };
            steps.push(step(&mut dice, requests, http2));
            if !http2 && steps.last().is_some_and(|step| step.then == Then::AskOnceMore) {
                let plain = Crafted::plain(&mut dice, place(), sessions);
                steps.push(Step { requests: vec![plain], then: Then::GoOn, cut: None });
            }
        }
        Self { http2, steps }
    }

    /// All of it as text, to be sent again by hand.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (number, step) in self.steps.iter().enumerate() {
            let how = if self.http2 { "over HTTP/2, shown as HTTP/1" } else { "over HTTP/1.1" };
            let bytes = step.wire();
            let shown = bytes.escape_ascii();
            // Writing to a string does not fail.
            let _infallible =
                writeln!(text, "  {number} {how}, then {:?}, cut {:?}: {shown}", step.then, step.cut);
        }
        text
    }
}

fn step(dice: &mut Dice, requests: Vec<Crafted>, http2: bool) -> Step {
    let clear = requests.iter().all(Crafted::is_clear);
    let unfinished = requests.iter().any(|request| request.framed.unfinished);
    let then = match dice.below(24) {
        // Nobody answers a request that is not whole.
        _ if unfinished && !http2 => Then::Leave,
        0 => Then::Leave,
        1 => Then::LeaveMidway,
        2 if !http2 => Then::HalfClose,
        _ if clear || http2 => Then::GoOn,
        _ => Then::AskOnceMore,
    };
    let mut step = Step { requests, then, cut: None };
    if !http2 && dice.once_in(8) {
        step.cut = Some(dice.below(step.wire().len()));
    }
    step
}

impl Step {
    /// The bytes of HTTP/1.
    pub(super) fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(512);
        self.requests.iter().for_each(|request| request.write(&mut wire));
        wire
    }
}
