//! Places that are held and given back.

use fleetgate_core::traffic::TrafficClass;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many hold a place now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU32);

impl Gauge {
    /// Places held now.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self, max: u32) -> bool {
        let add = |held: u32| held.checked_add(1).filter(|held| *held <= max);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceFor {
    /// A request in flight.
    Request,
    /// A request in flight of a class.
    Class(TrafficClass),
    /// An open websocket.
    Websocket,
    /// A request that waits for its pool to have a region.
    Hold,
}

/// Who has places to give.
pub trait HasPlaces {
    /// The gauge of one kind of place. `None`: there are no such places.
    fn places(&self, of: PlaceFor) -> Option<&Gauge>;
}

/// A place of something shared, given back when dropped.
#[derive(Debug)]
pub struct PlaceLease<T: HasPlaces> {
    owner: Arc<T>,
    of: PlaceFor,
}

impl<T: HasPlaces> PlaceLease<T> {
    /// Takes a place, if fewer than `max` are held.
    #[must_use]
    pub fn take(owner: &Arc<T>, of: PlaceFor, max: u32) -> Option<Self> {
        owner.places(of)?.take(max).then(|| Self { owner: Arc::clone(owner), of })
    }
}

impl<T: HasPlaces> Drop for PlaceLease<T> {
    fn drop(&mut self) {
        if let Some(gauge) = self.owner.places(self.of) {
            gauge.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl HasPlaces for Gauge {
        fn places(&self, _: PlaceFor) -> Option<&Gauge> {
            Some(self)
        }
    }

    #[test]
    fn places_are_never_more_than_allowed_and_all_come_back() {
        let gauge = Arc::new(Gauge::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let lease = PlaceLease::take(&gauge, PlaceFor::Request, 3);
                        assert!(gauge.held() <= 3);
                        drop(lease);
                    }
                });
            }
        });
        assert_eq!(gauge.held(), 0);
        let all: Vec<_> = (0..3).map(|_| PlaceLease::take(&gauge, PlaceFor::Request, 3)).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(PlaceLease::take(&gauge, PlaceFor::Request, 3).is_none());
    }
}
