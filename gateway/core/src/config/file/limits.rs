//! Plans and limits as written: every key may be left out, and what is left out is not limited.

use super::QuotasEntry;
use super::size::Size;
use super::value::Count;
use crate::config::read::{At, section};

/// Requests a second.
pub(in crate::config) type PerSecond = Count<1, 1_000_000>;
/// Requests at once by whoever was idle.
pub(in crate::config) type Burst = At<Count<1, 100_000_000>>;
/// Bytes: up to 1 TiB, and not so few that no answer fits.
type Bytes = Size<1_024, 1_099_511_627_776>;

section! {
    /// What a tenant may use. A plan names a set of limits, and what a tenant writes itself counts more, key by key. What is
    /// written nowhere is not limited.
    pub(in crate::config) struct LimitsEntry {
        /// Requests a second of the tenant, on average.
        #[schemars(extend("x-default" = "no limit"))]
        requests_per_second: Option<PerSecond> = null,
        /// Requests at once by a tenant that was idle. Goes with `requests_per_second`.
        #[schemars(extend("x-default" = "`requests_per_second`"))]
        burst: Option<Burst> = null,
        /// Bytes a second of the bodies of answers, on average. They are charged when the answer has ended, so that it
        /// is the next request that waits.
        #[schemars(extend("x-default" = "no limit"))]
        bytes_per_second: Option<Bytes> = null,
        /// Bytes at once to a tenant that was idle. Goes with `bytes_per_second`.
        #[schemars(extend("x-default" = "`bytes_per_second`"))]
        burst_bytes: Option<At<Bytes>> = null,
        /// Requests in flight at once of the tenant.
        #[schemars(extend("x-default" = "no limit"))]
        concurrent_requests: Option<Count<1, 1_000_000>> = null,
        /// Weight of the tenant when it waits for workers beside others: with 200 it gets twice the time of one with 100.
        #[schemars(extend("x-default" = "100"))]
        worker_weight: Option<Count<1, 10_000>> = null,
        /// Open websockets of the tenant.
        #[schemars(extend("x-default" = "no limit"))]
        websockets: Option<Count<1, 1_000_000>> = null,
        /// Limits of single traffic classes, within those of the tenant.
        #[schemars(extend("x-default" = "no limits"))]
        classes: Option<ClassLimitsEntry> = null,
        /// Of each client address of the tenant; of IPv6, of each /64.
        #[schemars(extend("x-default" = "no limit"))]
        client: Option<RateEntry> = null,
        /// Of each session of a browser.
        #[schemars(extend("x-default" = "no limit"))]
        session: Option<RateEntry> = null,
        /// Of each API key, as JSON-2 sends it (`Authorization: Bearer`).
        #[schemars(extend("x-default" = "no limit"))]
        api_key: Option<RateEntry> = null,
        /// Logins of each client address: by the form, by JSON, by XML-RPC and JSON-RPC, and API keys that Odoo refuses.
        #[schemars(extend("x-default" = "no limits"))]
        logins: Option<LoginLimitsEntry> = null,
        /// Requests an hour of each client address that make Odoo send a mail to whomever they name: new passwords,
        /// signups, forms of the website, newsletters.
        #[schemars(extend("x-default" = "no limit"))]
        mails_per_hour: Option<Count<1, 1_000_000>> = null,
        /// What the tenant may use up in an hour, day or month.
        #[schemars(extend("x-default" = "no quotas"))]
        quotas: Option<QuotasEntry> = null,
    }
}

section! {
    /// Limits per traffic class.
    pub(in crate::config) struct ClassLimitsEntry {
        /// Pages and the calls that a browser makes for them.
        #[schemars(extend("x-default" = "no limits"))]
        page: Option<At<ClassLimitEntry>> = null,
        /// XML-RPC, JSON-RPC, JSON-2.
        #[schemars(extend("x-default" = "no limits"))]
        rpc: Option<At<ClassLimitEntry>> = null,
        /// Files that are the same for everybody.
        #[schemars(extend("x-default" = "no limits"))]
        r#static: Option<At<ClassLimitEntry>> = null,
        /// Printing, exports, imports.
        #[schemars(extend("x-default" = "no limits"))]
        report: Option<At<ClassLimitEntry>> = null,
        /// The bus, 16.0 and later. Open websockets have `websockets`.
        #[schemars(extend("x-default" = "no limits"))]
        websocket: Option<At<ClassLimitEntry>> = null,
        /// The bus, 14.0 and 15.0.
        #[schemars(extend("x-default" = "no limits"))]
        longpolling: Option<At<ClassLimitEntry>> = null,
        /// Webhooks of other companies' systems.
        #[schemars(extend("x-default" = "no limits"))]
        integration: Option<At<ClassLimitEntry>> = null,
    }
}

section! {
    /// Limits of one traffic class.
    pub(in crate::config) struct ClassLimitEntry {
        /// Requests a second, on average.
        #[schemars(extend("x-default" = "no limit"))]
        requests_per_second: Option<PerSecond> = null,
        /// Requests at once when there were none. Goes with `requests_per_second`.
        #[schemars(extend("x-default" = "`requests_per_second`"))]
        burst: Option<Burst> = null,
        /// Requests in flight at once.
        #[schemars(extend("x-default" = "no limit"))]
        concurrent_requests: Option<Count<1, 1_000_000>> = null,
    }
}

section! {
    /// A rate of requests.
    pub(in crate::config) struct RateEntry {
        /// Requests a second, on average.
        requests_per_second: PerSecond,
        /// Requests at once by whoever was idle.
        #[schemars(extend("x-default" = "`requests_per_second`"))]
        burst: Option<Burst> = null,
    }
}

section! {
    /// Limits of logins, per client address.
    pub(in crate::config) struct LoginLimitsEntry {
        /// Logins that are tried a minute, whatever comes of them.
        #[schemars(extend("x-default" = "no limit"))]
        attempts_per_minute: Option<Count<1, 100_000>> = null,
        /// Logins that fail a minute. When there were as many, the address may try none until some time has passed.
        #[schemars(extend("x-default" = "no limit"))]
        failures_per_minute: Option<Count<1, 100_000>> = null,
    }
}
