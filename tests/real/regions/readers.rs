//! People who look at pages all the time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fleetgate_tests::Request;
use tokio::task::JoinSet;

/// Readers of both tenants, until they are told to stop.
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    read: Arc<AtomicUsize>,
    tasks: JoinSet<Vec<String>>,
}

impl Readers {
    pub(crate) fn start(gateway: SocketAddr, count: usize) -> Self {
        let (stop, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (stop, read) = (Arc::clone(&stop), Arc::clone(&read));
            let host = ["acme.example.com", "globex.example.com"][number % 2];
            tasks.spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match Request::get(host, "/web/login").try_send(gateway).await {
                        Ok(answer) if answer.status == 200 && answer.text().contains("csrf_token") => {}
                        Ok(answer) => failed.push(format!("{} {}", answer.status, answer.text())),
                        Err(error) => failed.push(error.to_string()),
                    }
                    read.fetch_add(1, Ordering::Relaxed);
                }
                failed
            });
        }
        Self { stop, read, tasks }
    }

    /// Pages asked for so far.
    pub(crate) fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }

    /// How many pages were asked for, and those that did not come.
    pub(crate) async fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.tasks.join_all().await.concat();
        (self.read.load(Ordering::Relaxed), failed)
    }
}
