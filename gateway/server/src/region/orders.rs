//! What operators decide: in which region a pool is held, and which backends are taken out. Kept over restarts.

use super::check::consequence;
use super::memory::{Draining, Pin, Remembered};
use super::pool::PoolWatch;
use super::report::{self, PoolReport};
use super::watch::RegionWatch;
use fleetgate_core::region::{NotReady, RegionIndex, RegionVerdict, Route};
use std::sync::Arc;

/// Who decided, why, and how it is meant.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When a pin ends by itself.
    pub expires: Option<jiff::Timestamp>,
    /// Whether it is only said what would follow.
    pub dry_run: bool,
    /// Whether a pool that serves may be held where nobody could save anything, or something would be missing.
    pub force: bool,
}

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The pool is not watched, or there is none.
    #[error("there is no pool `{0}` whose regions are watched")]
    Pool(String),
    /// The pool has no such region.
    #[error("the pool has no region `{0}`")]
    Region(String),
    /// No pool that is watched has the backend.
    #[error("no pool that is watched has a backend whose HTTP port is `{0}`; `fleetgate regions` lists them")]
    Backend(String),
    /// It would end before it began.
    #[error("nothing was changed: {0} is over already")]
    Over(jiff::Timestamp),
    /// Users would meet something there that they do not meet now.
    #[error("nothing was changed: {why}. `--force` holds the pool in `{region}` nevertheless")]
    Unready {
        /// Region.
        region: String,
        /// What it lacks, and what users would meet.
        why: String,
    },
}

impl RegionWatch {
    /// Holds a pool in a region, or lets it go. What is known of the pool then, or would be.
    ///
    /// # Errors
    /// [`OrderError`] for a pool or region that is not there, and for a region that could not serve.
    pub async fn pin(
        &self,
        pool: &str,
        region: Option<&str>,
        order: &Order,
    ) -> Result<Vec<PoolReport>, OrderError> {
        let watched = self.of(pool).ok_or_else(|| OrderError::Pool(pool.to_owned()))?;
        let place = |name: &str| {
            let found = watched.pool.regions.iter().position(|region| *region.name == *name);
            found.ok_or_else(|| OrderError::Region(name.to_owned()))
        };
        let place = region.map(place).transpose()?;
        let pin = region.map(|region| Pin {
            region: region.to_owned(),
            author: order.author.clone(),
            reason: order.reason.clone(),
            since: jiff::Timestamp::now(),
            expires: order.expires,
        });
        if let Some(over) = order.expires.filter(|expires| *expires <= jiff::Timestamp::now()) {
            return Err(OrderError::Over(over));
        }
        if order.dry_run {
            let remembered = Remembered { pin, ..self.around.memory.of(pool) };
            return Ok(vec![report::if_pinned(&watched, place, &remembered)]);
        }
        if let (Some(place), false) = (place, order.force) {
            may_be_pinned(&watched, place)?;
        }
        self.remember(pool, |remembered| remembered.pin = pin).await;
        let (Order { author, reason, .. }, region) = (order, region.unwrap_or("none"));
        tracing::warn!(pool, region, author, reason, "an operator pinned a pool");
        watched.seen().judge.pin(place);
        watched.conclude();
        Ok(self.report())
    }

    /// Lets pools go whose pins are over.
    pub(super) async fn end_expired_pins(&self) {
        let now = jiff::Timestamp::now();
        for pool in self.around.memory.with_expired_pins(now) {
            // Somebody may have pinned it anew since.
            self.remember(&pool, move |known| known.pin = known.pin.take().filter(|pin| !pin.is_over(now)))
                .await;
            let watched = self.of(&pool).filter(|_| self.around.memory.of(&pool).pin.is_none());
            tracing::warn!(pool, "the time of a pin is over");
            if let Some(watched) = watched {
                watched.seen().judge.pin(None);
                watched.conclude();
            }
        }
    }

    /// Takes a backend out of all pools, or back in: it gets no new requests, and its websockets move elsewhere. What is
    /// known of those pools then, or would be.
    ///
    /// # Errors
    /// [`OrderError`] for a backend that is not there.
    pub async fn drain(
        &self,
        backend: &str,
        draining: bool,
        order: &Order,
    ) -> Result<Vec<PoolReport>, OrderError> {
        let known = |pool: &PoolWatch| {
            let mut backends = pool.backends.iter().flatten();
            backends.any(|state| state.http.address.to_string() == backend)
                || self.around.memory.of(&pool.pool.name).draining.contains_key(backend)
        };
        let pools: Vec<_> = self.watched().into_iter().filter(|pool| known(pool)).collect();
        if pools.is_empty() {
            return Err(OrderError::Backend(backend.to_owned()));
        }
        let Order { author, reason, dry_run, .. } = order.clone();
        let note = draining.then(|| Draining { author, reason, since: jiff::Timestamp::now() });
        if dry_run {
            let would = |pool: &Arc<PoolWatch>| {
                let mut remembered = self.around.memory.of(&pool.pool.name);
                remembered.drain(backend, note.clone());
                report::if_drained(pool, backend, draining, &remembered)
            };
            return Ok(pools.iter().map(would).collect());
        }
        for pool in pools {
            let (address, note) = (backend.to_owned(), note.clone());
            self.remember(&pool.pool.name, move |remembered| remembered.drain(&address, note)).await;
            // The one that watches the pool now: one that follows reads the memory.
            if let Some(watched) = self.of(&pool.pool.name) {
                watched.drain(backend, draining);
            }
        }
        let Order { author, reason, .. } = order;
        tracing::warn!(backend, draining, author, reason, "an operator decided about a backend");
        Ok(self.report())
    }

    async fn remember(&self, pool: &str, change: impl FnOnce(&mut Remembered) + Send + 'static) {
        let (memory, name) = (Arc::clone(&self.around.memory), pool.to_owned());
        if tokio::task::spawn_blocking(move || memory.remember(&name, change)).await.is_err() {
            tracing::error!(pool, "what an operator decided could not be kept: a restart forgets it");
        }
    }
}

/// A pool that serves is not taken out of service by a slip, nor moved where something is missing.
fn may_be_pinned(watched: &PoolWatch, region: RegionIndex) -> Result<(), OrderError> {
    let unready = |why| Err(OrderError::Unready { region: watched.region_name(region).to_owned(), why });
    let (judge, route) = watched.outlook(Some(region));
    let lacking = watched.lacking(&watched.seen(), region);
    if !lacking.is_empty() && watched.route() != Route::Serve(region) {
        let words = |(name, said): &(String, String)| format!("`{name}`: {said}; {}", consequence(name));
        let lacks = lacking.iter().map(words).collect::<Vec<_>>().join("; ");
        return unready(format!("{} is not ready: {lacks}", watched.region_name(region)));
    }
    let why = match (judge.verdict(region), route) {
        _ if !matches!(watched.route(), Route::Serve(_)) => return Ok(()),
        (Some(RegionVerdict::NotReady(why)), _) => NotReady::as_str(why),
        (Some(RegionVerdict::Down), _) => "nothing there answers",
        (_, Route::Serve(_) | Route::Agreeing(_) | Route::Isolated) => return Ok(()),
        (_, Route::Unwritable | Route::Fenced(_)) => "its database is a standby that nobody has promoted",
    };
    unready(format!("nobody could save anything: {why}"))
}
