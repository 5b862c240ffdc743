//! This node's parts of the rates of tenants.
//!
//! All nodes have the same part of the rates of all tenants, until one of them is near a limit somewhere: then its rates
//! are divided by what is asked of each node, and some seconds after nobody was near a limit any more, equally again.

use super::exchange::{ASKS_MAX, Ask, Granted};
use crate::limits::WHOLE_SHARE;
use crate::snapshot::Accounts;
use fleetgate_core::cluster::{Claim, Hold, Part, View};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// Of an equal part, what an idle node keeps: one of so many.
const FLOOR_PARTS: u32 = 64;
/// Beginning of the names of rates in Redis.
const KIND: &str = "rate:";

/// Rates of tenants that are divided by demand.
#[derive(Debug, Default)]
pub(super) struct Rates {
    tenants: FxHashMap<Arc<str>, TenantRates>,
}

#[derive(Debug)]
struct TenantRates {
    part: Part,
    others: Vec<Claim>,
    /// Whether it is near a limit on any node, or was a moment ago.
    divided: bool,
    /// Whether it has its equal part again, and need not be spoken of.
    leaves: bool,
}

impl TenantRates {
    fn of(equal: u32) -> Self {
        Self { part: Part::of(equal), others: Vec::new(), divided: true, leaves: false }
    }

    fn ask(&mut self, tenant: &str, accounts: &Accounts, view: View<'_>) -> Ask {
        let (requests, pressed) =
            accounts.get(tenant).map_or((0, false), |account| account.used().take_demand());
        if pressed {
            (self.divided, self.leaves) = (true, false);
        }
        if self.divided {
            self.part.note_demand(u64::from(requests));
        } else {
            self.part = Part::of(self.part.held());
        }
        let asked = self.part.ask(&View { others: &self.others, ..view });
        Ask {
            name: format!("{KIND}{tenant}"),
            capacity: view.capacity,
            claim_max: view.capacity,
            asked,
            in_use: 0,
            demand: self.part.demand(),
            divide: pressed,
            leaves: self.leaves,
        }
    }

    fn take(&mut self, granted: Granted, may_raise: bool, equal: u32) {
        self.part.take(granted.units, may_raise);
        self.others = granted.others;
        if !self.divided {
            self.part.lower_to(equal);
            self.leaves = self.part.held() >= equal;
        }
    }
}

impl Rates {
    /// Tenants whose rates are divided by demand.
    pub(super) fn len(&self) -> usize {
        self.tenants.len()
    }

    /// Gives up what is too much, and says what this node holds and asks for. `equal` is the part of all other tenants.
    pub(super) fn ask(&mut self, accounts: &Accounts, view: View<'_>, equal: u32) -> Vec<Ask> {
        for tenant in accounts.shares().take_pressed() {
            if self.tenants.len() < ASKS_MAX {
                self.tenants.entry(tenant).or_insert_with(|| TenantRates::of(equal));
            }
        }
        let view = View { capacity: WHOLE_SHARE, floor: equal / FLOOR_PARTS, ..view };
        let asks = self.tenants.iter_mut().map(|(tenant, rates)| rates.ask(tenant, accounts, view)).collect();
        self.publish(accounts);
        asks
    }

    /// Takes what was granted, in the order of what was asked.
    pub(super) fn take(
        &mut self,
        accounts: &Accounts,
        divided: &[String],
        granted: Vec<Granted>,
        may_raise: bool,
        equal: u32,
    ) {
        let divided: FxHashSet<&str> = divided.iter().filter_map(|name| name.strip_prefix(KIND)).collect();
        for ((tenant, rates), granted) in self.tenants.iter_mut().zip(granted) {
            rates.divided = divided.contains(&**tenant);
            if !rates.leaves {
                rates.take(granted, may_raise, equal);
            }
        }
        // Who has just been spoken of for the last time has an equal part again.
        self.tenants.retain(|tenant, rates| {
            let over = rates.leaves && !rates.divided;
            if over && let Some(account) = accounts.get(tenant) {
                account.used().set_share(0);
            }
            !over
        });
        for tenant in divided {
            if self.tenants.len() < ASKS_MAX && !self.tenants.contains_key(tenant) {
                self.tenants.insert(tenant.into(), TenantRates::of(equal));
            }
        }
        self.publish(accounts);
    }

    /// Goes on without Redis.
    pub(super) fn hold(&mut self, accounts: &Accounts, hold: Hold, equal: u32) {
        match hold {
            Hold::Keep => {}
            Hold::AtMostEqual => self.tenants.values_mut().for_each(|rates| rates.part.lower_to(equal)),
            Hold::Equal => {
                for (tenant, _) in self.tenants.drain() {
                    if let Some(account) = accounts.get(&tenant) {
                        account.used().set_share(0);
                    }
                }
            }
        }
        self.publish(accounts);
    }

    fn publish(&self, accounts: &Accounts) {
        for (tenant, rates) in &self.tenants {
            if let Some(account) = accounts.get(tenant) {
                account.used().set_share(rates.part.held().max(1));
            }
        }
    }
}
