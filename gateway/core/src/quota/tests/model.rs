//! The model keeps every single use and adds up those of the period.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Step {
    after: i64,
    amount: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let after = prop_oneof![0_i64..600, 0_i64..100_000, 0_i64..3_000_000, -200_i64..0];
    prop::collection::vec((after, 0_u64..40).prop_map(|(after, amount)| Step { after, amount }), 1..80)
}

fn model_used(uses: &[(i64, u64)], period: &Period) -> u64 {
    uses.iter().filter(|(moment, _)| period.holds(*moment)).map(|(_, amount)| amount).sum()
}

proptest! {
    #[test]
    fn usage_of_a_period_is_the_sum_of_what_was_used_in_it(
        steps in steps(),
        zone in prop::sample::select(vec!["UTC", "Europe/Paris", "Pacific/Chatham", "America/New_York"]),
        anchor in 1_u8..=31,
        name in prop::sample::select(vec!["requests_per_hour", "requests_per_day", "requests_per_month"]),
    ) {
        let terms = terms(name, 100, zone, anchor);
        let mut tenant = Tenant::default();
        let mut uses: Vec<(i64, u64)> = Vec::new();
        let mut now = at("2026-03-28T20:00:00Z");
        let mut newest = i64::MIN;
        for step in steps {
            now = (now + step.after).max(newest.saturating_sub(300));
            // A small step back does not bring a period back, so its uses count for the newest period.
            newest = newest.max(now);
            let assessment = tenant.spend(&terms, now, step.amount);
            uses.push((newest, step.amount));
            let period = terms.calendar.period_at(key(name).span, newest);
            prop_assert_eq!(&tenant.period(key(name)), &period);
            let used = model_used(&uses, &period);
            prop_assert_eq!(tenant.used(key(name)), used);
            let stage = match used {
                0..80 => Stage::Within,
                80..100 => Stage::Warned,
                _ => Stage::Stopped,
            };
            prop_assert_eq!(assessment.stage, stage);
            if used < 100 {
                let next = if used < 80 { 80 } else { 100 };
                prop_assert_eq!(assessment.wake_at.of(Meter::Requests), tenant.totals.of(Meter::Requests) + next - used);
            }
            prop_assert!(assessment.valid.0 <= now && now < assessment.valid.1);
        }
        let mut told: Vec<_> = tenant.fired.iter().map(|fired| (fired.period.id.clone(), fired.percent)).collect();
        let all = told.len();
        told.sort();
        told.dedup();
        prop_assert_eq!(told.len(), all, "a threshold fired twice in a period");
    }

    #[test]
    fn a_window_holds_what_was_used_in_it_but_for_one_of_sixty_pieces(
        steps in steps(),
        name in prop::sample::select(vec!["requests_per_hour", "requests_per_day", "requests_per_month"]),
    ) {
        let mut terms = terms(name, 1_000_000, "UTC", 1);
        terms.rolling = true;
        let length = key(name).span.nominal_seconds();
        let mut tenant = Tenant::default();
        let mut uses: Vec<(i64, u64)> = Vec::new();
        let (mut now, mut newest) = (at("2026-03-28T20:00:00Z"), i64::MIN);
        for step in steps {
            now += step.after;
            newest = newest.max(now);
            tenant.spend(&terms, now, step.amount);
            uses.push((newest, step.amount));
            let since = |seconds: i64| -> u64 {
                uses.iter().filter(|(moment, _)| *moment > newest - seconds).map(|(_, amount)| amount).sum()
            };
            let used = tenant.used(key(name));
            prop_assert!(since(length - length / 60) <= used && used <= since(length), "{used}");
        }
    }
}
