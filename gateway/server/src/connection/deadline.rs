//! When what a client owes is overdue.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// The clock of the head of a request. It costs nothing while heads come in one piece.
#[derive(Debug)]
pub(super) struct Deadline {
    after: Duration,
    /// The head that is waited for, by its number on the connection.
    running: Option<(u32, Pin<Box<Sleep>>)>,
}

impl Deadline {
    pub(super) const fn new(after: Duration) -> Self {
        Self { after, running: None }
    }

    /// Whether the rest of a head is overdue. To be asked whenever there is nothing to read.
    pub(super) fn has_passed(&mut self, owed: Option<u32>, cx: &mut Context<'_>) -> bool {
        let Some(number) = owed else {
            self.running = None;
            return false;
        };
        if self.running.as_ref().is_none_or(|(of, _)| *of != number) {
            self.running = Some((number, Box::pin(sleep(self.after))));
        }
        self.running.as_mut().is_some_and(|(_, end)| end.as_mut().poll(cx).is_ready())
    }

    /// What was owed has come.
    pub(super) fn stop(&mut self) {
        self.running = None;
    }
}
