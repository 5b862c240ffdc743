//! Quotas as written.

use super::collection::{Choice, List, OneOf};
use super::size::Size;
use super::value::{Count, Whole, text_schema, whole_number};
use crate::config::read::{Read, Reader, Text, section};
use crate::config::yaml::Node;
use crate::http_target::HttpTarget;
use crate::quota::{Calendar, QuotaKey, Stage};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// Units of a meter that there are not so many of.
pub(in crate::config) type QuotaCount = Count<1, 4_000_000_000>;

/// Most thresholds of a set of quotas.
const THRESHOLDS_MAX: usize = 16;

section! {
    /// [What a tenant may use up in a period](quotas.md). A tenant's own keys count more than those of its plan, key by key.
    /// A quota that is written nowhere does not exist.
    pub(in crate::config) struct QuotasEntry {
        /// Requests.
        #[schemars(extend("x-default" = "no quota"))]
        requests_per_hour: Option<Amount> = null,
        /// Requests.
        #[schemars(extend("x-default" = "no quota"))]
        requests_per_day: Option<Amount> = null,
        /// Requests.
        #[schemars(extend("x-default" = "no quota"))]
        requests_per_month: Option<Amount> = null,
        /// Bytes of bodies sent to clients.
        #[schemars(extend("x-default" = "no quota"))]
        egress_per_hour: Option<Size<1, { 1 << 50 }>> = null,
        /// Bytes of bodies sent to clients.
        #[schemars(extend("x-default" = "no quota"))]
        egress_per_day: Option<Size<1, { 1 << 50 }>> = null,
        /// Bytes of bodies sent to clients.
        #[schemars(extend("x-default" = "no quota"))]
        egress_per_month: Option<Size<1, { 1 << 50 }>> = null,
        /// Seconds for which workers of Odoo are held.
        #[schemars(extend("x-default" = "no quota"))]
        worker_seconds_per_hour: Option<QuotaCount> = null,
        /// Seconds for which workers of Odoo are held.
        #[schemars(extend("x-default" = "no quota"))]
        worker_seconds_per_day: Option<QuotaCount> = null,
        /// Seconds for which workers of Odoo are held.
        #[schemars(extend("x-default" = "no quota"))]
        worker_seconds_per_month: Option<QuotaCount> = null,
        /// Minutes for which websockets are open.
        #[schemars(extend("x-default" = "no quota"))]
        websocket_minutes_per_hour: Option<QuotaCount> = null,
        /// Minutes for which websockets are open.
        #[schemars(extend("x-default" = "no quota"))]
        websocket_minutes_per_day: Option<QuotaCount> = null,
        /// Minutes for which websockets are open.
        #[schemars(extend("x-default" = "no quota"))]
        websocket_minutes_per_month: Option<QuotaCount> = null,
        /// Time zone in which hours, days and months begin. A change counts from the next period.
        #[schemars(extend("x-default" = "`UTC`"))]
        time_zone: Option<ZoneName> = null,
        /// Day on which months begin; in a month that is too short, its last.
        #[schemars(extend("x-default" = "1"))]
        month_starts_on: Option<Whole<1, 31>> = null,
        /// Counts the last 60 minutes, 24 hours or 30 days, in steps of a sixtieth, instead of what the calendar says.
        #[schemars(extend("x-default" = "`false`"))]
        rolling: Option<bool> = null,
        /// What happens as a quota is used up.
        #[schemars(extend("x-default" = "`warn` at 50, 80 and 90, `shed` at 100, `stop` at 120"))]
        thresholds: Option<List<ThresholdEntry, 1, THRESHOLDS_MAX>> = null,
        /// Percent of a quota that is added to the next period when it was not used.
        #[schemars(extend("x-default" = "0"))]
        carry_over_percent: Option<Whole<0, 100>> = null,
        /// Percent that is left of `requests_per_second` and `burst` from a threshold with `slow` on.
        #[schemars(extend("x-default" = "25"))]
        slow_to_percent: Option<Whole<1, 99>> = null,
    }
}

section! {
    /// A part of a quota at which something happens.
    pub(in crate::config) struct ThresholdEntry {
        /// Percent of the quota.
        percent: Whole<1, 1000>,
        /// What happens from there on until the period ends; each includes those before it. `warn`: an event in the
        /// log, and a message to `quota_webhook`, once a period. `slow`: the tenant's rate is lowered. `shed`: programs, webhooks of other
        /// systems and reports are refused. `stop`: everything is, but static files and what a login needs.
        then: OneOf<Stage>,
        /// The one quota that the threshold is for.
        #[schemars(extend("x-default" = "all quotas"))]
        only: Option<OneOf<QuotaKey>> = null,
    }
}

section! {
    /// Who is told, as [about thresholds](quotas.md#webhook): a `POST` with JSON and a signature, again until it is answered with a
    /// status of success, for a day.
    pub(in crate::config) struct WebhookEntry {
        /// Where to. No redirect is followed, and nothing is sent to link-local addresses.
        url: Url,
        /// What messages are signed with.
        secret: super::SecretText,
    }
}

impl Choice for Stage {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("warn", Self::Warned), ("slow", Self::Slowed), ("shed", Self::Shed), ("stop", Self::Stopped)];
}

impl Choice for QuotaKey {
    const CHOICES: &'static [(&'static str, Self)] = &{
        let [a, b, c, d, e, f, g, h, i, j, k, l] = Self::ALL;
        [
            (a.as_str(), a),
            (b.as_str(), b),
            (c.as_str(), c),
            (d.as_str(), d),
            (e.as_str(), e),
            (f.as_str(), f),
            (g.as_str(), g),
            (h.as_str(), h),
            (i.as_str(), i),
            (j.as_str(), j),
            (k.as_str(), k),
            (l.as_str(), l),
        ]
    };
}

/// A number of things that there may be very many of.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Amount(pub(in crate::config) u64);

/// Largest amount.
const AMOUNT_MAX: u64 = 1_000_000_000_000;

impl Read for Amount {
    fn expected() -> Cow<'static, str> {
        format!("a whole number from 1 to {AMOUNT_MAX}").into()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        whole_number(node, reader, 1..=AMOUNT_MAX, Self::expected).map(Self)
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        super::value::schema_of::<Self>(
            json_schema!({ "type": "integer", "minimum": 1, "maximum": AMOUNT_MAX }),
        )
    }
}

/// A time zone.
#[derive(Debug)]
pub(in crate::config) struct ZoneName(pub(in crate::config) Box<str>);

impl Text for ZoneName {
    fn expected() -> Cow<'static, str> {
        "a time zone of the IANA database, such as `Europe/Paris`, `America/New_York` or `UTC`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Calendar::new(text, 1)
            .map(|zone| Self(zone.zone().into()))
            .ok_or_else(|| "there is no such time zone".into())
    }
}

/// A place to send messages to.
#[derive(Debug)]
pub(in crate::config) struct Url(pub(in crate::config) HttpTarget);

impl Text for Url {
    fn expected() -> Cow<'static, str> {
        "a URL such as `https://billing.example.com/fleetgate`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        HttpTarget::parse(text).map(Self).map_err(str::to_owned)
    }
}

text_schema! {
    ZoneName;
    Url;
}
