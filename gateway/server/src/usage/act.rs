//! What operators did about quotas.

use fleetgate_core::quota::QuotaKey;
use serde::{Deserialize, Serialize};

/// Something that an operator did, who and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When, RFC 3339.
    pub time: jiff::Timestamp,
    /// Tenant.
    pub tenant: Box<str>,
    /// Who, as they said.
    pub author: Box<str>,
    /// Why, as they said.
    pub reason: Box<str>,
    /// What.
    pub deed: Deed,
}

/// What can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// An amount was added to a quota.
    Grant {
        /// Chosen by who grants: the same id twice is one grant.
        id: Box<str>,
        /// Quota.
        quota: QuotaKey,
        /// Amount, in units of the quota's name.
        amount: u64,
        /// From when on it counts no more.
        expires: jiff::Timestamp,
    },
    /// What was used in the period was forgotten.
    Reset {
        /// Quota.
        quota: QuotaKey,
        /// What had been used, in units of the quota's name.
        used: u64,
        /// The same id twice is one reset; empty: from a version whose resets had none.
        #[serde(default)]
        id: Box<str>,
        /// The period that began anew.
        #[serde(default)]
        period: Box<str>,
    },
}

impl Deed {
    /// Id by which it is done once; `None`: it has none.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        let (Self::Grant { id, .. } | Self::Reset { id, .. }) = self;
        Some(&**id).filter(|id| !id.is_empty())
    }

    /// The quota that it is about.
    #[must_use]
    pub const fn quota(&self) -> QuotaKey {
        let (Self::Grant { quota, .. } | Self::Reset { quota, .. }) = self;
        *quota
    }
}
