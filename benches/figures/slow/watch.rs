//! How long workers have connections in their hands.

use crate::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

/// Looks at a port from a thread of its own, since reading a long table of connections takes its time.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<f64, String>>,
}

impl Watch {
    /// Begins.
    pub(super) fn start(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self { stop, thread: thread::spawn(move || sum(port, &stopped).map_err(|error| error.to_string())) }
    }

    /// Ends: the connections that workers had in their hands, summed over the seconds since the start.
    pub(super) fn end(self) -> Result<f64, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_| "the watch broke down")??)
    }
}

fn sum(port: u16, stop: &AtomicBool) -> Result<f64, Failure> {
    let (mut last, mut sum) = (Instant::now(), 0.0);
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(PAUSE);
        let (count, now) = (accepted(port)?, Instant::now());
        sum += f64::from(count) * (now - last).as_secs_f64();
        last = now;
    }
    Ok(sum)
}

/// Connections to a port that a process has accepted and not closed; `/proc/net/tcp`, see proc_net_tcp(5).
pub(super) fn accepted(port: u16) -> Result<u32, Failure> {
    const LISTENS: &str = "0A";
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let at_port = format!(":{port:04X}");
    let held = table.lines().skip(1).filter(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next().is_some_and(|local| local.ends_with(&at_port));
        let state = fields.nth(1);
        let inode = fields.nth(5);
        local && state.is_some_and(|state| state != LISTENS) && inode.is_some_and(|inode| inode != "0")
    });
    Ok(u32::try_from(held.count())?)
}
