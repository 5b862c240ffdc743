//! The same fleet for everybody: numbered tenants, one host and one database each, and a stand-in Odoo behind them.

use crate::Failure;
use fleetgate_stub::{StubOdoo, StubOptions};

/// Domain below which the tenants have their hosts.
pub(crate) const DOMAIN: &str = "fleet.example";

/// Name of a tenant, which is also its database and the first label of its host.
pub(crate) fn name(tenant: u32) -> String {
    format!("t{tenant:06}")
}

/// Host of a tenant.
pub(crate) fn host(tenant: u32) -> String {
    format!("{}.{DOMAIN}", name(tenant))
}

/// How the backend treats connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workers {
    /// As Odoo with `--workers`: one request a connection.
    Prefork,
    /// As Odoo without: connections are kept.
    Threaded,
}

/// Starts a backend that has the databases of so many tenants.
pub(crate) async fn backend(tenants: u32, workers: Workers) -> Result<StubOdoo, Failure> {
    let options = StubOptions { received_max: 0, ..StubOptions::new("stub", (0..tenants).map(name)) };
    let options = match workers {
        Workers::Prefork => options,
        Workers::Threaded => options.threaded(),
    };
    Ok(StubOdoo::start(options).await?)
}

/// Numbers that look random and are the same in every run (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Starts a series.
    pub(crate) const fn new(series: u64) -> Self {
        Self(series)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = (mixed ^ (mixed >> 31)) >> 32;
        u32::try_from((high * u64::from(end)) >> 32).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_reach_every_number_and_none_beyond() {
        let mut dice = Dice::new(1);
        let mut seen = [0_u32; 10];
        for _ in 0..1_000 {
            seen[usize::try_from(dice.below(10)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&times| times > 50), "{seen:?}");
    }
}
