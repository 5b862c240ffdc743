//! Quotas of tenants: those of the plan, with the tenant's own changes, and what is wrong with them.

use super::{MAIN, config, problems};
use crate::config::GatewayConfig;
use crate::host::HostKey;
use crate::limit::Limits;
use crate::quota::{Quota, QuotaKey, QuotaTerms, Stage, Threshold};

fn of<'a>(config: &'a GatewayConfig, host: &str) -> Option<&'a QuotaTerms> {
    let (host, _) = HostKey::parse(host.as_bytes()).unwrap();
    let tenant = config.fleet.tenants.resolve(&host).unwrap().tenant;
    Limits::at(&config.fleet.limits, tenant.limits).quotas.as_deref()
}

fn quota(name: &str, limit: u64) -> Quota {
    Quota { key: QuotaKey::parse(name).unwrap(), limit }
}

#[test]
fn a_tenant_has_the_quotas_of_its_plan_with_its_own_changes_key_by_key() {
    let main = format!(
        "{MAIN}plans: {{ small: {{ quotas: {{ requests_per_day: 500000, egress_per_month: 200GiB, \
         worker_seconds_per_hour: 10, time_zone: europe/paris, month_starts_on: 15, carry_over_percent: 20 }} }} }}\n"
    );
    let tenants = "\
- { id: none, hosts: [none.test] }
- { id: small, hosts: [small.test], plan: small }
- { id: more, hosts: [more.test], plan: small, limits: { quotas: { requests_per_day: 7, websocket_minutes_per_day: 2, time_zone: UTC } } }
- { id: zone, hosts: [zone.test], limits: { quotas: { time_zone: Asia/Tokyo } } }
";
    let config = config(&main, &[("t.yaml", tenants)]);
    assert_eq!(of(&config, "none.test"), None);
    assert_eq!(of(&config, "zone.test"), None, "a zone without a quota");
    let small = of(&config, "small.test").unwrap();
    let quotas = [
        quota("requests_per_day", 500_000),
        quota("egress_per_month", 200 << 30),
        quota("worker_seconds_per_hour", 10_000),
    ];
    assert_eq!(small.quotas, quotas);
    assert_eq!((small.calendar.zone(), small.calendar.anchor_day()), ("Europe/Paris", 15));
    assert_eq!((small.carry_over_percent, small.slowed_percent, small.rolling), (20, 25, false));
    let stages: Vec<(u16, Stage)> =
        small.thresholds.iter().map(|threshold| (threshold.percent, threshold.stage)).collect();
    let (warned, shed, stopped) = (Stage::Warned, Stage::Shed, Stage::Stopped);
    assert_eq!(stages, [(50, warned), (80, warned), (90, warned), (100, shed), (120, stopped)]);
    let more = of(&config, "more.test").unwrap();
    assert_eq!((more.quotas[0], more.quotas.len()), (quota("requests_per_day", 7), 4));
    assert_eq!((more.calendar.zone(), more.calendar.anchor_day()), ("UTC", 15));
}

#[test]
fn thresholds_are_sorted_and_may_be_for_one_quota() {
    let main = format!(
        "{MAIN}plans: {{ small: {{ requests_per_second: 5, quotas: {{ requests_per_day: 5, thresholds: [ {{ percent: 100, then: stop, \
         only: requests_per_day }}, {{ percent: 10, then: slow }} ] }} }} }}\n"
    );
    let config = config(&main, &[("t.yaml", "- { id: a, hosts: [a.test], plan: small }\n")]);
    let only = QuotaKey::parse("requests_per_day");
    let expected = [
        Threshold { percent: 10, stage: Stage::Slowed, only: None },
        Threshold { percent: 100, stage: Stage::Stopped, only },
    ];
    assert_eq!(of(&config, "a.test").unwrap().thresholds, expected);
}

#[test]
fn impossible_quotas_are_named_with_what_is_allowed() {
    for (quotas, words) in [
        ("requests_per_day: 0", "plans.small.quotas.requests_per_day: expected a whole number from 1 to"),
        ("requests_per_day: 99999999999999999999", "found `99999999999999999999`"),
        ("requests_per_year: 5", "unknown key `requests_per_year`"),
        ("egress_per_day: 5", "it has no unit"),
        ("time_zone: Europe/Atlantis", "there is no such time zone"),
        ("month_starts_on: 32", "a whole number from 1 to 31"),
        ("carry_over_percent: 101", "a whole number from 0 to 100"),
        ("thresholds: []", "thresholds: the list has 0 entries"),
        ("thresholds: [ { percent: 0, then: warn } ]", "thresholds[0].percent"),
        ("thresholds: [ { percent: 5, then: explode } ]", "`explode` is not allowed here"),
        ("thresholds: [ { percent: 5, then: warn, only: all } ]", "`all` is not allowed here"),
        (
            "requests_per_day: 5, thresholds: [ { percent: 5, then: slow } ]",
            "plans.small.quotas: a threshold says `slow`",
        ),
    ] {
        let all = problems(&format!("{MAIN}plans: {{ small: {{ quotas: {{ {quotas} }} }} }}\n"), &[]);
        assert!(all.iter().any(|problem| problem.contains(words)), "{quotas}: {all:#?}");
    }
}

#[test]
fn a_webhook_has_a_place_and_a_secret() {
    let main = |webhook: &str| format!("{MAIN}quota_webhook: {{ {webhook} }}\n");
    let tenants = [("t.yaml", "- { id: a, hosts: [a.test] }\n")];
    let config = config(&main("url: \"https://a.test/x\", secret: swordfish"), &tenants);
    let webhook = config.fleet.quota_webhook.unwrap();
    assert_eq!(
        (&*webhook.target.host, webhook.target.port, webhook.secret.reveal()),
        ("a.test", 443, "swordfish")
    );
    assert!(!format!("{:?}", webhook.secret).contains("swordfish"));
    for (webhook, words) in [
        ("url: \"http://169.254.169.254/\", secret: s", "link-local"),
        ("url: a.test, secret: s", "quota_webhook.url"),
        ("url: \"https://a.test\"", "the key `secret` is missing"),
        ("url: \"https://a.test\", secret: \"file:gone\"", "quota_webhook.secret"),
    ] {
        let all = problems(&main(webhook), &[]);
        assert!(all.iter().any(|problem| problem.contains(words)), "{webhook}: {all:#?}");
    }
}
