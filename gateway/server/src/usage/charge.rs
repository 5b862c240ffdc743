//! What one request or websocket uses, until it is written down.

use super::store::UsageStore;
use super::tenant::{OverQuota, TenantUsage};
use fleetgate_core::quota::{Meter, QuotaTerms, Totals};
use fleetgate_core::traffic::TrafficClass;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that may have left before they are written down, once the answer has begun.
const EGRESS_UNSETTLED_MAX: u64 = 1024 * 1024;

/// The usage of one request or websocket.
///
/// The quota knows at once what is charged. It is written down by [`settle`](Self::settle), which has to return before
/// the first byte of the answer leaves: what a client was told is then never forgotten. The rest is written down when
/// the charge is dropped.
#[derive(Debug)]
pub struct Charge {
    store: Arc<UsageStore>,
    usage: Arc<TenantUsage>,
    unsettled: Totals,
    /// Bytes of the body that were charged.
    egress: u64,
    /// Whether the answer has begun.
    begun: bool,
    /// Whether a backend has got the request, or a part of it.
    reached: bool,
    worker_since: Option<Instant>,
    open_since: Option<Instant>,
}

impl Charge {
    /// Charges a request. One without a class is never refused.
    ///
    /// # Errors
    /// A quota is used up; nothing was charged.
    pub fn request(
        store: &Arc<UsageStore>,
        usage: &Arc<TenantUsage>,
        generation: u64,
        terms: &Arc<QuotaTerms>,
        class: Option<TrafficClass>,
    ) -> Result<Self, OverQuota> {
        usage.admit(store, generation, terms, class)?;
        Ok(Self {
            store: Arc::clone(store),
            usage: Arc::clone(usage),
            unsettled: Totals([1, 0, 0, 0]),
            egress: 0,
            begun: false,
            reached: false,
            worker_since: None,
            open_since: None,
        })
    }

    /// Takes the request back if no backend has heard of it: the gateway answers itself.
    pub fn refund_unless_reached(&mut self) {
        if !self.reached {
            let requests = std::mem::take(self.unsettled.of_mut(Meter::Requests));
            self.usage.take_back(requests);
        }
    }

    /// A backend gets the request.
    pub fn reaches_backend(&mut self) {
        self.reached = true;
    }

    /// A backend gets the request, and a worker of it is held from here on.
    pub fn worker_begins(&mut self) {
        self.reached = true;
        self.worker_since = Some(Instant::now());
    }

    /// The worker is free again.
    pub fn worker_ends(&mut self) {
        if let Some(since) = self.worker_since.take() {
            self.spend(Meter::WorkerTime, milliseconds(since.elapsed()));
        }
    }

    /// Bytes of the answer's body are about to leave; the first time, that it begins.
    pub fn leaves(&mut self, bytes: u64) {
        self.egress = self.egress.saturating_add(bytes);
        self.spend(Meter::Egress, bytes);
        if !std::mem::replace(&mut self.begun, true)
            || self.unsettled.of(Meter::Egress) >= EGRESS_UNSETTLED_MAX
        {
            self.settle();
        }
    }

    /// How many bytes of the body have left in all, when that is known otherwise.
    pub fn left(&mut self, bytes: u64) {
        let more = bytes.saturating_sub(self.egress);
        if more > 0 {
            self.leaves(more);
        }
    }

    /// The websocket opens. Writes down what was charged.
    pub fn websocket_opens(&mut self) {
        self.open_since = Some(Instant::now());
        self.settle();
    }

    /// Charges for how long the websocket has been open since it was last asked, and writes it down.
    pub fn websocket_stays_open(&mut self) {
        if let Some(since) = self.open_since.replace(Instant::now()) {
            self.spend(Meter::WebsocketTime, milliseconds(since.elapsed()));
        }
        self.settle();
    }

    fn spend(&mut self, meter: Meter, amount: u64) {
        if amount > 0 {
            let unsettled = self.unsettled.of_mut(meter);
            *unsettled = unsettled.saturating_add(amount);
            self.usage.spend(&self.store, meter, amount);
        }
    }

    /// Writes down what was charged. It outlives the process from here on.
    pub fn settle(&mut self) {
        let unsettled = std::mem::take(&mut self.unsettled);
        if unsettled != Totals::default() {
            self.store.keep_count(self.usage.key, unsettled);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.worker_ends();
        if self.open_since.is_some() {
            self.websocket_stays_open();
            self.open_since = None;
        }
        self.settle();
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
