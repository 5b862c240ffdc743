//! Plans and limits as written: every key may be left out, and what is left out is not limited.

use super::value::Count;
use crate::config::read::{At, section};

section! {
    /// What a tenant may use. A plan names a set of limits, and what a tenant writes itself counts more, key by key. What is
    /// written nowhere is not limited.
    pub(in crate::config) struct LimitsEntry {
        /// Requests a second of the tenant, on average. Websockets are counted apart.
        #[schemars(extend("x-default" = "no limit"))]
        requests_per_second: Option<Count<1, 1_000_000>> = null,
        /// Requests at once by a tenant that was idle. Goes with `requests_per_second`.
        #[schemars(extend("x-default" = "`requests_per_second`"))]
        burst: Option<At<Count<1, 100_000_000>>> = null,
        /// Requests in flight at once of the tenant.
        #[schemars(extend("x-default" = "no limit"))]
        concurrent_requests: Option<Count<1, 1_000_000>> = null,
        /// Open websockets of the tenant.
        #[schemars(extend("x-default" = "no limit"))]
        websockets: Option<Count<1, 1_000_000>> = null,
    }
}
