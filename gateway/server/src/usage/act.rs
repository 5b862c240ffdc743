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
    },
}

impl Deed {
    /// Id of a grant.
    pub(super) fn grant_id(&self) -> Option<&str> {
        match self {
            Self::Grant { id, .. } => Some(id),
            Self::Reset { .. } => None,
        }
    }
}
