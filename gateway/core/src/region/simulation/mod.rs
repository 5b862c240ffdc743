//! Regions that break at random, by seeds, before gateways that lose probes. Tests run some histories, figures a million.

mod asked;
mod dice;
mod fleet;
mod loss;
mod nodes;
mod one;

pub(crate) use dice::Dice;
pub(crate) use loss::Loss;
pub(crate) use nodes::history_of_three;
pub(crate) use one::history_of_one;
#[cfg(test)]
pub(crate) use one::history_of_one_that_may_not_look;

use core::time::Duration;
use fleetgate_core::health::{Cadence, Damping};
use fleetgate_core::region::{FailoverPolicy, Judge, RegionState};

/// The damping of the default config.
pub(crate) const DAMPING: Damping = Damping { fall: 3, rise: 2 };
/// How the default config asks.
const CADENCE: Cadence = Cadence {
    interval: Duration::from_secs(1),
    fast_interval: Duration::from_millis(500),
    timeout: Duration::from_millis(2_500),
    damping: DAMPING,
};
/// Between two runs of a probe, and between two steps of a world.
const STEP: Duration = Duration::from_secs(1);

/// A judge of two regions with two backends each, the second of which stands by.
pub(crate) fn judge() -> Judge {
    let home = RegionState { backends_up: 2, backends: 2, ..RegionState::default() };
    Judge::new(FailoverPolicy::default(), vec![home, RegionState { standby: true, ..home }], None)
}
