//! The lines a process writes, kept in bounded memory for tests to search and to wait on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::wait::wait_for;

/// Older lines are forgotten, and counted.
const LINES_MAX: usize = 100_000;

/// The latest 100,000 lines of one output of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    forgotten: usize,
}

impl Lines {
    /// Reads an output to its end in the background.
    pub fn follow(output: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let lines = Self::default();
        let kept = lines.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line).await, Ok(1..)) {
                kept.add(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
        lines
    }

    fn add(&self, line: String) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.lines.len() >= LINES_MAX {
            kept.lines.pop_front();
            kept.forgotten += 1;
        }
        kept.lines.push_back(line);
    }

    /// Every line kept, oldest first.
    pub fn all(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    /// How many lines there were since the start.
    pub fn count(&self) -> usize {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.forgotten + kept.lines.len()
    }

    /// Every line that is a JSON object, oldest first.
    pub fn events(&self) -> Vec<Value> {
        let events = self.all().into_iter().filter_map(|line| serde_json::from_str(&line).ok());
        events.filter(Value::is_object).collect()
    }

    /// The first JSON event that fits, once there is one; panics with every line if there is none in time.
    pub async fn event(&self, what: &str, deadline: Duration, fits: impl Fn(&Value) -> bool) -> Value {
        let found = self.events_when(deadline, |events| events.iter().any(&fits)).await;
        match found.into_iter().find(fits) {
            Some(event) => event,
            None => panic!("no event within {deadline:?}: {what}\n{}", self.text()),
        }
    }

    /// Waits until a line contains a text.
    pub async fn wait_for_text(&self, text: &str, deadline: Duration) {
        let what = format!("a line with `{text}`");
        wait_for(&what, deadline, async || self.all().iter().any(|line| line.contains(text))).await;
    }

    /// All lines as one text.
    pub fn text(&self) -> String {
        self.all().join("\n")
    }

    async fn events_when(&self, deadline: Duration, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let end = tokio::time::Instant::now() + deadline;
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let mut seen = usize::MAX;
        loop {
            ticks.tick().await;
            let count = self.count();
            let over = tokio::time::Instant::now() >= end;
            // Parsing again is only worth it when there is a new line.
            if count != seen || over {
                seen = count;
                let events = self.events();
                if over || enough(&events) {
                    return events;
                }
            }
        }
    }
}
