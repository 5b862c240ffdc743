//! Websockets that are open meanwhile. Each message that somebody sends is answered by its own database, or the websocket ends;
//! who was cut off comes back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fleetgate_tests::{DEADLINE, Websocket, wait_for};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::sites::Fleet;

/// Of each tenant, at each gateway.
const HOSTS: [(&str, &str); 2] = [("acme.test", "acme"), ("globex.test", "globex")];
/// Between two messages of one of them, and before it comes back.
const PACE: Duration = Duration::from_millis(50);
/// For an answer, before a client thinks that its websocket is dead.
const PATIENCE: Duration = Duration::from_secs(4);

/// A websocket that was opened.
#[derive(Debug)]
struct Opened {
    gateway: usize,
    begun: Instant,
    server: String,
    /// When the last message was sent that was answered.
    answered: Option<Instant>,
}

/// All clients with websockets.
pub(super) struct Sockets {
    clients: JoinSet<Vec<Opened>>,
    /// At which server each of them was last answered, while it is open.
    at: Vec<Arc<Mutex<Option<String>>>>,
}

impl Sockets {
    pub(super) fn open(fleet: &Fleet, stop: &Arc<AtomicBool>) -> Self {
        let (mut clients, mut at) = (JoinSet::new(), Vec::new());
        for (gateway, node) in fleet.gateways.iter().enumerate() {
            for (host, database) in HOSTS {
                let here = Arc::new(Mutex::new(None));
                at.push(Arc::clone(&here));
                let (address, stop) = (node.address(), Arc::clone(stop));
                clients.spawn(async move {
                    let mut opened = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        let socket =
                            timeout(PATIENCE, Websocket::try_open(address, host, "/websocket", &[])).await;
                        if let Ok(Ok(Ok(mut socket))) = socket
                            && let Some(hello) = heard(&mut socket).await
                        {
                            assert_eq!(hello["database"], database, "{hello}");
                            let server = hello["server"].as_str().unwrap().to_owned();
                            let answered = talk(&mut socket, &server, database, &here, &stop).await;
                            opened.push(Opened { gateway, begun, server, answered });
                        }
                        *here.lock().unwrap() = None;
                        sleep(PACE).await;
                    }
                    opened
                });
            }
        }
        Self { clients, at }
    }

    /// Waits until everybody's messages are answered by one server.
    pub(super) async fn are_all_at(&self, server: &str) {
        wait_for(&format!("all websockets are at {server}"), 3 * DEADLINE, async || {
            self.at.iter().all(|at| at.lock().unwrap().as_deref() == Some(server))
        })
        .await;
    }

    /// None was opened at a database that its gateway had left; the clients have to be told to stop before.
    pub(super) async fn check(self, moved: &[Instant]) {
        let opened: Vec<Opened> = self.clients.join_all().await.into_iter().flatten().collect();
        for opened in &opened {
            let late = opened.server == "paris-1" && opened.begun > moved[opened.gateway];
            assert!(!late, "a websocket was opened at a database that was left: {opened:?}");
        }
        let answered = |server: &str| {
            opened.iter().filter(|opened| opened.server == server && opened.answered.is_some()).count()
        };
        let (paris, dublin) = (answered("paris-1"), answered("dublin-1"));
        eprintln!("{} websockets, {paris} of paris and {dublin} of dublin answered", opened.len());
        assert!(paris > 0 && dublin >= self.at.len(), "hardly any websocket was served");
    }
}

/// The next text; `None` when nothing comes, or the websocket ends.
async fn heard(socket: &mut Websocket) -> Option<Value> {
    let next = async {
        loop {
            match socket.next().await {
                Ok(Some(Message::Text(text))) => return serde_json::from_str(&text).ok(),
                Ok(Some(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    };
    timeout(PATIENCE, next).await.ok().flatten()
}

/// Sends messages until one is not answered. When the last one was sent that was.
async fn talk(
    socket: &mut Websocket,
    server: &str,
    database: &str,
    here: &Mutex<Option<String>>,
    stop: &AtomicBool,
) -> Option<Instant> {
    let mut answered = None;
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (sent, text) = (Instant::now(), format!("message {number}"));
        if socket.send(&text).await.is_err() {
            break;
        }
        let Some(echo) = heard(socket).await else { break };
        assert_eq!((&echo["text"], &echo["database"]), (&text.into(), &database.into()), "{echo}");
        answered = Some(sent);
        *here.lock().unwrap() = Some(server.to_owned());
        sleep(PACE).await;
    }
    answered
}
