use super::*;

#[test]
fn the_last_request_of_a_quota_is_served_and_the_next_is_not() {
    let terms = terms("requests_per_day", 10, "UTC", 1);
    let mut tenant = Tenant::default();
    let now = at("2026-11-25T12:00:00Z");
    assert_eq!(tenant.spend(&terms, now, 7).stage, Stage::Within);
    assert_eq!(tenant.see(&terms, now).wake_at.of(Meter::Requests), 8);
    assert_eq!(tenant.spend(&terms, now, 2).stage, Stage::Warned);
    let full = tenant.spend(&terms, now, 1);
    assert_eq!(full.stage, Stage::Stopped);
    assert_eq!(
        full.exhausted.unwrap(),
        Exhausted { key: key("requests_per_day"), ends: at("2026-11-26T00:00:00Z") }
    );
    // What was used before the tenth request decides about the tenth.
    let before = Totals([9, 0, 0, 0]);
    assert_eq!(tenant.ledger.stage_at(&terms, before, now), Stage::Warned);
    assert_eq!(tenant.see(&terms, full.valid.1).stage, Stage::Within);
    assert_eq!(tenant.used(key("requests_per_day")), 0);
}

#[test]
fn each_threshold_fires_once_a_period_and_together_when_they_are_jumped_over() {
    let mut terms = terms("egress_per_month", 1_000, "Europe/Paris", 1);
    terms.thresholds = [50, 80, 90, 100, 120].map(|percent| threshold(percent, Stage::Warned)).to_vec();
    let mut tenant = Tenant::default();
    let now = at("2026-11-25T12:00:00Z");
    tenant.spend(&terms, now, 499);
    assert!(tenant.fired.is_empty());
    tenant.spend(&terms, now, 1);
    tenant.spend(&terms, now, 500);
    tenant.see(&terms, now);
    let percents = |tenant: &Tenant| tenant.fired.iter().map(|fired| fired.percent).collect::<Vec<_>>();
    assert_eq!(percents(&tenant), [50, 80, 90, 100]);
    assert_eq!(&*tenant.fired[0].period.id, "2026-11@Europe/Paris#d1");
    assert_eq!((tenant.fired[0].used, tenant.fired[0].limit), (500, 1_000));
    // Neither a restart nor a reset lets one fire again.
    let states: Vec<BalanceRecord> = tenant.ledger.balances.iter().map(Balance::record).collect();
    let text = serde_json::to_string(&states).unwrap();
    let states: Vec<BalanceRecord> = serde_json::from_str(&text).unwrap();
    tenant.ledger.balances =
        states.into_iter().map(|state| Balance::restore(state, &mut tenant.periods)).collect();
    tenant.ledger.balances[0].reset(1_000, 1);
    tenant.spend(&terms, now, 1_000);
    assert_eq!(percents(&tenant), [50, 80, 90, 100]);
    tenant.spend(&terms, now, 200);
    assert_eq!(percents(&tenant), [50, 80, 90, 100, 120]);
    tenant.spend(&terms, at("2026-12-01T00:00:00Z"), 500);
    assert_eq!(percents(&tenant), [50, 80, 90, 100, 120, 50]);
}

#[test]
fn stages_refuse_programs_first_and_files_never() {
    use crate::traffic::TrafficClass;
    let refused = |stage: Stage| {
        TrafficClass::ALL.into_iter().filter(|class| stage.refuses(*class)).collect::<Vec<_>>()
    };
    assert_eq!(refused(Stage::Slowed), []);
    assert_eq!(refused(Stage::Shed), [TrafficClass::Rpc, TrafficClass::Report, TrafficClass::Integration]);
    assert_eq!(refused(Stage::Stopped).len(), TrafficClass::ALL.len() - 1);
    assert!(!Stage::Stopped.refuses(TrafficClass::Static));
}

#[test]
fn a_grant_lifts_the_limit_until_it_is_used_up_or_over() {
    let terms = terms("requests_per_day", 10, "UTC", 1);
    let mut tenant = Tenant::default();
    let (day, next) = (at("2026-11-25T12:00:00Z"), at("2026-11-26T12:00:00Z"));
    assert_eq!(tenant.spend(&terms, day, 10).stage, Stage::Stopped);
    let grant = |id: &str, left, expires: &str| Grant {
        id: id.into(),
        quota: key("requests_per_day"),
        left,
        expires: at(expires),
    };
    tenant.ledger.grants.push(grant("late", 5, "2026-11-30T00:00:00Z"));
    tenant.ledger.grants.push(grant("early", 4, "2026-11-25T18:00:00Z"));
    let lifted = tenant.see(&terms, day);
    assert_eq!((lifted.stage, lifted.valid.1), (Stage::Within, at("2026-11-25T18:00:00Z")));
    tenant.spend(&terms, day, 3);
    // The early one is over before the day is: what was used beyond the plan comes off the other.
    tenant.see(&terms, at("2026-11-25T18:00:00Z"));
    assert_eq!(tenant.ledger.grants.len(), 1);
    tenant.see(&terms, next);
    assert_eq!(tenant.ledger.limit(&terms.quotas[0], next), 12);
    assert_eq!(tenant.ledger.grants[0].left, 2);
}

