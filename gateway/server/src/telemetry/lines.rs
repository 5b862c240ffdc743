//! Lines on their way to an output that may be slow.
//!
//! Whoever has a line appends it to one bounded buffer and goes on; a thread of its own writes what has gathered. It is
//! woken once for many lines, not for each: waking a thread costs more than making a line. When the disk or the reader
//! of a pipe is slow, lines are dropped and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that wait for the writer at most: some ten thousand lines.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes that the buffers keep between two batches.
const KEPT_BYTES: usize = 64 * 1024;
/// For which lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// For the last lines when the process ends; a reader that takes none must not keep it.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes lines.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    closed: bool,
    /// Whether the writer sleeps until it is told of a line.
    idle: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Starts the writer. The guard writes what waits when it is dropped.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(output: impl Write + Send + 'static) -> io::Result<(Self, LinesGuard)> {
        let shared = Arc::new(Shared::default());
        let (done, finished) = sync_channel(1);
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(&of_thread, output, &done))?;
        Ok((Self(Arc::clone(&shared)), LinesGuard { shared, finished }))
    }

    /// Queues a line, which ends with a line feed, or drops it.
    pub fn push(&self, line: &[u8]) {
        let mut queue = self.0.lock();
        if queue.bytes.len().saturating_add(line.len()) > WAITING_BYTES_MAX {
            drop(queue);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes.extend_from_slice(line);
        let wake = std::mem::take(&mut queue.idle);
        drop(queue);
        if wake {
            self.0.ready.notify_one();
        }
    }

    /// Lines that were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

fn write_all(shared: &Shared, mut output: impl Write, done: &SyncSender<()>) {
    let mut batch = Vec::new();
    loop {
        let closed = gather(shared, &mut batch);
        // An output that is gone takes no line; the process serves on without its log.
        if output.write_all(&batch).and_then(|()| output.flush()).is_err() {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        batch.clear();
        batch.shrink_to(KEPT_BYTES);
        if closed {
            // Nobody may wait any more.
            let _nobody = done.try_send(());
            return;
        }
    }
}

/// Waits for lines and takes them; true when they are the last.
fn gather(shared: &Shared, batch: &mut Vec<u8>) -> bool {
    let mut queue = shared.lock();
    while queue.bytes.is_empty() && !queue.closed {
        queue.idle = true;
        queue = shared.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    queue.idle = false;
    let gathered = shared.ready.wait_timeout_while(queue, GATHER, |queue| !queue.closed);
    let (mut queue, _) = gathered.unwrap_or_else(PoisonError::into_inner);
    std::mem::swap(&mut queue.bytes, batch);
    queue.closed
}

/// Writes what waits when it is dropped.
#[derive(Debug)]
pub struct LinesGuard {
    shared: Arc<Shared>,
    finished: Receiver<()>,
}

impl Drop for LinesGuard {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.ready.notify_one();
        // A reader that takes nothing loses the last lines.
        let _written = self.finished.recv_timeout(LAST_LINES_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows what was written, and holds writes while its gate is locked.
    #[derive(Clone, Default)]
    struct Output {
        gate: Arc<Mutex<()>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.gate.lock().unwrap();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_many_threads_arrive_whole_and_all() {
        let output = Output::default();
        let (lines, guard) = Lines::start(output.clone()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let lines = lines.clone();
                scope.spawn(move || {
                    (0..1_000).for_each(|at| lines.push(format!("{thread}:{at}\n").as_bytes()))
                });
            }
        });
        drop(guard);
        let written = String::from_utf8(output.written.lock().unwrap().clone()).unwrap();
        let mut expected: Vec<String> =
            (0..4).flat_map(|thread| (0..1_000).map(move |at| format!("{thread}:{at}"))).collect();
        let mut seen: Vec<&str> = written.lines().collect();
        expected.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, expected);
        assert_eq!(lines.dropped(), 0);
    }

    #[test]
    fn an_output_that_takes_nothing_costs_lines_and_no_memory() {
        let output = Output::default();
        let (lines, guard) = Lines::start(output.clone()).unwrap();
        let held = output.gate.lock().unwrap();
        let line = [b'x'; 1_000];
        // The writer may have taken one batch before it was held.
        for _ in 0..3 * WAITING_BYTES_MAX / line.len() {
            lines.push(&line);
        }
        assert!(lines.dropped() > 0);
        assert!(lines.0.lock().bytes.len() <= WAITING_BYTES_MAX);
        drop(held);
        drop(guard);
    }
}
