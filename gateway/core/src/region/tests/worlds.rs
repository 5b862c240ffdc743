//! Gateways in worlds that break at random.

use crate::region::simulation::{Loss, history_of_one, history_of_one_that_may_not_look, history_of_three};

#[test]
fn requests_go_where_writes_are_taken_or_nowhere_in_twenty_thousand_histories() {
    for seed in 0..20_000 {
        history_of_one(seed).unwrap();
    }
}

#[test]
fn no_primary_that_lets_nobody_look_is_left_for_another_in_ten_thousand_histories() {
    let fenced = (0..10_000).filter(|seed| history_of_one_that_may_not_look(*seed).unwrap()).count();
    assert!(fenced > 1_000, "where nobody hides in time nothing is proved: {fenced}");
}

#[test]
fn no_two_gateways_write_to_two_databases_in_four_thousand_histories() {
    let served = (0..4_000).filter(|seed| history_of_three(*seed).unwrap()).count();
    assert!(served > 400, "a judge that never serves proves nothing: {served}");
}

#[test]
fn a_fleet_that_is_well_stays_where_it_is_for_a_thousand_hours_of_lost_packets() {
    let loss = Loss::over(1_000, 500, 1);
    assert_eq!(loss.moves, 0, "{loss:?}");
    assert!(loss.failed_probes > 100_000, "a network that loses nothing proves nothing: {loss:?}");
}

#[test]
fn a_network_that_loses_most_packets_is_not_taken_for_a_good_one() {
    let loss = Loss::over(20, 8_000, 1);
    assert!(loss.refusals > 0 && loss.backends_down > 0, "{loss:?}");
}
