//! Where the requests of a pool go now.

use fleetgate_core::region::{RegionIndex, Route};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
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
    /// Ends what stays where it began, such as a websocket, when requests go elsewhere.
    left: Mutex<CancellationToken>,
}

impl PoolRoute {
    /// Requests go to a region.
    #[must_use]
    pub fn to(region: RegionIndex) -> Self {
        Self {
            code: AtomicU16::new(encode(Route::Serve(region))),
            left: Mutex::new(CancellationToken::new()),
        }
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
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *left).cancel();
        }
        changed
    }

    /// Cancelled when requests no longer go where they go now.
    #[must_use]
    pub fn left(&self) -> CancellationToken {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
