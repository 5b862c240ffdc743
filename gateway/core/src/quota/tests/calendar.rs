use super::*;
use jiff::tz::TimeZone;
use proptest::prelude::*;

fn period(zone: &str, anchor_day: u8, span: Span, moment: &str) -> Period {
    Calendar::new(zone, anchor_day).unwrap().period_at(span, at(moment))
}

#[test]
fn days_are_as_long_as_the_clock_on_the_wall_says() {
    for (zone, moment, id, hours) in [
        ("Europe/Paris", "2026-03-29T12:00:00Z", "2026-03-29@Europe/Paris", 23),
        ("Europe/Paris", "2026-10-25T12:00:00Z", "2026-10-25@Europe/Paris", 25),
        ("Europe/Paris", "2026-11-25T22:59:59Z", "2026-11-25@Europe/Paris", 24),
        ("Europe/Paris", "2026-11-25T23:00:00Z", "2026-11-26@Europe/Paris", 24),
        // Clocks go forward at midnight: the day begins at one.
        ("Africa/Cairo", "2024-04-26T12:00:00Z", "2024-04-26@Africa/Cairo", 23),
        // A day that was left out.
        ("Pacific/Apia", "2011-12-30T00:00:00Z", "2011-12-29@Pacific/Apia", 24),
        ("UTC", "2026-02-28T00:00:00Z", "2026-02-28@UTC", 24),
    ] {
        let period = period(zone, 1, Span::Day, moment);
        assert_eq!((&*period.id, (period.ends - period.starts) / 3_600), (id, hours), "{zone} {moment}");
    }
}

#[test]
fn months_begin_on_their_anchor_or_on_their_last_day() {
    for (anchor, moment, id, days) in [
        (1, "2026-11-25T12:00:00Z", "2026-11@UTC#d1", 30),
        (26, "2026-11-25T12:00:00Z", "2026-10@UTC#d26", 31),
        (25, "2026-11-25T12:00:00Z", "2026-11@UTC#d25", 30),
        (31, "2026-02-27T12:00:00Z", "2026-01@UTC#d31", 28),
        (31, "2026-02-28T00:00:00Z", "2026-02@UTC#d31", 31),
        (30, "2028-02-28T23:59:59Z", "2028-01@UTC#d30", 30),
        (30, "2028-02-29T00:00:00Z", "2028-02@UTC#d30", 30),
        (31, "2026-12-31T00:00:00Z", "2026-12@UTC#d31", 31),
    ] {
        let period = period("UTC", anchor, Span::Month, moment);
        assert_eq!((&*period.id, (period.ends - period.starts) / 86_400), (id, days), "{anchor} {moment}");
    }
}

#[test]
fn two_hours_of_one_name_are_two_periods() {
    let first = period("Europe/Paris", 1, Span::Hour, "2026-10-25T00:30:00Z");
    let second = period("Europe/Paris", 1, Span::Hour, "2026-10-25T01:30:00Z");
    assert_eq!(&*first.id, "2026-10-25T02+02:00@Europe/Paris");
    assert_eq!(&*second.id, "2026-10-25T02+01:00@Europe/Paris");
    let half = period("Asia/Kolkata", 1, Span::Hour, "2026-11-25T12:29:59Z");
    assert_eq!((&*half.id, half.ends), ("2026-11-25T17+05:30@Asia/Kolkata", at("2026-11-25T12:30:00Z")));
}

#[test]
fn a_zone_has_its_own_name_and_unknown_ones_are_none() {
    assert_eq!(Calendar::new("europe/paris", 1).unwrap().zone(), "Europe/Paris");
    for zone in ["", "Europe", "Europe/Atlantis", "../etc/passwd", "CEST", "local"] {
        assert!(Calendar::new(zone, 1).is_none(), "{zone}");
    }
    assert_eq!(Calendar::new("UTC", 200), None);
}

#[test]
fn moments_beyond_all_calendars_have_periods_too() {
    for span in Span::ALL {
        for now in [i64::MIN, -400_000_000_000, 400_000_000_000, i64::MAX - 1] {
            let period = Calendar::default().period_at(span, now);
            assert!(period.holds(now), "{span:?} {now}");
        }
    }
}

#[test]
fn a_change_of_the_zone_counts_from_the_next_period_and_gives_no_second_quota() {
    let (paris, new_york) = (Calendar::new("Europe/Paris", 1), Calendar::new("America/New_York", 1));
    let november = paris.unwrap().period_at(Span::Month, at("2026-11-10T00:00:00Z"));
    let next = new_york.unwrap().period_after(Span::Month, november.ends);
    // In New York it is still the evening of November 30th.
    assert_eq!((&*next.id, next.starts), ("2026-12@America/New_York#d1", november.ends));
    assert_eq!(next.ends, at("2027-01-01T05:00:00Z"));
}

fn zones() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "UTC",
        "Europe/Paris",
        "America/Sao_Paulo",
        "America/New_York",
        "Africa/Cairo",
        "Asia/Kathmandu",
        "Asia/Kolkata",
        "Australia/Adelaide",
        "Pacific/Apia",
        "Pacific/Chatham",
    ])
}

proptest! {
    #[test]
    fn days_and_months_follow_each_other_and_agree_with_the_wall(
        zone in zones(),
        anchor in 1_u8..=31,
        span in prop::sample::select(vec![Span::Day, Span::Month]),
        now in at("2000-01-01T00:00:00Z")..at("2040-01-01T00:00:00Z"),
    ) {
        let calendar = Calendar::new(zone, anchor).unwrap();
        let period = calendar.period_at(span, now);
        prop_assert!(period.holds(now));
        prop_assert_eq!(&calendar.period_at(span, period.starts), &period);
        prop_assert_eq!(&calendar.period_at(span, period.ends - 1), &period);
        let next = calendar.period_at(span, period.ends);
        prop_assert_eq!(next.starts, period.ends);
        prop_assert_ne!(&next.id, &period.id);
        prop_assert_eq!(&calendar.period_after(span, period.ends), &next);
        // The wall: midnight, or the first moment after it that exists.
        let wall = |second| Timestamp::from_second(second).unwrap().to_zoned(TimeZone::get(zone).unwrap());
        let first = wall(period.starts);
        prop_assert_ne!(first.date(), wall(period.starts - 1).date());
        if span == Span::Month {
            let anchor = i8::try_from(anchor).unwrap();
            prop_assert_eq!(first.day(), anchor.min(first.days_in_month()));
        }
    }

    #[test]
    fn whatever_changes_periods_tile_time(
        zones in prop::collection::vec((zones(), 1_u8..=31), 2..6),
        span in prop::sample::select(Span::ALL.to_vec()),
        now in at("2000-01-01T00:00:00Z")..at("2040-01-01T00:00:00Z"),
    ) {
        let mut ends = None;
        for (zone, anchor) in zones {
            let calendar = Calendar::new(zone, anchor).unwrap();
            let period = ends.map_or_else(|| calendar.period_at(span, now), |end| calendar.period_after(span, end));
            prop_assert!(ends.is_none_or(|end| end == period.starts));
            let length = period.ends - period.starts;
            prop_assert!(length * 2 >= span.nominal_seconds() - 2 * 86_400 / 24, "{length}");
            prop_assert!(length <= 2 * span.nominal_seconds() + 3 * 86_400, "{length}");
            ends = Some(period.ends);
        }
    }
}