#[test]
fn what_was_not_used_is_carried_over_once_and_in_part() {
    let mut terms = terms("requests_per_day", 100, "UTC", 1);
    terms.carry_over_percent = 20;
    let mut tenant = Tenant::default();
    let limit_on = |tenant: &mut Tenant, day: &str, spent| {
        let now = at(day);
        tenant.spend(&terms, now, spent);
        tenant.ledger.limit(&terms.quotas[0], now)
    };
    assert_eq!(limit_on(&mut tenant, "2026-11-25T12:00:00Z", 90), 100);
    assert_eq!(limit_on(&mut tenant, "2026-11-26T12:00:00Z", 110), 110);
    assert_eq!(limit_on(&mut tenant, "2026-11-27T12:00:00Z", 0), 100);
    assert_eq!(limit_on(&mut tenant, "2026-11-28T12:00:00Z", 0), 120);
    assert_eq!(limit_on(&mut tenant, "2026-12-24T12:00:00Z", 0), 120);
}

#[test]
fn a_clock_that_jumps_ahead_and_back_neither_loses_nor_frees_anything() {
    let terms = terms("requests_per_day", 100, "UTC", 1);
    let requests = key("requests_per_day");
    let mut tenant = Tenant::default();
    let now = at("2026-11-25T12:00:00Z");
    tenant.spend(&terms, now, 85);
    assert_eq!(tenant.fired.len(), 1);
    tenant.spend(&terms, at("2070-01-01T00:00:00Z"), 5);
    assert_eq!(tenant.used(requests), 5);
    tenant.spend(&terms, now, 6);
    assert_eq!((tenant.used(requests), &*tenant.period(requests).id), (96, "2026-11-25@UTC"));
    assert_eq!(tenant.fired.len(), 1, "80 % was told before the clock went wrong");
    // A correction of a minute around midnight changes no period.
    tenant.spend(&terms, at("2026-11-26T00:00:10Z"), 7);
    tenant.spend(&terms, at("2026-11-25T23:59:10Z"), 7);
    assert_eq!((tenant.used(requests), &*tenant.period(requests).id), (14, "2026-11-26@UTC"));
    // Far into the past, where nothing is known: what was used still counts.
    tenant.spend(&terms, at("2020-01-01T00:00:00Z"), 1);
    assert_eq!((tenant.used(requests), &*tenant.period(requests).id), (15, "2020-01-01@UTC"));
}

#[test]
fn a_changed_limit_forgets_nothing_and_a_quota_that_comes_back_goes_on() {
    let full = terms("requests_per_month", 100, "UTC", 1);
    let mut tenant = Tenant::default();
    let now = at("2026-11-25T12:00:00Z");
    assert_eq!(tenant.spend(&full, now, 100).stage, Stage::Stopped);
    let mut changed = full.clone();
    changed.quotas[0].limit = 1_000;
    assert_eq!(tenant.see(&changed, now).stage, Stage::Within);
    assert_eq!(tenant.used(key("requests_per_month")), 100);
    let none = QuotaTerms::default();
    assert_eq!(tenant.see(&none, now).stage, Stage::Within);
    assert_eq!(tenant.see(&full, now).stage, Stage::Stopped);
    tenant.see(&none, at("2026-12-01T00:00:00Z"));
    assert!(tenant.ledger.balances.is_empty());
}

#[test]
fn impossible_amounts_are_large_and_nothing_else() {
    let terms = terms("egress_per_month", u64::MAX, "UTC", 31);
    let mut tenant = Tenant { totals: Totals([u64::MAX; 4]), ..Tenant::default() };
    assert_eq!(tenant.see(&terms, 0).stage, Stage::Within);
    tenant.ledger.grants.push(Grant {
        id: "all".into(),
        quota: key("egress_per_month"),
        left: u64::MAX,
        expires: i64::MAX,
    });
    assert_eq!(tenant.see(&terms, 0).stage, Stage::Within);
    for now in [i64::MAX - 1, i64::MIN, 0] {
        tenant.see(&terms, now);
    }
}
