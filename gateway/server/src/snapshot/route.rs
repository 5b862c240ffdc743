//! Where the requests of a pool go now.

use crate::limits::{Gauge, HasPlaces, PlaceFor, PlaceLease};
use fleetgate_core::health::DatabaseReading;
use fleetgate_core::region::{Entry, HELD_MAX, RegionIndex, Route, region_of};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Bits of a code that say what is done, above those that say where.
const KIND: u16 = 0xff00;
const SERVE: u16 = 0x0000;
const FENCED: u16 = 0x0100;
const AGREEING: u16 = 0x0200;
const UNWRITABLE: u16 = 0x0300;
const ISOLATED: u16 = 0x0400;

/// The route of a pool. It outlives snapshots: whoever watches the pool's regions sets it, requests read it.
#[derive(Debug)]
pub struct PoolRoute {
    code: AtomicU16,
    last: Mutex<LastChange>,
    /// Requests that wait for a region.
    held: Gauge,
    /// By region.
    sights: Mutex<Vec<RegionSight>>,
}

/// What was last seen of a region, for requests and for gateways of other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionSight {
    /// What its database said, or that it said nothing, and when.
    pub database: Option<(Option<DatabaseReading>, Instant)>,
    /// Backends that serve.
    pub backends_up: u8,
    /// Whether the pool has left it for another database.
    pub left_behind: bool,
}

/// What changes with the route, and is looked at where it has changed.
#[derive(Debug, Default)]
struct LastChange {
    /// Ends what stays where it began, such as a websocket, when requests go elsewhere.
    left: CancellationToken,
    /// When the last region stopped to serve, while none does.
    stopped: Option<Instant>,
}

/// The place of a request that waits for a region.
pub type HeldPlace = PlaceLease<PoolRoute>;

impl HasPlaces for PoolRoute {
    fn places(&self, of: PlaceFor) -> Option<&Gauge> {
        (of == PlaceFor::Hold).then_some(&self.held)
    }
}

impl PoolRoute {
    /// Requests go to a region.
    #[must_use]
    pub fn to(region: RegionIndex) -> Self {
        Self {
            code: AtomicU16::new(encode(Route::Serve(region))),
            last: Mutex::default(),
            held: Gauge::default(),
            sights: Mutex::default(),
        }
    }

    /// Notes what was seen of the regions, in the order of the pool's.
    pub fn show(&self, sights: Vec<RegionSight>) {
        *self.sights.lock().unwrap_or_else(PoisonError::into_inner) = sights;
    }

    /// Whether what is written in a region is part of no history any more.
    #[must_use]
    pub fn has_left_behind(&self, region: RegionIndex) -> bool {
        let sights = || self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        self.get() != Route::Serve(region) && sights().get(region).is_some_and(|sight| sight.left_behind)
    }

    /// What was last seen of the regions; nothing where nobody watches them.
    #[must_use]
    pub fn sights(&self) -> Vec<RegionSight> {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where requests go now.
    #[must_use]
    pub fn get(&self) -> Route {
        let code = self.code.load(Ordering::Acquire);
        let region = usize::from(code & !KIND);
        match code & KIND {
            FENCED => Route::Fenced(region),
            AGREEING => Route::Agreeing(region),
            UNWRITABLE => Route::Unwritable,
            ISOLATED => Route::Isolated,
            _ => Route::Serve(region),
        }
    }

    /// Sends requests elsewhere, all from the next one on. Whether that is a change.
    pub fn set(&self, route: Route) -> bool {
        let changed = self.code.swap(encode(route), Ordering::AcqRel) != encode(route);
        if changed {
            let mut last = self.last();
            last.stopped = match route {
                Route::Serve(_) => None,
                Route::Fenced(_) | Route::Unwritable | Route::Agreeing(_) | Route::Isolated => {
                    Some(last.stopped.unwrap_or_else(Instant::now))
                }
            };
            std::mem::take(&mut last.left).cancel();
        }
        changed
    }

    fn last(&self) -> MutexGuard<'_, LastChange> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The region that takes a request now, without a lock; `reads` says that its method is a safe one.
    #[must_use]
    pub fn open(&self, reads: bool) -> Option<RegionIndex> {
        region_of(self.get(), reads).ok()
    }

    /// What becomes of a request now, and the token that is cancelled when that changes.
    #[must_use]
    pub fn entry(&self, reads: bool, hold: Duration) -> (Entry, CancellationToken) {
        let last = self.last();
        // Between a change and its note here, the token is the one that the note cancels.
        let stopped = last.stopped.map_or(Duration::ZERO, |stopped| stopped.elapsed());
        (self.get().entry(reads, stopped, hold), last.left.clone())
    }

    /// A place to wait; `None` when as many wait as may.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Option<HeldPlace> {
        PlaceLease::take(self, PlaceFor::Hold, HELD_MAX)
    }

    /// Requests that wait now.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held.held()
    }

    /// Cancelled when requests no longer go where they go now.
    #[must_use]
    pub fn left(&self) -> CancellationToken {
        self.last().left.clone()
    }
}

fn encode(route: Route) -> u16 {
    let at = |region: RegionIndex| u16::from(u8::try_from(region).unwrap_or(u8::MAX));
    match route {
        Route::Serve(region) => SERVE | at(region),
        Route::Fenced(region) => FENCED | at(region),
        Route::Agreeing(region) => AGREEING | at(region),
        Route::Unwritable => UNWRITABLE,
        Route::Isolated => ISOLATED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(60);

    #[test]
    fn requests_wait_while_a_pool_has_no_region_and_are_told_when_it_has_one() {
        let route = PoolRoute::to(0);
        assert_eq!(route.entry(false, HOLD).0, Entry::Enter(0));
        route.set(Route::Unwritable);
        let (entry, changed) = route.entry(false, HOLD);
        assert!(matches!(entry, Entry::Hold(left) if left <= HOLD && !left.is_zero()), "{entry:?}");
        route.set(Route::Agreeing(1));
        assert!(changed.is_cancelled());
        assert!(matches!(route.entry(false, HOLD).0, Entry::Hold(_)));
        route.set(Route::Serve(1));
        assert_eq!(route.entry(false, HOLD).0, Entry::Enter(1));
    }

    #[test]
    fn as_many_requests_wait_as_may_and_places_come_back() {
        let route = Arc::new(PoolRoute::to(0));
        let places: Vec<_> = (0..HELD_MAX).map_while(|_| route.hold()).collect();
        assert_eq!((places.len(), route.held()), (1_000, 1_000));
        assert!(route.hold().is_none());
        drop(places);
        assert_eq!(route.held(), 0);
        assert!(route.hold().is_some());
    }

    #[test]
    fn a_route_is_read_as_it_was_set_and_ends_what_was_there() {
        let route = PoolRoute::to(0);
        for next in
            [Route::Fenced(3), Route::Agreeing(1), Route::Unwritable, Route::Isolated, Route::Serve(63)]
        {
            let left = route.left();
            assert!(route.set(next));
            assert_eq!(route.get(), next);
            assert!(left.is_cancelled() && !route.left().is_cancelled());
            assert!(!route.set(next) && !route.left().is_cancelled());
        }
    }
}
