//! The part of every tenant's rates that this node has, when several nodes divide them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// All of a rate, in the parts that [`Rate::share`](fleetgate_core::limit::Rate::share) counts in.
pub const WHOLE_SHARE: u32 = 65_536;
/// Tenants that are noted as pressed between two looks, at most. Those beyond are noted the next time.
const PRESSED_MAX: usize = 1_000;

/// What holds for all tenants that have no share of their own.
#[derive(Debug)]
pub struct RateShares {
    /// Whether rates are divided among nodes at all.
    divided: AtomicBool,
    equal: AtomicU32,
    /// Tenants that are near a limit here, since the last look.
    pressed: Mutex<Vec<Arc<str>>>,
}

impl Default for RateShares {
    fn default() -> Self {
        Self {
            divided: AtomicBool::new(false),
            equal: AtomicU32::new(WHOLE_SHARE),
            pressed: Mutex::default(),
        }
    }
}

impl RateShares {
    /// Whether rates are divided among nodes.
    #[must_use]
    pub fn are_divided(&self) -> bool {
        self.divided.load(Ordering::Relaxed)
    }

    /// The share of tenants that have none of their own.
    #[must_use]
    pub fn equal(&self) -> u32 {
        self.equal.load(Ordering::Relaxed)
    }

    /// Divides rates: this node has so many parts of [`WHOLE_SHARE`] of each that nobody said more about.
    pub fn set_equal(&self, parts: u32) {
        self.equal.store(parts.clamp(1, WHOLE_SHARE), Ordering::Relaxed);
        self.divided.store(true, Ordering::Relaxed);
    }

    /// Notes that a tenant is near one of its limits here.
    pub fn press(&self, tenant: &Arc<str>) {
        let mut pressed = self.pressed.lock().unwrap_or_else(PoisonError::into_inner);
        if pressed.len() < PRESSED_MAX {
            pressed.push(Arc::clone(tenant));
        }
    }

    /// Tenants that were noted since the last call.
    #[must_use]
    pub fn take_pressed(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut *self.pressed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
