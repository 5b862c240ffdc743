//! Connections to backends that wait for their next request.
//!
//! Pingora's own pool watches each of them with a task of its own, made anew for every request, and asks the kernel for
//! the address of each before it is used again. Here they only lie in a list. Whether one
//! is still good is seen when it is taken, and every few seconds.

use super::forward::is_single_use;
use pingora::protocols::Stream;
use pingora::upstreams::peer::{HttpPeer, Peer};
use rustc_hash::FxHashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval};

/// Pause between two looks at all of them.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Whom a connection leads to, and who may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    address: SocketAddr,
    group: u64,
}

struct Kept {
    stream: Stream,
    since: Instant,
}

/// Connections without a request.
pub(super) struct KeptConnections {
    idle_max: Duration,
    kept_max: usize,
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    /// The newest is the last of each list.
    by_key: FxHashMap<Key, Vec<Kept>>,
    kept: usize,
}

impl KeptConnections {
    /// Keeps so many at most, each for so long at most without a request. A task looks after them until the value is
    /// dropped.
    pub(super) fn start(kept_max: usize, idle_max: Duration) -> Arc<Self> {
        let kept = Arc::new(Self { idle_max, kept_max, lists: Mutex::default() });
        tokio::spawn(sweep(Arc::downgrade(&kept)));
        kept
    }

    /// Takes the connection to a peer that was used last and is still good.
    pub(super) fn take(&self, peer: &HttpPeer) -> Option<Stream> {
        let key = key(peer)?;
        loop {
            let mut kept = self.lock().pop(key)?;
            if self.is_good(&mut kept) {
                return Some(kept.stream);
            }
        }
    }

    /// Keeps a connection for the next request to its peer, if there is room.
    pub(super) fn put(&self, peer: &HttpPeer, stream: Stream) {
        let Some(key) = key(peer) else { return };
        let mut lists = self.lock();
        if lists.kept < self.kept_max {
            lists.kept = lists.kept.saturating_add(1);
            lists.by_key.entry(key).or_default().push(Kept { stream, since: Instant::now() });
        }
    }

    /// Whether a backend has neither closed a connection nor sent what nobody asked for.
    fn is_good(&self, kept: &mut Kept) -> bool {
        // Without a limit on work, because a read that is put off would look like a connection that is quiet.
        let read = pin!(unconstrained(kept.stream.read_u8()));
        read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
            && kept.since.elapsed() < self.idle_max
    }

    fn look_after_all(&self) {
        let mut lists = self.lock();
        lists.by_key.retain(|_, list| {
            list.retain_mut(|kept| self.is_good(kept));
            !list.is_empty()
        });
        lists.kept = lists.by_key.values().map(Vec::len).sum();
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    fn pop(&mut self, key: Key) -> Option<Kept> {
        let kept = self.by_key.get_mut(&key)?.pop()?;
        self.kept = self.kept.saturating_sub(1);
        Some(kept)
    }
}

/// `None` for a peer whose connections serve one request only.
fn key(peer: &HttpPeer) -> Option<Key> {
    if is_single_use(peer) {
        return None;
    }
    Some(Key { address: *peer.address().as_inet()?, group: peer.group_key })
}

async fn sweep(kept: Weak<KeptConnections>) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(kept) = kept.upgrade() else { return };
        kept.look_after_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora::protocols::l4::stream::Stream as L4Stream;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::yield_now;
    use tokio::time::timeout;

    const DEADLINE: Duration = Duration::from_secs(30);

    struct Backend {
        listener: TcpListener,
        peer: HttpPeer,
    }

    impl Backend {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let peer = HttpPeer::new(listener.local_addr().unwrap(), false, String::new());
            Self { listener, peer }
        }

        async fn connection(&self) -> (Stream, TcpStream) {
            let here = TcpStream::connect(self.listener.local_addr().unwrap()).await.unwrap();
            (Box::new(L4Stream::from(here)), self.listener.accept().await.unwrap().0)
        }

        fn in_group(&self, group_key: u64) -> HttpPeer {
            HttpPeer { group_key, ..self.peer.clone() }
        }
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_its_own_peer_and_group() {
        let (backend, other) = (Backend::start().await, Backend::start().await);
        let kept = KeptConnections::start(8, DEADLINE);
        let (stream, _there) = backend.connection().await;
        kept.put(&backend.in_group(2), stream);
        assert!(kept.take(&other.in_group(2)).is_none());
        assert!(kept.take(&backend.in_group(0)).is_none());
        assert!(kept.take(&backend.in_group(2)).is_some());
        assert!(kept.take(&backend.in_group(2)).is_none());
    }

    #[tokio::test]
    async fn a_connection_for_one_request_is_never_kept() {
        let backend = Backend::start().await;
        let kept = KeptConnections::start(8, DEADLINE);
        let (stream, _there) = backend.connection().await;
        kept.put(&backend.in_group(3), stream);
        assert!(kept.take(&backend.in_group(3)).is_none());
        assert!(kept.take(&backend.in_group(2)).is_none());
    }

    #[tokio::test]
    async fn no_more_are_kept_than_allowed_and_none_for_too_long() {
        let backend = Backend::start().await;
        for (idle_max, expected) in [(DEADLINE, 2), (Duration::ZERO, 0)] {
            let kept = KeptConnections::start(2, idle_max);
            let mut ends = Vec::new();
            for _ in 0..3 {
                let (stream, there) = backend.connection().await;
                kept.put(&backend.peer, stream);
                ends.push(there);
            }
            assert_eq!(std::iter::from_fn(|| kept.take(&backend.peer)).count(), expected);
        }
    }

    #[tokio::test]
    async fn what_a_backend_closed_or_spoke_on_unasked_is_not_used_again() {
        for speaks in [false, true] {
            let backend = Backend::start().await;
            let kept = KeptConnections::start(8, DEADLINE);
            let (stream, mut there) = backend.connection().await;
            kept.put(&backend.peer, stream);
            if speaks {
                there.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            } else {
                there.shutdown().await.unwrap();
            }
            let noticed = timeout(DEADLINE, async {
                while let Some(stream) = kept.take(&backend.peer) {
                    kept.put(&backend.peer, stream);
                    yield_now().await;
                }
            });
            assert!(noticed.await.is_ok(), "{speaks}");
        }
    }

    #[tokio::test]
    async fn what_broke_while_nobody_asked_is_let_go() {
        let backend = Backend::start().await;
        let kept = KeptConnections::start(8, DEADLINE);
        let (stream, there) = backend.connection().await;
        kept.put(&backend.peer, stream);
        drop(there);
        let let_go = timeout(DEADLINE, async {
            while kept.lock().kept > 0 {
                kept.look_after_all();
                yield_now().await;
            }
        });
        assert!(let_go.await.is_ok());
        assert!(kept.lock().by_key.is_empty());
    }
}
