//! What gateways of other sites are told.

use super::admit::Decision;
use super::context::RequestContext;
use fleetgate_core::pool::Pool;
use fleetgate_core::region::{DatabaseWord, FarWord, RegionWord, pool_of_path};
use fleetgate_core::rejection::Rejection;

use crate::snapshot::PoolRoute;

/// Answers the question about a pool.
pub(super) fn word(context: &RequestContext, path: &[u8]) -> Decision {
    let asked = pool_of_path(path);
    let mut pools = context.snapshot.pools();
    let found = pools.find(|(pool, _, _)| Some(&*pool.name) == asked);
    let text = found.and_then(|(pool, route, _)| serde_json::to_string(&seen(pool, route)).ok());
    text.map_or(Decision::Reject(Rejection::UnknownHost), |text| Decision::Tell(text.into()))
}

/// What is seen of the regions whose servers are reached from here: what other gateways say is theirs to tell.
fn seen(pool: &Pool, route: &PoolRoute) -> FarWord {
    let near = pool.regions.iter().zip(route.sights()).filter(|(region, _)| region.gateways.is_none());
    let regions = near.map(|(region, sight)| {
        let database = sight.database.map(|(reading, at)| {
            let age_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
            DatabaseWord::new(reading, age_ms)
        });
        (region.name.to_string(), RegionWord { database, backends_up: sight.backends_up })
    });
    FarWord { regions: regions.collect() }
}
